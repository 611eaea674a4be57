package keydir_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/objectkms/kms"
)

// A real file system that is really full.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	d := open(t, dir)
	record := bytes.Repeat([]byte{'x'}, 8<<10)
	stored := 0
	var err error
	for ; err == nil && stored < 100; stored++ {
		err = d.Mutate(t.Context(), fmt.Sprint("k", stored), set(record))
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	require.ErrorIs(t, err, kms.ErrUnavailable)
	stored--
	require.Empty(t, strays(t, dir))
	for range 3 {
		err := d.Mutate(t.Context(), "k0", set(bytes.Repeat(record, 4)))
		require.True(t, errors.Is(err, unix.ENOSPC), err)
	}
	for i := range stored {
		require.Equal(t, string(record), content(t, d, fmt.Sprint("k", i)))
	}
	require.Empty(t, content(t, d, fmt.Sprint("k", stored)))
	require.NoError(t, d.Mutate(t.Context(), "k0", set(nil)), "deleting makes room")
	store(t, d, "k0", "small")
}
