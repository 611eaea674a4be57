//go:build unix

package testenv

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// lock waits until no other process holds the lock file. The lock ends with the process at the latest.
func lock(t testing.TB, path string) (unlock func()) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err, "opening the lock")
	for {
		if err = unix.Flock(int(file.Fd()), unix.LOCK_EX); err != unix.EINTR {
			break
		}
	}
	must(t, err, "waiting for the lock")
	return func() { file.Close() }
}
