package keydir

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// An FS is one directory, as far as a Dir needs it. Every name is a single path element, and "."
// is the directory itself. Errors are those of package os. It is safe for concurrent use.
//
// It is the seam at which tests record calls and let them fail; [OpenFS] returns the one that is used otherwise.
type FS interface {
	// Open opens a file, and creates it where flag says so. Opening never waits for the other end of a FIFO.
	Open(name string, flag int, perm fs.FileMode) (File, error)
	// Lstat describes the file itself, also where it is a symbolic link.
	Lstat(name string) (fs.FileInfo, error)
	Mkdir(name string, perm fs.FileMode) error
	Chmod(name string, mode fs.FileMode) error
	// Link gives a file a second name. It fails with fs.ErrExist where that name is taken.
	Link(oldname, newname string) error
	// Rename gives a file another name, in place of the file that had it.
	Rename(oldname, newname string) error
	Remove(name string) error
	// Sub opens a directory within this one.
	Sub(name string) (FS, error)
	// Path returns a name as errors show it: with the path of the directory.
	Path(name string) string
	Close() error
}

// A File is an open file of an FS.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Chmod(mode fs.FileMode) error
	// Sync makes what was written to a file, or the names in a directory, durable.
	Sync() error
	Readdirnames(n int) ([]string, error)
	// TryLock takes the exclusive lock of the file, for as long as it is open, unless another File
	// has it, in this process or in another.
	TryLock() (bool, error)
	Unlock() error
}

// OpenFS opens an existing directory for [New].
func OpenFS(dir string) (FS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return rootFS{root, dir}, nil
}

// rootFS is an FS that cannot be left, not even through a symbolic link.
type rootFS struct {
	*os.Root
	path string
}

func (r rootFS) Path(name string) string { return filepath.Join(r.path, name) }

func (r rootFS) Open(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := r.OpenFile(name, flag|openFlags, perm)
	if err != nil {
		return nil, err
	}
	return rootFile{f}, nil
}

func (r rootFS) Sub(name string) (FS, error) {
	sub, err := r.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return rootFS{sub, r.Path(name)}, nil
}

type rootFile struct{ *os.File }

// TryLock implements [File].
func (f rootFile) TryLock() (locked bool, err error) {
	err = f.control(func(fd uintptr) error {
		locked, err = tryLock(fd)
		return err
	})
	return locked, err
}

// Unlock implements [File]. A lock that closing the file would release only when the last copy
// of the descriptor is closed, perhaps by a child process, is so released at once.
func (f rootFile) Unlock() error { return f.control(unlock) }

func (f rootFile) control(do func(fd uintptr) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var doErr error
	if err := conn.Control(func(fd uintptr) { doErr = do(fd) }); err != nil {
		return err
	}
	if doErr != nil {
		return fmt.Errorf("lock: %w", doErr)
	}
	return nil
}
