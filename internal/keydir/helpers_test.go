//go:build unix

package keydir_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
	"github.com/objectkms/kms/internal/keyring"
)

var _ keyring.Store = (*keydir.Dir)(nil)

// open opens a directory, and closes it when the test ends.
func open(t testing.TB, dir string) *keydir.Dir {
	t.Helper()
	d, err := keydir.Open(dir, keydir.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

// newDir returns the path of a directory that is made and empty.
func newDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "kms")
	require.NoError(t, open(t, dir).Recover(t.Context()))
	return dir
}

// set makes Mutate store data, or delete the record where it is nil.
func set(data []byte) func([]byte, uint64) ([]byte, error) {
	return func([]byte, uint64) ([]byte, error) { return data, nil }
}

func store(t testing.TB, d *keydir.Dir, id, data string) {
	t.Helper()
	require.NoError(t, d.Mutate(t.Context(), id, set([]byte(data))))
}

// content returns the record of an id, or "" where there is none.
func content(t testing.TB, d *keydir.Dir, id string) string {
	t.Helper()
	data, err := d.Get(t.Context(), id)
	if err != nil {
		require.ErrorIs(t, err, kms.ErrKeyNotFound)
	}
	return string(data)
}

// generation returns the generation that a change gets which changes nothing.
func generation(t testing.TB, d *keydir.Dir) (g uint64) {
	t.Helper()
	require.NoError(t, d.Mutate(t.Context(), "none", func(_ []byte, generation uint64) ([]byte, error) {
		g = generation
		return nil, nil
	}))
	return g
}

func lockPath(dir string) string       { return filepath.Join(dir, "lock") }
func recordPath(dir, id string) string { return filepath.Join(dir, "keys", id+".json") }
func lockBytes(counter uint64) []byte  { return lockBytesOf(counter, ^counter, 0) }
func dirtyBytes(counter uint64) []byte { return lockBytesOf(counter, ^counter, 1) }
func writeLock(t testing.TB, dir string, b []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(lockPath(dir), b, 0o600))
}

func lockBytesOf(counter, complement uint64, dirty byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, counter)
	return append(binary.BigEndian.AppendUint64(b, complement), dirty)
}

// strays returns the names of all temporary files.
func strays(t testing.TB, dir string) (found []string) {
	t.Helper()
	for _, sub := range []string{".", "keys"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		require.NoError(t, err)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				found = append(found, e.Name())
			}
		}
	}
	return found
}

// descriptors returns how many descriptors this process has open, where the system tells.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// getBriefly reads a record, and gives up soon: as ErrUnavailable where that is because the lock is taken.
func getBriefly(t testing.TB, d *keydir.Dir, id string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := d.Get(ctx, id)
	if errors.Is(err, context.DeadlineExceeded) {
		return kms.ErrUnavailable
	}
	return err
}
