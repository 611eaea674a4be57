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

// withoutDescriptors is a child that runs out of descriptors, and gets them back.
func withoutDescriptors(dir string) error {
	ctx := context.Background()
	b, err := local.New(ctx, config(dir))
	if err != nil {
		return err
	}
	defer b.Close()
	if _, err := b.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "k"}); err != nil {
		return err
	}
	failed := 0
	for spare := range 12 {
		id := fmt.Sprint("n", spare)
		files, err := exhaust(spare)
		if err != nil {
			return err
		}
		_, readErr := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: "missing"})
		_, openErr := local.New(ctx, config(dir))
		_, createErr := b.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id})
		_, cachedErr := b.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: "k"})
		for _, f := range files {
			f.Close()
		}
		if createErr != nil {
			failed++
		}
		if err := errors.Join(typed("read", readErr, kms.ErrKeyNotFound), typed("open", openErr), typed("create", createErr), typed("use", cachedErr),
			existsOnlyIf(ctx, b, id, createErr == nil)); err != nil {
			return fmt.Errorf("with %d descriptors: %w", spare, err)
		}
	}
	if failed == 0 || failed == 12 {
		return fmt.Errorf("%d of 12 changes failed, want some", failed)
	}
	return nil
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

func existsOnlyIf(ctx context.Context, b *local.Backend, id string, want bool) error {
	_, err := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: id})
	if want {
		return err
	}
	if !errors.Is(err, kms.ErrKeyNotFound) {
		return fmt.Errorf("%s after an error: got %w, want ErrKeyNotFound", id, err)
	}
	return nil
}

func TestWithoutDescriptorsIsUnavailable(t *testing.T) {
	dir := newDir(t)
	cmd := child(t, "descriptors", dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Run(), &out)
	b := open(t, config(dir))
	_, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	create(t, b, "after")
	entries, err := os.ReadDir(filepath.Join(dir, "keys"))
	require.NoError(t, err)
	for _, e := range entries {
		require.NotContains(t, e.Name(), ".objectkms-")
	}
}
