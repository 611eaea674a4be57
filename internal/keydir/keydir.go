// Package keydir keeps records in a directory that several processes may share.
//
// The layout is keys/<id>.json for each record, files of the owner's beside keys, such as root.json, the file
// lock, and, where a change of many files was cut off, the file batch. Every process locks the lock file to change anything, and sees in it when something has changed. Nobody may
// delete or replace the lock file, or put files there by other ways, while a process uses the directory. The directory must be on a
// local file system: a network file system orders neither the lock file nor the names.
//
// A change is durable before it is answered: the record is written to a temporary file, which is synced, then renamed,
// and then the directory is synced. If any step fails, the former record is put back. A change
// that cannot even be put back leaves the old record or the new one, whole, and all processes sync it before they believe it.
//
// Directories have mode 0700 and files 0600. Others, symbolic links, files that are not regular and files of other
// users are refused.
package keydir

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	keysName = "keys"
	lockName = "lock"
	rootName = "root.json" // written by the owner, and a sign that there were records
	suffix   = ".json"
)

// Options are the optional settings of a Dir. The zero value is right for most.
type Options struct {
	// MustExist makes Open fail where a directory is missing, which it makes otherwise.
	MustExist bool
	// Now is the clock that new counters start from. Nil means time.Now.
	Now func() time.Time
}

// A Dir is an open directory of records. It is safe for concurrent use, and any number of Dirs, in this process
// and in others, may be open on one directory. Where the directory is moved, replaced or deleted under it, it goes on to read
// the records of the one that it has opened, but finds none missing there, and changes nothing: these are ErrUnavailable.
//
// Errors: ErrUnavailable where the file system fails, which includes one that is full or cannot be written to,
// ErrPermission where it denies access or where a file is one that is refused, and ErrClosed after Close.
type Dir struct {
	path      string // where the directory was found; empty in tests
	top, keys FS
	now       func() time.Time
	reader    lockReader
	seen      atomic.Uint64 // the greatest counter ever seen
	queue     chan struct{} // holds one element while somebody has, or waits for, the lock
	listed    listing
	required  atomic.Pointer[requirement]

	closeOnce sync.Once
	done      chan struct{}
}

func syncDir(fsys FS) error {
	f, err := fsys.Open(".", readFlag, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Close waits for a change that is under way, refuses those that wait, and closes the directory. Later calls are
// ErrClosed; a second Close returns nil.
func (d *Dir) Close() (err error) {
	d.closeOnce.Do(func() {
		close(d.done)
		d.queue <- struct{}{} // for ever: nobody locks again
		d.reader.mu.Lock()
		defer d.reader.mu.Unlock()
		err = errors.Join(d.reader.close(), d.keys.Close(), d.top.Close())
	})
	if err != nil {
		return failed("close", err)
	}
	return nil
}

func (d *Dir) closed() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}
