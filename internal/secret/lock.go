package secret

import (
	"fmt"
	"os"
	"sync"

	"github.com/awnumar/memcall"
	"github.com/awnumar/memguard"
)

// locking makes trial and allocation one step. It is the one global of this package, because the
// limit on locked memory is one of the whole process.
var locking sync.Mutex

// lockedMemory is memory that memguard has locked.
type lockedMemory struct{ buffer *memguard.LockedBuffer }

// lockMemory locks memory, or returns an error that wraps ErrLock.
//
// Where memguard cannot lock memory it wipes all its buffers in the process, those of others too,
// and panics. So the same system calls are tried first, with errors for answers.
func lockMemory(size int) (memory, error) {
	locking.Lock()
	defer locking.Unlock()
	if err := tryLock(size); err != nil {
		return nil, fmt.Errorf("%w: %d bytes are needed%s: %w", ErrLock, pages(size), describeLimit(), err)
	}
	return allocate(size)
}

// allocate asks memguard for memory. Somebody else in the process may have locked some since the trial: then memguard
// panics after all.
func allocate(size int) (m memory, err error) {
	defer func() {
		if r := recover(); r != nil {
			m, err = nil, fmt.Errorf("%w: %v", ErrLock, r)
		}
	}()
	return &lockedMemory{memguard.NewBuffer(size)}, nil
}

// tryLock does for a moment all that memguard does to make a buffer.
func tryLock(size int) error {
	page := os.Getpagesize()
	all, err := memcall.Alloc(pages(size) + 2*page)
	if err != nil {
		return err
	}
	inner := all[page : len(all)-page]
	if err = memcall.Lock(inner); err == nil {
		if err = memcall.Protect(all[:page], memcall.NoAccess()); err == nil {
			err = memcall.Protect(all[len(all)-page:], memcall.NoAccess())
		}
		if unlockErr := memcall.Unlock(inner); err == nil {
			err = unlockErr
		}
	}
	if freeErr := memcall.Free(all); err == nil {
		err = freeErr
	}
	return err
}

// pages returns size rounded up to whole pages, in bytes.
func pages(size int) int {
	page := os.Getpagesize()
	return (size + page - 1) / page * page
}

func (m *lockedMemory) bytes() []byte { return m.buffer.Bytes() }
func (m *lockedMemory) locked() bool  { return true }
func (m *lockedMemory) destroy()      { m.buffer.Destroy() }
