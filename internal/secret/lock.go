package secret

import (
	"errors"
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
	all, err := memcall.Alloc(pages(size) + 2*os.Getpagesize())
	if err != nil {
		return err
	}
	return errors.Join(lockWithin(all), memcall.Free(all))
}

// lockWithin locks and unlocks all but the first and the last page, which become guard pages.
func lockWithin(all []byte) error {
	page := os.Getpagesize()
	first, inner, last := all[:page], all[page:len(all)-page], all[len(all)-page:]
	if err := memcall.Lock(inner); err != nil {
		return err
	}
	return errors.Join(
		memcall.Protect(first, memcall.NoAccess()),
		memcall.Protect(last, memcall.NoAccess()),
		memcall.Unlock(inner),
	)
}

// pages returns size rounded up to whole pages, in bytes.
func pages(size int) int {
	page := os.Getpagesize()
	return (size + page - 1) / page * page
}

func (m *lockedMemory) bytes() []byte { return m.buffer.Bytes() }
func (m *lockedMemory) locked() bool  { return true }
func (m *lockedMemory) destroy()      { m.buffer.Destroy() }
