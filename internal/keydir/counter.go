package keydir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/objectkms/kms"
)

// The lock file holds the counter, its complement, so that a torn write is seen, and a byte that
// says whether temporary files may lie about.
//
// The counter is even while all that can be read is committed, that is durable, and odd from before a
// change becomes visible until it is committed or taken back. It only rises.
//
// Why readers are linearizable across processes. A writer holds the exclusive lock, writes an odd
// counter, makes its change visible by one rename or link, syncs the directory, writes a greater even counter, and
// only then answers. Reads and writes of one file by processes of one machine are ordered. So:
//   - A reader that sees an even counter c knows that every change that was answered before is visible, and
//     that no change has become visible since the last one that c covers.
//   - What it reads between two looks that both see c is the committed state at c: a change that became visible in between would
//     have made the second look see more.
//   - What it remembers under c may be used for as long as a look sees c.
//   - A reader that sees an odd counter waits for the lock. Then no writer is at work; if the counter is
//     still odd one was killed, and the reader makes whatever it left durable before believing it. Nobody so
//     acts on a change that a power cut or the writer's own retreat could take back.
//
// The counter itself is not synced, so a power cut may leave an older one, or none. A new counter is
// therefore never less than the clock in microseconds. A change takes far longer than a microsecond, so the
// counter does not outrun the clock, and a lost one is no obstacle unless the clock was set back too. In that
// case the package above, which keeps the generation in the record, refuses to write a lower one.
const (
	counterSize = 16
	lockSize    = counterSize + 1

	maxCounter = 1 << 62 // no clock comes near it
)

// A lockState is what the lock file holds.
type lockState struct {
	counter uint64
	known   bool // the counter was there, and whole
	dirty   bool // temporary files may lie about
}

// stable reports whether all that can be read is committed.
func (s lockState) stable() bool { return s.known && s.counter%2 == 0 }

func (s lockState) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, s.counter)
	b = binary.BigEndian.AppendUint64(b, ^s.counter)
	if s.dirty {
		return append(b, 1)
	}
	return append(b, 0)
}

// parseLockState reads what append wrote. Everything else is an unknown counter and maybe a mess.
func parseLockState(b []byte) lockState {
	if len(b) < lockSize {
		return lockState{dirty: true}
	}
	s := lockState{counter: binary.BigEndian.Uint64(b), known: true, dirty: b[counterSize] != 0}
	if binary.BigEndian.Uint64(b[8:]) != ^s.counter || s.counter > maxCounter {
		return lockState{dirty: true}
	}
	return s
}

// readLockState reads the lock file with a single call, so that it costs little and sees one moment.
func readLockState(f File) (lockState, error) {
	var b [lockSize]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return lockState{}, err
	}
	return parseLockState(b[:n]), nil
}

// look returns the state as it is now. It is unknown where there is no lock file.
func (d *Dir) look() (lockState, error) {
	// What was seen must be asked before the file is: others may see more in between.
	seen := d.seen.Load()
	f, err := d.reader.file()
	if f == nil || err != nil {
		return lockState{}, err
	}
	s, err := readLockState(f)
	if errors.Is(err, fs.ErrClosed) && !d.closed() {
		return lockState{}, nil // it was replaced just now
	}
	if err != nil {
		return lockState{}, failed("read the lock file", err)
	}
	return s, d.note(s, seen)
}

// note refuses a counter that has gone back, and remembers the others.
func (d *Dir) note(s lockState, seen uint64) error {
	if !s.known {
		return nil
	}
	if s.counter < seen {
		return fmt.Errorf("%w: the directory was replaced by an older copy: its counter is %d, and %d was seen before", kms.ErrKeyMaterial, s.counter, seen)
	}
	for seen < s.counter && !d.seen.CompareAndSwap(seen, s.counter) {
		seen = d.seen.Load()
	}
	return nil
}
