//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package keydir

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const supported = true

// openFlags keep Open from waiting for a FIFO. The root follows symbolic links within itself all the same, which is
// why files are looked at before they are opened.
const openFlags = unix.O_NOFOLLOW | unix.O_NONBLOCK

func tryLock(fd uintptr) (bool, error) {
	for {
		switch err := unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, err
		}
	}
}

func unlock(fd uintptr) error { return unix.Flock(int(fd), unix.LOCK_UN) }

// foreign reports whether the file belongs to another user than the one that this process acts as.
func foreign(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(stat.Uid) != os.Geteuid()
}

// readOnly reports whether err says that the file system cannot be written to.
func readOnly(err error) bool { return errors.Is(err, unix.EROFS) }

// errDamagedStructure is what Linux answers where a file system finds its own notes on a file damaged: EUCLEAN.
const errDamagedStructure = syscall.Errno(117)

// badMedium reports whether err says that a file is there and cannot be read, as with a bad sector. All else that fails may do so
// for every file.
func badMedium(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EBADMSG) || runtime.GOOS == "linux" && errors.Is(err, errDamagedStructure)
}

// impossible reports whether err says that no directory can have such a path.
func impossible(err error) bool {
	return errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENAMETOOLONG) || errors.Is(err, unix.ELOOP)
}
