//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package keydir

import (
	"errors"
	"io/fs"
)

// Without file locks and owners in the manner of Unix, Open refuses to work.
const (
	supported = false
	openFlags = 0
)

func tryLock(uintptr) (bool, error) { return false, errors.ErrUnsupported }

func unlock(uintptr) error { return errors.ErrUnsupported }

func foreign(fs.FileInfo) bool { return true }

func readOnly(error) bool { return false }

func badMedium(error) bool { return false }

func impossible(error) bool { return false }
