//go:build unix

package local_test

import (
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/keydir"
)

// A reaper lets a number of calls that write reach the disk, and none of any kind after them, as if the process had
// been killed. A write at which it strikes is half done.
type reaper struct {
	left int
	dead bool
}

// write is asked before each call that writes, and read before each other.
func (r *reaper) write() error {
	if r.left--; r.left < 0 {
		r.dead = true
	}
	return r.read()
}

func (r *reaper) read() error {
	if r.dead {
		return syscall.EIO
	}
	return nil
}

// openMortal opens a directory for a process that is killed at its call number left that writes.
func openMortal(t *testing.T, dir string, left int) (*keydir.Dir, *reaper) {
	t.Helper()
	fsys, err := keydir.OpenFS(dir)
	require.NoError(t, err)
	r := &reaper{left: left}
	d, err := keydir.New(mortalFS{fsys, r}, keydir.Options{})
	require.NoError(t, err)
	return d, r
}

type mortalFS struct {
	keydir.FS
	r *reaper
}

func (f mortalFS) Open(name string, flag int, perm fs.FileMode) (keydir.File, error) {
	check := f.r.read
	if flag&os.O_CREATE != 0 {
		check = f.r.write
	}
	if err := check(); err != nil {
		return nil, err
	}
	file, err := f.FS.Open(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return mortalFile{file, f.r}, nil
}

func (f mortalFS) Lstat(name string) (fs.FileInfo, error) {
	if err := f.r.read(); err != nil {
		return nil, err
	}
	return f.FS.Lstat(name)
}

func (f mortalFS) Sub(name string) (keydir.FS, error) {
	sub, err := f.FS.Sub(name)
	return mortalFS{sub, f.r}, err
}

func (f mortalFS) Chmod(name string, mode fs.FileMode) error {
	return after(f.r.write(), func() error { return f.FS.Chmod(name, mode) })
}

func (f mortalFS) Link(oldname, newname string) error {
	return after(f.r.write(), func() error { return f.FS.Link(oldname, newname) })
}

func (f mortalFS) Rename(oldname, newname string) error {
	return after(f.r.write(), func() error { return f.FS.Rename(oldname, newname) })
}

func (f mortalFS) Remove(name string) error {
	return after(f.r.write(), func() error { return f.FS.Remove(name) })
}

func after(err error, do func() error) error {
	if err != nil {
		return err
	}
	return do()
}

type mortalFile struct {
	keydir.File
	r *reaper
}

func (f mortalFile) Write(p []byte) (int, error) {
	return f.half(p, f.File.Write)
}

func (f mortalFile) WriteAt(p []byte, off int64) (int, error) {
	return f.half(p, func(p []byte) (int, error) { return f.File.WriteAt(p, off) })
}

func (f mortalFile) half(p []byte, write func([]byte) (int, error)) (n int, err error) {
	alive := !f.r.dead
	if err := f.r.write(); err != nil {
		if alive {
			n, _ = write(p[:len(p)/2])
		}
		return n, err
	}
	return write(p)
}

func (f mortalFile) Chmod(mode fs.FileMode) error {
	return after(f.r.write(), func() error { return f.File.Chmod(mode) })
}

func (f mortalFile) Sync() error { return after(f.r.write(), f.File.Sync) }
