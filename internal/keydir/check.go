package keydir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/objectkms/kms"
)

// maxFileSize bounds what is read into memory and written, in bytes.
const maxFileSize = 1 << 20

const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600
)

// checkDir refuses all but a directory that only its owner, this process's user, can use.
func checkDir(name string, info fs.FileInfo) error {
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is %s, want a directory", kms.ErrInvalidConfig, name, describe(info.Mode()))
	}
	return checkAccess(name, info, dirMode)
}

// checkFile refuses all but a regular file that only its owner, this process's user, can use.
func checkFile(name string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is %s, want a regular file", kms.ErrPermission, name, describe(info.Mode()))
	}
	return checkAccess(name, info, fileMode)
}

func checkAccess(name string, info fs.FileInfo, most fs.FileMode) error {
	if foreign(info) {
		return fmt.Errorf("%w: %s belongs to another user", kms.ErrPermission, name)
	}
	if perm := info.Mode().Perm(); perm&^most != 0 {
		return fmt.Errorf("%w: %s has mode %#o, want at most %#o", kms.ErrPermission, name, perm, most)
	}
	return nil
}

func describe(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "a regular file"
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	}
	return "a device or a socket"
}

// openFile opens an existing file, after and before looking at what it is: a symbolic link is
// seen before, and what took the file's place meanwhile after.
func openFile(fsys FS, name string, flag int) (File, fs.FileInfo, error) {
	info, err := fsys.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if err := checkFile(fsys.Path(name), info); err != nil {
		return nil, nil, err
	}
	f, err := fsys.Open(name, flag, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil {
		err = checkFile(fsys.Path(name), info)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// readFile returns the content of a file, never nil without an error.
func readFile(fsys FS, name string) ([]byte, error) {
	f, info, err := openFile(fsys, name, readFlag)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > maxFileSize {
		return nil, fmt.Errorf("%w: %s has %d bytes, want at most %d", kms.ErrKeyMaterial, fsys.Path(name), info.Size(), maxFileSize)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", fsys.Path(name), err)
	}
	return data, nil
}

// failed turns an error of the file system into one of this library, and leaves those be that are, and those of a context.
func failed(what string, err error) error {
	for _, ready := range []error{
		kms.ErrInvalidConfig, kms.ErrKeyMaterial, kms.ErrPermission, kms.ErrUnavailable, kms.ErrClosed,
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, ready) {
			return err
		}
	}
	sentinel := kms.ErrUnavailable
	switch {
	case errors.Is(err, fs.ErrClosed):
		sentinel = kms.ErrClosed
	case errors.Is(err, fs.ErrPermission):
		sentinel = kms.ErrPermission
	}
	return fmt.Errorf("%w: %s: %w", sentinel, what, err)
}
