//go:build unix

package local_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
	"github.com/objectkms/kms/local"
)

// threeKeys returns a closed directory with the keys "a", "b" and "c", and a blob of each.
func threeKeys(t *testing.T) (local.Config, map[string][]byte) {
	c := config(newDir(t))
	b := open(t, c)
	blobs := map[string][]byte{}
	for _, id := range []string{"a", "b", "c"} {
		create(t, b, id)
		blobs[id] = wrap(t, b, id)
	}
	require.NoError(t, b.Close())
	return c, blobs
}

// requireDamaged checks that the keys of a directory are damaged, and that the others work.
func requireDamaged(t *testing.T, b *local.Backend, blobs map[string][]byte, damaged ...string) {
	t.Helper()
	requireFailing(t, b, blobs, kms.ErrKeyMaterial, damaged...)
}

// requireFailing checks that the keys of a directory are listed as damaged and answer an error, and that the others work.
func requireFailing(t *testing.T, b *local.Backend, blobs map[string][]byte, want error, damaged ...string) {
	t.Helper()
	list, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	require.Equal(t, damaged, list.Damaged)
	require.Len(t, list.Keys, len(blobs)-len(damaged))
	for _, key := range list.Keys {
		_, err := unwrap(t, b, key.ID, blobs[key.ID])
		require.NoError(t, err)
	}
	for _, id := range damaged {
		_, err := unwrap(t, b, id, blobs[id])
		require.ErrorIs(t, err, want)
		_, err = b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: id})
		require.ErrorIs(t, err, want)
		_, err = b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})
		require.ErrorIs(t, err, want)
	}
}

func TestEveryChangedByteOfARecordIsSeen(t *testing.T) {
	c, blobs := threeKeys(t)
	good, err := os.ReadFile(recordPath(c.Dir, "b"))
	require.NoError(t, err)
	b := open(t, c)
	for at := range good {
		require.NoError(t, os.WriteFile(recordPath(c.Dir, "b"), flipped(good, at), 0o600))
		touch(t, c.Dir)
		_, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "b"})
		require.ErrorIs(t, err, kms.ErrKeyMaterial, "byte %d", at)
		if at%50 == 0 {
			requireDamaged(t, b, blobs, "b")
		}
	}
	require.NoError(t, os.WriteFile(recordPath(c.Dir, "b"), good, 0o600))
	touch(t, c.Dir)
	requireDamaged(t, b, blobs)
}

func flipped(good []byte, at int) []byte {
	bad := append([]byte(nil), good...)
	bad[at] ^= 1 << (at % 8)
	return bad
}

// touch tells the processes that use the directory that something has changed.
func touch(t *testing.T, dir string) {
	t.Helper()
	d, err := keydir.Open(dir, keydir.Options{MustExist: true})
	require.NoError(t, err)
	defer d.Close()
	// Deleting a record that was just made is a change without a trace.
	for _, record := range [][]byte{{}, nil} {
		require.NoError(t, d.Mutate(t.Context(), "touch", func([]byte, uint64) ([]byte, error) { return record, nil }))
	}
}

func TestCutExtendedAndForeignRecordsAreSeen(t *testing.T) {
	c, blobs := threeKeys(t)
	good, err := os.ReadFile(recordPath(c.Dir, "b"))
	require.NoError(t, err)
	a, err := os.ReadFile(recordPath(c.Dir, "a"))
	require.NoError(t, err)
	other, _ := threeKeys(t)
	foreign, err := os.ReadFile(recordPath(other.Dir, "b"))
	require.NoError(t, err)
	for name, bad := range map[string][]byte{
		"empty": {}, "cut": good[:len(good)-1], "half": good[:len(good)/2], "extended": append(good[:len(good):len(good)], '\n'),
		"of another key": a, "of another directory": foreign, "huge": make([]byte, 2<<20),
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(recordPath(c.Dir, "b"), bad, 0o600))
			requireDamaged(t, open(t, c), blobs, "b")
		})
	}
}

func TestSwappedRecordsAreSeen(t *testing.T) {
	c, blobs := threeKeys(t)
	require.NoError(t, os.Rename(recordPath(c.Dir, "a"), recordPath(c.Dir, "x")))
	require.NoError(t, os.Rename(recordPath(c.Dir, "c"), recordPath(c.Dir, "a")))
	require.NoError(t, os.Rename(recordPath(c.Dir, "x"), recordPath(c.Dir, "c")))
	requireDamaged(t, open(t, c), blobs, "a", "c")
}

func TestRefusedFilesAreDamagedRecords(t *testing.T) {
	for name, trick := range map[string]func(path string) error{
		"symbolic link": func(path string) error { return os.Symlink("c.json", path) },
		"directory":     func(path string) error { return os.Mkdir(path, 0o700) },
		"mode 0644":     func(path string) error { return os.WriteFile(path, nil, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			c, blobs := threeKeys(t)
			require.NoError(t, os.Remove(recordPath(c.Dir, "b")))
			require.NoError(t, trick(recordPath(c.Dir, "b")))
			requireDamaged(t, open(t, c), blobs, "b")
		})
	}
}

func TestOlderRecordIsRefusedWhileTheProcessRuns(t *testing.T) {
	c, _ := threeKeys(t)
	b := open(t, c)
	old, err := os.ReadFile(recordPath(c.Dir, "b"))
	require.NoError(t, err)
	_, err = b.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "b"})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(recordPath(c.Dir, "b"), old, 0o600))
	touch(t, c.Dir)
	_, err = b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "b"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
}
