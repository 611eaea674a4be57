package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

const keyID = "bench"

// openLocal makes a key directory with one master key, in memory if the system has a directory that is.
func openLocal(ctx context.Context) (backend *local.Backend, remove func(), err error) {
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "kms-bench-")
	if err != nil {
		return nil, nil, err
	}
	backend, err = local.New(ctx, local.Config{Dir: filepath.Join(dir, "keys"), RootKey: kms.NewSecret(key()), AllowUnlockedMemory: true})
	if err != nil {
		os.RemoveAll(dir)
		return nil, nil, err
	}
	remove = func() {
		backend.Close()
		os.RemoveAll(dir)
	}
	if _, err := backend.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: keyID}); err != nil {
		remove()
		return nil, nil, err
	}
	return backend, remove, nil
}

// keys measures the operations on data keys.
func (b *bench) keys() error {
	ctx := context.Background()
	backend, remove, err := openLocal(ctx)
	if err != nil {
		return err
	}
	defer remove()
	manager := kms.NewManager(backend, kms.Options{DefaultKeyID: keyID})
	defer manager.Close()
	blobs, err := wrapped(ctx, manager, 500)
	if err != nil {
		return err
	}
	t := table{
		title:  "Data keys of a local backend, operations a second",
		header: []string{"", "one core", "allocations", "two cores", "faster"},
	}
	for _, op := range []struct {
		name string
		do   func(i int) error
	}{
		{"GenerateDataKey, backend", generate(ctx, backend, keyID)},
		{"GenerateDataKey, Manager", generate(ctx, manager, "")},
		{"Decrypt, backend", decrypt(ctx, backend, blobs)},
		{"Decrypt, Manager, one warm entry", decrypt(ctx, manager, blobs[:1])},
		{"Decrypt, Manager, 500 warm entries", decrypt(ctx, manager, blobs)},
	} {
		row, err := b.keyRow(op.name, op.do)
		if err != nil {
			return err
		}
		t.rows = append(t.rows, row)
	}
	b.print(t)
	return nil
}

// keyRow measures an operation alone, and twice at the same time.
func (b *bench) keyRow(name string, do func(i int) error) ([]string, error) {
	const batch = 200
	var next atomic.Int64
	some := func(int) error {
		first := int(next.Add(batch))
		for i := range batch {
			if err := do(first + i); err != nil {
				return err
			}
		}
		return nil
	}
	figures, err := b.rig.run([]trial{
		{name: "one", cores: 1, do: func() error { return some(0) }},
		{name: "two", cores: 2, do: func() error { return together(2, some) }},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	one, two := figures["one"], figures["two"]
	single, double := rate(batch, one.cpu), rate(2*batch, two.wall)
	b.results.keys = append(b.results.keys, keyResult{name, single, double})
	return []string{name, thousands(single), count(one.allocs / batch), thousands(double), fmt.Sprintf("%.2f", double/rate(batch, one.wall))}, nil
}

type keyResult struct {
	name     string
	one, two float64
}

func rate(ops int, d time.Duration) float64 { return float64(ops) / max(d.Seconds(), 1e-9) }

func generate(ctx context.Context, keys kms.KeyService, id string) func(int) error {
	ec := kms.EncryptionContext{"aws:s3:arn": "arn:aws:s3:::photos/2026/summer.jpg"}
	return func(int) error {
		dk, err := keys.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: id, Context: ec})
		if err == nil {
			dk.Plaintext.Destroy()
		}
		return err
	}
}

// A blob is a wrapped data key and what it is bound to.
type blob struct {
	ciphertext []byte
	context    kms.EncryptionContext
}

func wrapped(ctx context.Context, keys kms.KeyService, n int) ([]blob, error) {
	var blobs []blob
	for i := range n {
		ec := kms.EncryptionContext{"aws:s3:arn": fmt.Sprintf("arn:aws:s3:::photos/2026/%d.jpg", i)}
		dk, err := keys.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: keyID, Context: ec})
		if err != nil {
			return nil, err
		}
		dk.Plaintext.Destroy()
		blobs = append(blobs, blob{dk.Ciphertext, ec})
	}
	return blobs, nil
}

func decrypt(ctx context.Context, keys kms.KeyService, blobs []blob) func(int) error {
	return func(i int) error {
		b := blobs[i%len(blobs)]
		resp, err := keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: b.ciphertext, Context: b.context})
		if err == nil {
			resp.Plaintext.Destroy()
		}
		return err
	}
}

// directory measures a directory with very many master keys.
func (b *bench) directory() error {
	ctx := context.Background()
	backend, remove, err := openLocal(ctx)
	if err != nil {
		return err
	}
	defer remove()
	n := int(b.scale(int64(b.manyKeys)))
	id := func(i int) string { return fmt.Sprintf("key-%06d", i) }
	start := time.Now()
	for i := range n {
		if _, err := backend.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id(i)}); err != nil {
			return err
		}
	}
	created := time.Since(start)
	manager := kms.NewManager(backend, kms.Options{})
	defer manager.Close()
	pick := rand.New(rand.NewPCG(1, 2))
	t := table{
		title:  fmt.Sprintf("A directory of %s master keys, one core, CPU time", thousands(float64(n))),
		header: []string{"", "one operation", "allocations"},
		rows:   [][]string{{"CreateKey, each", micros(created / time.Duration(n)), "–"}},
	}
	for _, op := range []struct {
		name string
		do   func() error
	}{
		{"GenerateDataKey, a random key", func() error { return generate(ctx, backend, id(pick.IntN(n)))(0) }},
		{"DescribeKey, a random key", func() error {
			_, err := backend.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: id(pick.IntN(n))})
			return err
		}},
		{"ListKeys, 100 keys from a random one on", func() error {
			_, err := backend.ListKeys(ctx, &kms.ListKeysRequest{Marker: id(pick.IntN(n)), Limit: 100})
			return err
		}},
	} {
		figures, err := b.rig.run([]trial{{name: op.name, cores: 1, do: op.do}})
		if err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
		t.rows = append(t.rows, []string{op.name, micros(figures[op.name].cpu), count(figures[op.name].allocs)})
	}
	b.print(t)
	return nil
}
