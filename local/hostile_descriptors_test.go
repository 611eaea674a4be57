//go:build unix

package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// most is how many descriptors are left at most: with so many all succeeds.
const most = 11

// withoutDescriptors is a child that runs out of descriptors, and gets them back.
func withoutDescriptors(dir string) error {
	b, err := local.New(context.Background(), config(dir))
	if err != nil {
		return err
	}
	defer b.Close()
	other, err := local.New(context.Background(), config(dir))
	if err != nil {
		return err
	}
	defer other.Close()
	failed := map[string]int{}
	for spare := range most + 1 {
		if err := lackDescriptors(dir, b, other, spare, failed); err != nil {
			return fmt.Errorf("with %d descriptors: %w", spare, err)
		}
	}
	for name := range changesOfKeys {
		if failed[name] == 0 || failed[name] == most+1 {
			return fmt.Errorf("%s has failed %d of %d times, want some", name, failed[name], most+1)
		}
	}
	return nil
}

// changesOfKeys are calls that change the key of an id, which is there, but for the one that makes it.
var changesOfKeys = map[string]func(ctx context.Context, b *local.Backend, id string) error{
	"create": func(ctx context.Context, b *local.Backend, id string) error {
		_, err := b.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id})
		return err
	},
	"rotate": func(ctx context.Context, b *local.Backend, id string) error {
		_, err := b.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: id})
		return err
	},
	"disable": func(ctx context.Context, b *local.Backend, id string) error {
		_, err := b.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: id})
		return err
	},
	"tag": func(ctx context.Context, b *local.Backend, id string) error {
		_, err := b.TagKey(ctx, &kms.TagKeyRequest{KeyID: id, Tags: map[string]string{"x": "y"}})
		return err
	},
	"schedule": func(ctx context.Context, b *local.Backend, id string) error {
		_, err := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id})
		return err
	},
	"delete": func(ctx context.Context, b *local.Backend, id string) error {
		_, err := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})
		return err
	},
}

// lackDescriptors makes all calls of b while so many descriptors are left. What b reads was made by the other one, so that it has to look into files. It
// counts the changes that failed.
func lackDescriptors(dir string, b, other *local.Backend, spare int, failed map[string]int) error {
	ctx := context.Background()
	id := func(change string) string { return fmt.Sprint(change, "-", spare) }
	before, changed := map[string]string{}, map[string]error{}
	for change := range changesOfKeys {
		if change != "create" {
			if err := changesOfKeys["create"](ctx, other, id(change)); err != nil {
				return err
			}
		}
		before[change] = description(ctx, other, id(change))
	}
	look, err := looks(ctx, dir, b, other, id)
	if err != nil {
		return err
	}
	files, err := exhaust(spare)
	if err != nil {
		return err
	}
	err = look()
	for change, do := range changesOfKeys {
		changed[change] = do(ctx, b, id(change))
	}
	for _, f := range files {
		f.Close()
	}
	for change, end := range changed {
		if end != nil {
			failed[change]++
		}
		for _, reader := range []*local.Backend{b, other} {
			if after := description(ctx, reader, id(change)); (after == before[change]) != (end != nil) {
				err = errors.Join(err, fmt.Errorf("%s: answered %v, and the key was %s and is %s", change, end, before[change], after))
			}
		}
		err = errors.Join(err, typed(change, end))
	}
	return err
}

// looks returns a function that makes the calls which change nothing. Nothing that is there may be missing, damaged or wrong for them.
func looks(ctx context.Context, dir string, b, other *local.Backend, id func(change string) string) (func() error, error) {
	wrapped, err := other.Encrypt(ctx, &kms.EncryptRequest{KeyID: id("rotate"), Plaintext: []byte("text")})
	if err != nil {
		return nil, err
	}
	all, err := other.ListKeys(ctx, &kms.ListKeysRequest{Limit: 1000})
	if err != nil {
		return nil, err
	}
	return func() error {
		_, missing := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: "missing"})
		_, described := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: id("tag")})
		_, decrypted := b.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: wrapped.Ciphertext})
		_, generated := b.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: id("disable")})
		list, listed := b.ListKeys(ctx, &kms.ListKeysRequest{Limit: 1000})
		if listed == nil && (len(list.Damaged) > 0 || len(list.Keys) != len(all.Keys)) {
			listed = fmt.Errorf("%d keys and damaged %v, want %d keys", len(list.Keys), list.Damaged, len(all.Keys))
		}
		another, opened := local.New(ctx, config(dir))
		if opened == nil {
			opened = another.Close()
		}
		return errors.Join(typed("describe what is missing", missing, kms.ErrKeyNotFound), typed("describe", described), typed("decrypt", decrypted),
			typed("generate", generated), typed("list", listed), typed("open", opened))
	}, nil
}

// description says how a key is.
func description(ctx context.Context, b *local.Backend, id string) string {
	resp, err := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: id})
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(resp.Key)
}

// exhaust opens files until only so many more can be opened.
func exhaust(spare int) (files []*os.File, err error) {
	limit := unix.Rlimit{Cur: 128, Max: 128}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		files = append(files, f)
	}
	for range spare {
		files[0].Close()
		files = files[1:]
	}
	return files, nil
}

// typed returns an error for one that is not what a lack of descriptors may be.
func typed(what string, err error, also ...error) error {
	for _, fine := range append(also, kms.ErrUnavailable) {
		if err == nil || errors.Is(err, fine) {
			return nil
		}
	}
	return fmt.Errorf("%s: got %w, want ErrUnavailable", what, err)
}

func TestWithoutDescriptorsIsUnavailable(t *testing.T) {
	dir := newDir(t)
	cmd := child(t, "descriptors", dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Run(), &out)
	create(t, open(t, config(dir)), "after")
	entries, err := os.ReadDir(filepath.Join(dir, "keys"))
	require.NoError(t, err)
	for _, e := range entries {
		require.NotContains(t, e.Name(), ".objectkms-")
	}
}
