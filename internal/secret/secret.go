// Package secret keeps long-lived keys in one arena of locked memory.
//
// The pages of an arena are never swapped out and, where the system can leave them out, never part of a core
// dump. They lie between guard pages and are wiped when the arena is closed. A process may lock only so many bytes
// (RLIMIT_MEMLOCK, often 64 KiB in containers), so a backend keeps all its keys in one arena.
//
// Where no memory can be locked, the policy Plain takes ordinary memory. Keys in it are wiped just the same, but until then
// they may be written to swap space or to a core dump, and no guard page stands before them.
//
// The memory comes from memguard. Importing this package therefore sets the limit for core dumps of the host process
// (RLIMIT_CORE) to zero, for good, also where nothing but Plain is used. No goroutine is started. A host that uses
// memguard itself must not purge it while keys are in use; afterwards every key is answered with ErrClosed.
package secret

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/objectkms/kms/internal/erase"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

// Policy says what memory an arena takes.
type Policy uint8

const (
	Locked Policy = iota // locked memory, or none
	Plain                // ordinary memory; memguard allocates nothing
)

// The errors of an arena. ErrLock comes with what was wanted and what the process may lock.
var (
	ErrLock   = errors.New("memory cannot be locked")
	ErrFull   = errors.New("arena is full")
	ErrStale  = errors.New("slot holds this key no longer")
	ErrClosed = errors.New("arena is closed")
)

// Arena holds a fixed number of keys. It is safe for concurrent use.
type Arena struct {
	mu     sync.RWMutex
	memory memory
	ages   []uint64 // of each slot: how many keys were freed from it
	free   []uint32
}

// Slot is the place of one key in its arena. The zero value holds no key.
type Slot struct {
	arena *Arena
	index uint32
	age   uint64
}

// A memory is what the keys of an arena lie in.
type memory interface {
	// bytes returns the memory, or nil where it is gone.
	bytes() []byte
	// locked reports whether the memory is locked.
	locked() bool
	// destroy wipes the memory and gives it back; a second call does nothing.
	destroy()
}

// NewArena returns an arena for a number of keys, which Close must give back. Where memory cannot
// be locked and the policy wants it, the error wraps ErrLock.
func NewArena(slots int, p Policy) (*Arena, error) {
	if slots < 1 || slots > 1<<20 {
		return nil, fmt.Errorf("arena of %d slots, want 1 to %d", slots, 1<<20)
	}
	m, err := newMemory(slots*KeySize, p)
	if err != nil {
		return nil, err
	}
	a := &Arena{memory: m, ages: make([]uint64, slots)}
	for i := slots - 1; i >= 0; i-- {
		a.free = append(a.free, uint32(i))
	}
	return a, nil
}

func newMemory(size int, p Policy) (memory, error) {
	if p == Plain {
		return &plainMemory{make([]byte, size)}, nil
	}
	return lockMemory(size)
}

// Locked reports whether the keys lie in locked memory.
func (a *Arena) Locked() bool {
	return a.memory.locked()
}

// Put copies a key into the arena. The caller still owns key, and wipes it. It fails with ErrFull,
// with ErrClosed, or if key is not of KeySize bytes.
func (a *Arena) Put(key []byte) (Slot, error) {
	if len(key) != KeySize {
		return Slot{}, fmt.Errorf("key has %d bytes, want %d", len(key), KeySize)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	mem := a.memory.bytes()
	if mem == nil {
		return Slot{}, ErrClosed
	}
	if len(a.free) == 0 {
		return Slot{}, ErrFull
	}
	i := a.free[len(a.free)-1]
	a.free = a.free[:len(a.free)-1]
	erase.After(func() { copy(slotOf(mem, i), key) })
	return Slot{a, i, a.ages[i]}, nil
}

// Use calls use with the key in a slot, which use must neither keep nor change, as [erase.After] does. While it runs, no
// key can be put, freed or wiped, so use must not call the arena. It fails with ErrStale for a slot that was
// freed or is of another arena, and with ErrClosed.
func (a *Arena) Use(s Slot, use func(key []byte)) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	mem := a.memory.bytes()
	if mem == nil {
		return ErrClosed
	}
	if !a.holds(s) {
		return ErrStale
	}
	erase.After(func() { use(slotOf(mem, s.index)) })
	return nil
}

// Free wipes the key in a slot and gives the slot back. A slot that holds the key no longer is left alone.
func (a *Arena) Free(s Slot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	mem := a.memory.bytes()
	if mem == nil || !a.holds(s) {
		return
	}
	Wipe(slotOf(mem, s.index))
	a.ages[s.index]++
	a.free = append(a.free, s.index)
}

// Close wipes all keys and gives the memory back. It waits for calls of Use that are under way, and may be called again.
func (a *Arena) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.memory.destroy()
}

func (a *Arena) holds(s Slot) bool {
	return s.arena == a && a.ages[s.index] == s.age
}

func slotOf(mem []byte, i uint32) []byte {
	return mem[int(i)*KeySize:][:KeySize:KeySize]
}

// Wipe overwrites b with zeros. It keeps b alive until that is done, so that no compiler may leave it out; copies
// that were made of b are not its business.
func Wipe(b []byte) {
	clear(b)
	runtime.KeepAlive(b)
}

// plainMemory is ordinary memory.
type plainMemory struct{ b []byte }

func (m *plainMemory) bytes() []byte { return m.b }
func (m *plainMemory) locked() bool  { return false }

func (m *plainMemory) destroy() {
	Wipe(m.b)
	m.b = nil
}
