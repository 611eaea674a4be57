//go:build unix

package order_test

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/objectkms/kms/e2e/destruction/internal/overfs"
)

// A ledger follows the calls to a key directory, and notes what is out of order. What it wants:
//
//   - A file has its data on the disk before it gets a name that somebody reads.
//   - Such names change only while the counter in the lock file is odd, and are on the disk before it is even again.
//   - The file batch gets its name when all files of the batch have theirs, durably.
//   - A change is answered when all of this is done.
//
// Names that begin with a dot are read by nobody. The lock file is never synced: it may be lost.
type ledger struct {
	data   map[string]bool // files with data that is not on the disk
	names  map[string]bool // directories with changes of names, that somebody reads, that are not on the disk
	staged map[string]bool // the same for files of a batch
	odd    bool

	changes int // how many times a name has changed that somebody reads
	faults  []string
}

func newLedger() *ledger {
	return &ledger{data: map[string]bool{}, names: map[string]bool{}, staged: map[string]bool{}}
}

// counterByte is the last byte of the counter in the lock file.
const counterByte = 7

func (l *ledger) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

func read(name string) bool { return !strings.HasPrefix(path.Base(name), ".") }

// above returns the directory of a name, which may be one above the key directory.
func above(name string) string { return path.Join(name, "..") }

// outside reports whether a name is outside the key directory, where there is no counter.
func outside(name string) bool { return strings.HasPrefix(name, "..") }

func (l *ledger) add(c overfs.Call) {
	switch c.Verb {
	case "create":
		l.create(c.Path)
	case "write":
		l.write(c)
	case "mkdir":
		l.names[above(c.Path)] = true
	case "link":
		l.name(c.Path, c.To)
	case "rename":
		l.name(c.Path, c.To)
		delete(l.data, c.Path)
		l.unname(c.Path)
	case "remove":
		delete(l.data, c.Path)
		l.unname(c.Path)
	case "sync":
		delete(l.data, c.Path)
		delete(l.names, c.Path)
		delete(l.staged, c.Path)
	}
}

func (l *ledger) create(name string) {
	switch {
	case name == "lock":
		return
	case read(name):
		l.fault("%s is made under its own name", name)
	case strings.HasPrefix(path.Base(name), ".objectkms-set-"):
		l.staged[above(name)] = true
	}
	l.data[name] = true
}

func (l *ledger) write(c overfs.Call) {
	if c.Path != "lock" {
		l.data[c.Path] = true
		return
	}
	if len(c.Data) <= counterByte {
		l.fault("%d bytes are written to the lock file, want the whole counter", len(c.Data))
		return
	}
	if l.odd = c.Data[counterByte]&1 == 1; !l.odd && len(l.names) > 0 {
		l.fault("the counter is even, and names are not on the disk: %v", l.names)
	}
}

// name notes that a file gets a name.
func (l *ledger) name(from, to string) {
	if !read(to) {
		return
	}
	if l.data[from] {
		l.fault("%s gets its name before its data is on the disk", to)
	}
	if to == "batch" && len(l.staged) > 0 {
		l.fault("batch gets its name before the files of the batch have theirs: %v", l.staged)
	}
	l.change(to)
}

// unname notes that a file loses a name.
func (l *ledger) unname(name string) {
	if read(name) {
		l.change(name)
	}
}

func (l *ledger) change(name string) {
	l.changes++
	if !l.odd && !outside(name) {
		l.fault("%s changes while the counter is even", name)
	}
	l.names[above(name)] = true
}

// answer notes that the change was answered.
func (l *ledger) answer() {
	if l.odd || len(l.names) > 0 {
		l.fault("answered with counter odd %t, and names that are not on the disk: %v", l.odd, l.names)
	}
}

// audit returns what is wrong with calls that end with an answer, and how many names they change.
func audit(calls []overfs.Call) (faults []string, changes int) {
	l := newLedger()
	for _, c := range calls {
		l.add(c)
	}
	l.answer()
	return l.faults, l.changes
}

// without returns the calls but for those that are to be left out.
func without(calls []overfs.Call, out func(overfs.Call) bool) []overfs.Call {
	return slices.DeleteFunc(slices.Clone(calls), out)
}
