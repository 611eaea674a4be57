package keydir_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

// openUnprivileged opens a directory on a thread that modes bind even where the tests run as root.
func openUnprivileged(dir string) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			done <- err
			return
		}
		d, err := keydir.Open(dir, keydir.Options{})
		if err == nil {
			err = d.Close()
		}
		done <- err
	}()
	return <-done
}

func TestParentThatCannotBeRead(t *testing.T) {
	above := filepath.Join(t.TempDir(), "above")
	dir := filepath.Join(above, "kms")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.Chmod(above, 0o300))
	require.NoError(t, openUnprivileged(dir), "only what is made must be synced")
	other := filepath.Join(above, "other")
	require.ErrorIs(t, openUnprivileged(other), kms.ErrPermission)
	require.NoDirExists(t, other)
	require.ErrorIs(t, openUnprivileged(other), kms.ErrPermission)
}

func TestEmptyDirectoryOfAKilledProcessGetsItsMode(t *testing.T) {
	for _, mode := range []os.FileMode{0, 0o500, 0o300} {
		for _, sub := range []string{"", "keys"} {
			dir := filepath.Join(t.TempDir(), "kms")
			require.NoError(t, os.MkdirAll(filepath.Join(dir, sub), 0o700))
			require.NoError(t, os.Chmod(filepath.Join(dir, sub), mode))
			require.NoError(t, openUnprivileged(dir))
			for _, made := range []string{dir, filepath.Join(dir, "keys")} {
				info, err := os.Lstat(made)
				require.NoError(t, err)
				require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), made)
			}
		}
	}
}

func TestDirectoryThatIsNotEmptyKeepsItsMode(t *testing.T) {
	for _, sub := range []string{"", "keys"} {
		for _, mode := range []os.FileMode{0, 0o300, 0o500} {
			dir := newDir(t)
			store(t, open(t, dir), "a", "one")
			path := filepath.Join(dir, sub)
			require.NoError(t, os.Chmod(path, mode))
			err := openUnprivileged(dir)
			if mode&0o100 == 0 {
				require.ErrorIs(t, err, kms.ErrPermission)
			}
			info, err := os.Lstat(path)
			require.NoError(t, err)
			require.Equal(t, mode, info.Mode().Perm())
		}
	}
}
