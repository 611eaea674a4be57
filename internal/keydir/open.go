package keydir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/objectkms/kms"
)

// Open opens a directory. Unless MustExist is set it makes what is missing of dir and of the
// directories above it, and keys in a dir that is empty. It writes nothing else, but for the mode of a directory that is
// this user's and empty and that he cannot use. dir itself may not be a symbolic link; what it lies in may.
//
// Errors, besides those of a Dir: ErrInvalidConfig where dir is missing, is no directory, holds files but none of a key
// directory, or is a path that cannot be; ErrKeyMaterial where keys is missing but there have been keys; ErrUnsupported on systems without Unix
// file locks.
func Open(dir string, opts Options) (*Dir, error) {
	if !supported {
		return nil, fmt.Errorf("%w: key directories need a Unix system", kms.ErrUnsupported)
	}
	path, err := absolute(dir)
	if err != nil {
		return nil, failed("open "+dir, err)
	}
	fsys, err := openTop(path, opts)
	if impossible(err) {
		err = fmt.Errorf("%w: %w", kms.ErrInvalidConfig, err)
	}
	if err != nil {
		return nil, failed("open "+path, err)
	}
	d, err := New(fsys, opts)
	if err != nil {
		return nil, errors.Join(err, fsys.Close())
	}
	d.path = path
	return d, nil
}

func absolute(dir string) (string, error) {
	if strings.ContainsRune(dir, 0) {
		return "", fmt.Errorf("%w: the path of the directory contains a zero byte", kms.ErrInvalidConfig)
	}
	return filepath.Abs(dir)
}

func openTop(dir string, opts Options) (FS, error) {
	if !opts.MustExist {
		if err := makeTop(dir); err != nil {
			return nil, err
		}
	}
	before, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no directory %s", kms.ErrInvalidConfig, dir)
	}
	if err != nil {
		return nil, err
	}
	if err := checkDir(dir, before); err != nil {
		return nil, err
	}
	fsys, err := OpenFS(dir)
	if err != nil {
		return nil, err
	}
	after, err := fsys.Lstat(".")
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("%w: %s was replaced while it was opened", kms.ErrUnavailable, dir)
	}
	if err != nil {
		return nil, errors.Join(err, fsys.Close())
	}
	return fsys, nil
}

// makeTop makes dir, if it is missing, and what is missing above it, durably. What is missing inside
// shows that dir may be new too, and that the one who made it may not have come to sync it.
func makeTop(dir string) error {
	if err := mendTop(dir); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(dir, keysName)); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	above := filepath.Dir(dir)
	parent, err := os.Open(above)
	if errors.Is(err, fs.ErrNotExist) && above != dir {
		if err := makeTop(above); err != nil {
			return err
		}
		parent, err = os.Open(above)
	}
	if errors.Is(err, fs.ErrPermission) {
		return unreadableParent(dir, err)
	}
	if err != nil {
		return err
	}
	return errors.Join(makeDir(dir), parent.Sync(), parent.Close())
}

// unreadableParent lets a directory be whose parent could not be opened to sync it. None is made there, as it would not be durable.
func unreadableParent(dir string, err error) error {
	if _, statErr := os.Lstat(dir); statErr == nil {
		return nil
	}
	return fmt.Errorf("%s is missing, and cannot be made durably: %w", dir, err)
}

// makeDir makes dir, unless another process does so.
func makeDir(dir string) error {
	err := os.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, dirMode) // #nosec G302 -- a directory: 0700
}

func mendTop(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil || checkDir(dir, info) != nil {
		return nil // whoever opens it finds out
	}
	return mend(info, func(mode fs.FileMode) error { return os.Chmod(dir, mode) }, func() (FS, error) { return OpenFS(dir) })
}

// mend gives a directory of this user's its mode, if it is empty: a process was killed, with a strange umask, as soon as it
// had made it. It leaves every other directory as it is.
func mend(info fs.FileInfo, chmod func(fs.FileMode) error, open func() (FS, error)) error {
	former := info.Mode().Perm()
	if former&dirMode == dirMode {
		return nil
	}
	names, err := namesOf(open)
	closed := errors.Is(err, fs.ErrPermission)
	if closed {
		if err := chmod(dirMode); err != nil {
			return err
		}
		names, err = namesOf(open)
	}
	switch {
	case err == nil && len(names) == 0:
		return chmod(dirMode)
	case closed:
		return errors.Join(err, chmod(former))
	}
	return err
}

func namesOf(open func() (FS, error)) ([]string, error) {
	fsys, err := open()
	if err != nil {
		return nil, err
	}
	names, err := readNames(fsys)
	return names, errors.Join(err, fsys.Close())
}

// New returns the Dir in an open directory, and takes it over unless it fails. It is Open for file systems of tests.
func New(fsys FS, opts Options) (*Dir, error) {
	keys, err := openKeys(fsys, opts)
	if err != nil {
		return nil, failed("open "+fsys.Path(keysName), err)
	}
	d := &Dir{top: fsys, keys: keys, now: opts.Now, queue: make(chan struct{}, 1), done: make(chan struct{})}
	if d.now == nil {
		d.now = time.Now
	}
	d.reader.fsys = fsys
	return d, nil
}

func openKeys(top FS, opts Options) (FS, error) {
	info, err := top.Lstat(keysName)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKeys(top, opts); err != nil {
			return nil, err
		}
		info, err = top.Lstat(keysName)
	}
	if err != nil {
		return nil, err
	}
	if err := checkDir(top.Path(keysName), info); err != nil {
		return nil, err
	}
	if !opts.MustExist {
		chmod := func(mode fs.FileMode) error { return top.Chmod(keysName, mode) }
		if err := mend(info, chmod, func() (FS, error) { return top.Sub(keysName) }); err != nil {
			return nil, err
		}
	}
	return top.Sub(keysName)
}

// makeKeys makes the directory of the records, unless another process does so. Where files show that there
// was one, or that this is no key directory, it makes none: new keys would have the ids of those that are lost.
func makeKeys(top FS, opts Options) error {
	if err := checkVacant(top); err != nil {
		// All other files are made after keys: if another process has just made them, keys is there too.
		if _, statErr := top.Lstat(keysName); statErr == nil {
			return nil
		}
		return err
	}
	if opts.MustExist {
		return fmt.Errorf("%w: there is no directory %s", kms.ErrInvalidConfig, keysName)
	}
	err := top.Mkdir(keysName, dirMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := top.Chmod(keysName, dirMode); err != nil {
		return err
	}
	return syncDir(top)
}

// checkVacant refuses a directory that holds more than what a killed process or a new file system leaves.
func checkVacant(top FS) error {
	names, err := readNames(top)
	if err != nil {
		return err
	}
	foreign := ""
	for _, name := range names {
		switch {
		case name == lockName, name == rootName, name == batchName:
			return fmt.Errorf("%w: %s is missing, but there is %s: restore it", kms.ErrKeyMaterial, keysName, name)
		case !isTemp(name) && name != "lost+found":
			foreign = name
		}
	}
	if foreign != "" {
		return fmt.Errorf("%w: the directory is neither empty nor a key directory: it holds %q", kms.ErrInvalidConfig, foreign)
	}
	return nil
}
