package encryption_test

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/local"
)

// BenchmarkSmallObject is a PUT and a GET of 1 KiB through Service and Manager, and the text form of the envelope.
func BenchmarkSmallObject(b *testing.B) {
	backends := map[string]func(b *testing.B) kms.Backend{
		"mock": func(b *testing.B) kms.Backend { return newMock(b) },
		"local": func(b *testing.B) kms.Backend {
			keys, err := local.New(b.Context(), local.Config{Dir: filepath.Join(b.TempDir(), "keys"), RootKey: kms.NewSecret(random(32))})
			require.NoError(b, err)
			_, err = keys.CreateKey(b.Context(), &kms.CreateKeyRequest{KeyID: "default"})
			require.NoError(b, err)
			return keys
		},
	}
	off, on := encryption.BucketKeyOptions{}, encryption.BucketKeyOptions{TTL: time.Hour, MaxObjects: 1 << 30}
	for _, backend := range []string{"mock", "local"} {
		for name, opts := range map[string]encryption.BucketKeyOptions{"own": off, "shared": on} {
			b.Run(backend+"/"+name, func(b *testing.B) {
				svc := encryption.NewService(newManager(b, backends[backend](b)), encryption.Options{BucketKeys: opts})
				defer svc.ClearBucketKeys()
				plain := random(1 << 10)
				b.ReportAllocs()
				var size int
				for b.Loop() {
					size = putAndGet(b, svc, plain)
				}
				b.ReportMetric(float64(size), "envelope-bytes")
			})
		}
	}
}

func putAndGet(b *testing.B, svc *encryption.Service, plain []byte) (envelopeSize int) {
	req := &encryption.Request{Mode: encryption.SSES3, BucketKey: true, PlainSize: int64(len(plain))}
	object, err := svc.EncryptStream(b.Context(), photo, req, bytes.NewReader(plain))
	if err != nil {
		b.Fatal(err)
	}
	var body bytes.Buffer
	if _, err := object.WriteTo(&body); err != nil {
		b.Fatal(err)
	}
	env, err := object.Envelope()
	if err != nil {
		b.Fatal(err)
	}
	metadata := env.Map()
	object.Close()
	if env, err = encryption.ParseEnvelope(metadata); err != nil {
		b.Fatal(err)
	}
	r, err := svc.DecryptStream(b.Context(), photo, env, nil, &body)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := r.(io.WriterTo).WriteTo(io.Discard); err != nil {
		b.Fatal(err)
	}
	r.Close()
	return len(metadata["objectkms-envelope"])
}

// BenchmarkEnvelopeSize reports how large the text form of an envelope is in each mode.
func BenchmarkEnvelopeSize(b *testing.B) {
	svc := encryption.NewService(newManager(b, newMock(b)), encryption.Options{})
	for _, p := range protections() {
		b.Run(p.name, func(b *testing.B) {
			env, _ := put(b, svc, photo, p.write(), random(1<<10))
			for b.Loop() {
				env.Map()
			}
			b.ReportMetric(float64(len(text(b, env))), "bytes")
		})
	}
}

// BenchmarkRewrapAll is one envelope of a run after a rotation.
func BenchmarkRewrapAll(b *testing.B) {
	const objects = 1000
	keys := newMock(b)
	svc := encryption.NewService(newManager(b, keys), encryption.Options{})
	stored := newBucket()
	stored.fill(b, svc, objects, func(int) *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} })
	rotate(b, keys, "default")
	discard := func(context.Context, encryption.Item, *encryption.Envelope) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		report, err := svc.RewrapAll(b.Context(), stored.from(""), encryption.RewrapAllOptions{Store: discard})
		if err != nil || report.Written != objects {
			b.Fatal(report.Written, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/objects, "ns/object")
}
