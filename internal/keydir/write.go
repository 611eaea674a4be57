package keydir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/objectkms/kms"
)

// Temporary files begin with a dot, as no id does, and have names that nobody else gives: these are removed unasked.
const (
	newPrefix = ".objectkms-new-" // a file not yet visible
	oldPrefix = ".objectkms-old-" // the former file of a change that is not committed

	randomSize = 26 // characters behind the prefix
)

func tempName(prefix string) string { return prefix + rand.Text()[:randomSize] }

// isTemp reports whether tempName could have made the name.
func isTemp(name string) bool {
	if random, ok := strings.CutPrefix(name, setPrefix); ok {
		random, target, ok := strings.Cut(random, "-")
		return ok && isRandom(random) && kms.ValidateKeyID(strings.TrimSuffix(target, suffix)) == nil
	}
	for _, prefix := range []string{newPrefix, oldPrefix} {
		if random, ok := strings.CutPrefix(name, prefix); ok {
			return isRandom(random)
		}
	}
	return false
}

func isRandom(word string) bool {
	return len(word) == randomSize && strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// A change is one change of one name, under the lock.
type change struct {
	l        *lock
	fsys     FS
	name     string
	temp     string // the new file, while it has this name
	former   string // the old file, while it has this name
	visible  bool
	inDoubt  bool // what can be read may be neither the former file nor durable
	odd      uint64
	exchange bool // there is a former file
}

// put stores data under a name. exists says whether the name is taken; if not it is not taken over.
func put(l *lock, fsys FS, name string, data []byte, exists bool, counter uint64) error {
	if len(data) > maxFileSize {
		return fmt.Errorf("%w: %s has %d bytes, want at most %d", kms.ErrInvalidRequest, name, len(data), maxFileSize)
	}
	c := &change{l: l, fsys: fsys, name: name, odd: counter, exchange: exists}
	return c.run(func() error {
		if err := c.writeTemp(data); err != nil {
			return err
		}
		if exists {
			return c.replace()
		}
		return c.create()
	})
}

// remove removes a name that is taken.
func remove(l *lock, fsys FS, name string, counter uint64) error {
	c := &change{l: l, fsys: fsys, name: name, odd: counter, exchange: true}
	return c.run(c.drop)
}

// run takes the steps of a change, or takes them back. The lock file says all the while what is going on.
func (c *change) run(steps func() error) error {
	c.l.state.dirty = true
	err := c.l.store()
	if err == nil {
		err = steps()
	}
	if err != nil {
		c.retreat()
		err = failed("store "+c.fsys.Path(c.name), err)
	}
	c.finish()
	return err
}

// writeTemp writes the new file under a temporary name, durably.
func (c *change) writeTemp(data []byte) error {
	c.temp = tempName(newPrefix)
	return writeFile(c.fsys, c.temp, data)
}

// writeFile makes a file, durably but for its name.
func writeFile(fsys FS, name string, data []byte) error {
	f, err := fsys.Open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	err = f.Chmod(fileMode)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// create gives the new file its name, which nobody has.
func (c *change) create() error {
	return c.show(func() error { return c.fsys.Link(c.temp, c.name) })
}

// replace gives the new file the name of the former one, which keeps another until the end.
func (c *change) replace() error {
	name := tempName(oldPrefix)
	if err := c.fsys.Link(c.name, name); err != nil {
		return err
	}
	c.former = name
	return c.show(func() error {
		err := c.fsys.Rename(c.temp, c.name)
		if err == nil {
			c.temp = ""
		}
		return err
	})
}

// drop hides the former file under a temporary name.
func (c *change) drop() error {
	name := tempName(oldPrefix)
	return c.show(func() error {
		err := c.fsys.Rename(c.name, name)
		if err == nil {
			c.former = name
		}
		return err
	})
}

// show takes the step that makes the change visible, between an odd counter and the sync that
// commits it.
func (c *change) show(step func() error) error {
	c.l.state.counter, c.l.state.known = c.odd, true
	if err := c.l.store(); err != nil {
		return err
	}
	if err := step(); err != nil {
		return err
	}
	c.visible = true
	return syncDir(c.fsys)
}

// retreat puts the former file back, and nobody in its place where there was none. Where that fails too the counter
// stays odd, so that nobody believes what he reads before he has synced it.
func (c *change) retreat() {
	if !c.visible {
		return
	}
	var err error
	if c.exchange {
		if err = c.fsys.Rename(c.former, c.name); err == nil {
			c.former = ""
		}
	} else {
		err = c.fsys.Remove(c.name)
	}
	if err == nil {
		err = syncDir(c.fsys)
	}
	c.inDoubt = err != nil
}

// finish removes the temporary names and ends the change in the lock file. None of its failures
// matters: what is left undone here is done before the next change.
func (c *change) finish() {
	clean := discard(c.fsys, c.temp) && discard(c.fsys, c.former)
	if c.inDoubt {
		return
	}
	c.l.state = lockState{counter: c.odd + 1, known: true, dirty: !clean || c.l.littered}
	_ = c.l.store()
}

// discard removes a temporary file, if there is one, and reports whether it is gone.
func discard(fsys FS, name string) bool {
	if name == "" {
		return true
	}
	err := fsys.Remove(name)
	return err == nil || errors.Is(err, fs.ErrNotExist)
}

// A stray is a temporary file that somebody has left.
type stray struct {
	fsys FS
	name string
}

// litter returns the temporary files, of writers at work and of those killed.
func (d *Dir) litter() ([]stray, error) {
	var found []stray
	for _, fsys := range []FS{d.keys, d.top} {
		names, err := readNames(fsys)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if !isTemp(name) {
				continue
			}
			info, err := fsys.Lstat(name)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if err == nil && info.Mode().IsRegular() {
				found = append(found, stray{fsys, name})
			}
		}
	}
	return found, nil
}

// sweep removes all temporary files, and reports whether none is left. The lock must be held.
func (d *Dir) sweep() (clean bool) {
	left, err := d.litter()
	clean = err == nil
	for _, s := range left {
		if !discard(s.fsys, s.name) {
			clean = false
		}
	}
	return clean
}
