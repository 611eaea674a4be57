package keydir

import (
	"errors"
	"io/fs"
	"os"
	"sync"
)

const (
	readFlag      = os.O_RDONLY
	readWriteFlag = os.O_RDWR
	createFlag    = os.O_RDWR | os.O_CREATE | os.O_EXCL
)

// checkEvery says how many looks may pass until the lock file's name is compared with the file that
// is open. Nobody may replace the lock file while processes use the directory; where it happens
// nevertheless, this bounds how long a process that only reads goes on with what it knows.
const checkEvery = 64

// A lockReader keeps the lock file open for reading.
type lockReader struct {
	fsys FS

	mu    sync.Mutex
	f     File // nil while there is no lock file
	info  fs.FileInfo
	looks int
}

// file returns the open lock file, or nil where there is none. It may be closed by another
// goroutine at any time, when the lock file turns out to have been replaced.
func (r *lockReader) file() (File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.looks++; r.f != nil && (r.looks%checkEvery != 0 || r.current()) {
		return r.f, nil
	}
	if err := r.reopen(); err != nil {
		return nil, failed("open "+r.fsys.Path(lockName), err)
	}
	return r.f, nil
}

// current reports whether the open file is still the lock file. It needs no descriptor, so that a process that has none left
// still works.
func (r *lockReader) current() bool {
	info, err := r.fsys.Lstat(lockName)
	return err == nil && os.SameFile(r.info, info) && checkFile(lockName, info) == nil
}

// reopen opens the lock file unless it is the one that is open already.
func (r *lockReader) reopen() error {
	f, info, err := openFile(r.fsys, lockName, readFlag)
	if errors.Is(err, fs.ErrNotExist) {
		return r.close()
	}
	if err != nil {
		return err
	}
	if r.f != nil && os.SameFile(r.info, info) {
		return f.Close()
	}
	err = r.close()
	r.f, r.info = f, info
	return err
}

// follow makes sure that the file read is the one that was just locked.
func (r *lockReader) follow(locked fs.FileInfo) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.f != nil && os.SameFile(r.info, locked) {
		return nil
	}
	return r.reopen()
}

func (r *lockReader) close() error {
	f := r.f
	if f == nil {
		return nil
	}
	r.f, r.info = nil, nil
	return f.Close()
}
