package overfs

import (
	"io/fs"
	"os"
	"path"

	"github.com/objectkms/kms/internal/keydir"
)

// A Call is one call to a file system.
type Call struct {
	Verb string // open, create, lstat, mkdir, chmod, link, rename, remove, sub, read, write, stat, sync, readdir, lock, unlock or close
	Path string // relative to the directory that is watched; "." is that itself
	To   string // the new path of a link or rename
	Data []byte // what is written
	Off  int64  // where
	// Part writes the beginning of Data only, as a call that is cut off does.
	Part func(n int)
}

// Changes reports whether the call changes what is on the disk, or makes it durable.
func (c Call) Changes() bool {
	switch c.Verb {
	case "create", "mkdir", "chmod", "link", "rename", "remove", "write", "sync":
		return true
	}
	return false
}

// A Watcher is asked for each call. do makes the call; a Watcher that does not run it returns an error.
type Watcher func(c Call, do func() error) error

// Watch returns a file system whose calls go through a Watcher.
func Watch(fsys keydir.FS, w Watcher) keydir.FS { return &watchedFS{fsys, w, "."} }

type watchedFS struct {
	keydir.FS
	watch Watcher
	dir   string
}

func (f *watchedFS) call(verb, name string, do func() error) error {
	return f.watch(Call{Verb: verb, Path: path.Join(f.dir, name)}, do)
}

func (f *watchedFS) Open(name string, flag int, perm fs.FileMode) (file keydir.File, err error) {
	verb := "open"
	if flag&os.O_CREATE != 0 {
		verb = "create"
	}
	err = f.call(verb, name, func() error {
		file, err = f.FS.Open(name, flag, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &watchedFile{File: file, watch: f.watch, path: path.Join(f.dir, name)}, nil
}

func (f *watchedFS) Lstat(name string) (info fs.FileInfo, err error) {
	err = f.call("lstat", name, func() error {
		info, err = f.FS.Lstat(name)
		return err
	})
	return info, err
}

func (f *watchedFS) Mkdir(name string, perm fs.FileMode) error {
	return f.call("mkdir", name, func() error { return f.FS.Mkdir(name, perm) })
}

func (f *watchedFS) Chmod(name string, mode fs.FileMode) error {
	return f.call("chmod", name, func() error { return f.FS.Chmod(name, mode) })
}

func (f *watchedFS) Link(oldname, newname string) error {
	c := Call{Verb: "link", Path: path.Join(f.dir, oldname), To: path.Join(f.dir, newname)}
	return f.watch(c, func() error { return f.FS.Link(oldname, newname) })
}

func (f *watchedFS) Rename(oldname, newname string) error {
	c := Call{Verb: "rename", Path: path.Join(f.dir, oldname), To: path.Join(f.dir, newname)}
	return f.watch(c, func() error { return f.FS.Rename(oldname, newname) })
}

func (f *watchedFS) Remove(name string) error {
	return f.call("remove", name, func() error { return f.FS.Remove(name) })
}

func (f *watchedFS) Sub(name string) (sub keydir.FS, err error) {
	err = f.call("sub", name, func() error {
		sub, err = f.FS.Sub(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &watchedFS{sub, f.watch, path.Join(f.dir, name)}, nil
}

type watchedFile struct {
	keydir.File
	watch Watcher
	path  string
	end   int64 // where the next Write goes
}

func (f *watchedFile) call(verb string, do func() error) error {
	return f.watch(Call{Verb: verb, Path: f.path}, do)
}

func (f *watchedFile) Read(p []byte) (n int, err error) {
	err = f.call("read", func() error {
		n, err = f.File.Read(p)
		return err
	})
	return n, err
}

func (f *watchedFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.call("read", func() error {
		n, err = f.File.ReadAt(p, off)
		return err
	})
	return n, err
}

func (f *watchedFile) Write(p []byte) (int, error) {
	n, err := f.write(p, f.end, f.File.Write)
	f.end += int64(n)
	return n, err
}

func (f *watchedFile) WriteAt(p []byte, off int64) (int, error) {
	return f.write(p, off, func(p []byte) (int, error) { return f.File.WriteAt(p, off) })
}

func (f *watchedFile) write(p []byte, off int64, write func([]byte) (int, error)) (n int, err error) {
	c := Call{Verb: "write", Path: f.path, Data: p, Off: off, Part: func(n int) { _, _ = write(p[:n]) }}
	err = f.watch(c, func() error {
		n, err = write(p)
		return err
	})
	return n, err
}

func (f *watchedFile) Stat() (info fs.FileInfo, err error) {
	err = f.call("stat", func() error {
		info, err = f.File.Stat()
		return err
	})
	return info, err
}

func (f *watchedFile) Chmod(mode fs.FileMode) error {
	return f.call("chmod", func() error { return f.File.Chmod(mode) })
}

func (f *watchedFile) Sync() error { return f.call("sync", f.File.Sync) }

func (f *watchedFile) Readdirnames(n int) (names []string, err error) {
	err = f.call("readdir", func() error {
		names, err = f.File.Readdirnames(n)
		return err
	})
	return names, err
}

func (f *watchedFile) TryLock() (locked bool, err error) {
	err = f.call("lock", func() error {
		locked, err = f.File.TryLock()
		return err
	})
	return locked, err
}

func (f *watchedFile) Unlock() error { return f.call("unlock", f.File.Unlock) }

// Close closes the file also where the Watcher does not, as close(2) does.
func (f *watchedFile) Close() error {
	closed := false
	err := f.call("close", func() error {
		closed = true
		return f.File.Close()
	})
	if !closed {
		_ = f.File.Close()
	}
	return err
}
