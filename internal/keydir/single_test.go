//go:build unix

package keydir_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

func TestSecretFileIsCreatedOnceAndNarrow(t *testing.T) {
	for _, umask := range []int{0, 0o777} {
		dir := t.TempDir()
		path := filepath.Join(dir, "root.key")
		old := unix.Umask(umask)
		defer unix.Umask(old)
		before := descriptors(t)
		_, err := keydir.ReadSecretFile(path)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NoError(t, keydir.CreateSecretFile(path, []byte("first")))
		require.ErrorIs(t, keydir.CreateSecretFile(path, []byte("second")), fs.ErrExist)
		data, err := keydir.ReadSecretFile(path)
		require.NoError(t, err)
		require.Equal(t, "first", string(data))
		require.NoError(t, keydir.SyncSecretFile(path))
		info, err := os.Lstat(path)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode())
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1)
		require.Equal(t, before, descriptors(t))
	}
}

// Who makes a file and is killed before its temporary name is removed leaves a second one.
func TestASecretFileKeepsNoTemporaryName(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "root.key")
	require.NoError(t, keydir.CreateSecretFile(path, []byte("secret")))
	left, others, mine := filepath.Join(dir, tempName), filepath.Join(dir, tempName[:len(tempName)-2]+"22"), filepath.Join(dir, "root.key.bak")
	require.NoError(t, os.Link(path, left))
	require.NoError(t, os.Link(path, mine))
	require.NoError(t, os.WriteFile(others, []byte("of somebody who is at work"), 0o600))
	require.NoError(t, keydir.SyncSecretFile(path))
	require.NoFileExists(t, left)
	require.FileExists(t, others)
	require.FileExists(t, mine)
	require.FileExists(t, path)
}

func TestSecretFileNeedsItsDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "root.key")
	require.ErrorIs(t, keydir.CreateSecretFile(path, nil), fs.ErrNotExist)
	_, err := keydir.ReadSecretFile(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, keydir.SyncSecretFile(path), fs.ErrNotExist)
}

func TestHostileSecretFileIsRefused(t *testing.T) {
	for _, tt := range fileTricks() {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "root.key")
			require.NoError(t, keydir.CreateSecretFile(path, []byte("secret")))
			tt.do(t, path)
			_, err := keydir.ReadSecretFile(path)
			require.ErrorIs(t, err, kms.ErrPermission)
			require.ErrorIs(t, keydir.SyncSecretFile(path), kms.ErrPermission)
			require.ErrorIs(t, keydir.CreateSecretFile(path, nil), fs.ErrExist)
		})
	}
}
