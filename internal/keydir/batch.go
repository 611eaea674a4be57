package keydir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/objectkms/kms"
)

// A batch changes many files as if by one rename. Its files are written, durably, under names of their own beside those that
// they are to have. Then the file batch appears, which holds the random word in those names: that is the moment at which the
// change has happened. What follows can be done by anybody, at any time, and again: every file with that word is renamed to its
// name, the directories are synced, and batch is removed.
//
// Killed before batch is there, a process has changed nothing, and its files are swept like other temporary ones. Killed
// later it has changed everything: the counter is odd, so that all other processes wait for the lock, and whoever gets it finishes
// the batch before anybody reads. Where the counter was lost too, as after a power cut, Complete does so. The word makes sure that
// a batch file whose removal was not durable can never name the files of a later batch.
const (
	batchName = "batch"
	setPrefix = ".objectkms-set-" // and the word, a hyphen, and the name that the file is to have
)

// A Batch is a change of many files at once. It is valid while the function runs that it was given to, and not safe
// for concurrent use.
type Batch struct {
	l       *lock
	word    string
	odd     uint64
	staged  bool // there may be files of this batch
	visible bool // there may be a file batch
	inDoubt bool // nobody knows whether there is, or its files are not all in their places
}

// Batch runs change, and then stores all that it has put at once: if the process or the machine stops, at whatever moment,
// all of it is stored or nothing. change runs once, while nobody else can change anything, and must not use the Dir. Its error is
// returned as it is, and then nothing is stored. ctx is obeyed until the lock is taken.
//
// After another error nothing is stored, or everything; an error that comes when everything is already durable says so, and
// whoever uses the directory next finishes it. Errors are those of Mutate.
func (d *Dir) Batch(ctx context.Context, change func(b *Batch) error) error {
	return d.locked(ctx, func(l *lock) error {
		b := &Batch{l: l, word: rand.Text()[:randomSize], odd: l.next()}
		err := change(b)
		if b.staged {
			err = b.end(err)
		}
		return err
	})
}

// Generation returns a number greater than the generation of every earlier change, for all records of the batch.
func (b *Batch) Generation() uint64 { return b.odd + 1 }

// IDs returns the sorted ids of all records.
func (b *Batch) IDs() ([]string, error) {
	ids, err := readIDs(b.l.d.keys)
	if err != nil {
		return nil, failed("list "+b.l.d.keys.Path("."), err)
	}
	return ids, nil
}

// Get returns the record of an id as it was before the batch, nil where there is none. Errors are those of [Dir.Get].
func (b *Batch) Get(id string) ([]byte, error) {
	if err := kms.ValidateKeyID(id); err != nil {
		return nil, err
	}
	return readRecord(b.l.d.keys, id)
}

// Put stores a record, once for each id.
func (b *Batch) Put(id string, record []byte) error {
	if err := kms.ValidateKeyID(id); err != nil {
		return err
	}
	return b.stage(b.l.d.keys, id+suffix, record)
}

// PutFile stores a file beside the records, once for each name, in place of the one that has it.
func (b *Batch) PutFile(name string, data []byte) error {
	if err := checkFileName(name); err != nil {
		return err
	}
	return b.stage(b.l.d.top, name, data)
}

// stage writes a file under its name in the batch, durably but for the name.
func (b *Batch) stage(fsys FS, name string, data []byte) error {
	if len(data) > maxFileSize {
		return fmt.Errorf("%w: %s has %d bytes, want at most %d", kms.ErrInvalidRequest, name, len(data), maxFileSize)
	}
	// No file can be renamed to the name of a directory: the batch would have happened, and nobody could finish it.
	if info, err := fsys.Lstat(name); err == nil && info.IsDir() {
		return fmt.Errorf("%w: %s is a directory, want a regular file", kms.ErrKeyMaterial, fsys.Path(name))
	}
	if !b.staged {
		b.l.state.dirty, b.staged = true, true
		if err := b.l.store(); err != nil {
			return failed("begin a batch", err)
		}
	}
	if err := writeFile(fsys, setPrefix+b.word+"-"+name, data); err != nil {
		return failed("store "+fsys.Path(name), err)
	}
	return nil
}

// end commits the batch where err is nil, or takes it back.
func (b *Batch) end(err error) error {
	if err == nil {
		if err = b.commit(); err != nil {
			err = failed("store a batch", err)
			b.retreat()
		} else if err = b.l.d.finishBatch(); err != nil {
			b.inDoubt = true
			err = failed("the batch is stored, but not yet in its place", err)
		}
	}
	if b.inDoubt {
		return err // the counter stays odd, and the next one settles it
	}
	b.l.state = lockState{counter: b.odd + 1, known: true, dirty: !b.l.d.sweep()}
	// Where this fails the next one settles again: then the counter is still odd, or there is still dirt.
	_ = b.l.store()
	return err
}

// commit makes the batch the state of the directory: it is durable once this returns nil.
func (b *Batch) commit() error {
	d := b.l.d
	if err := errors.Join(syncDir(d.keys), syncDir(d.top)); err != nil {
		return err
	}
	temp := tempName(newPrefix)
	if err := writeFile(d.top, temp, []byte(b.word+"\n")); err != nil {
		return err
	}
	b.l.state.counter, b.l.state.known = b.odd, true
	if err := b.l.store(); err != nil {
		return err
	}
	if err := d.top.Link(temp, batchName); err != nil {
		return err
	}
	b.visible = true
	return syncDir(d.top)
}

// retreat takes the file batch away again. Where that fails, what it names must not be touched.
func (b *Batch) retreat() {
	if !b.visible {
		return
	}
	err := b.l.d.top.Remove(batchName)
	if err == nil {
		err = syncDir(b.l.d.top)
	}
	b.inDoubt = err != nil
}

// finishBatch puts the files of a batch in their places, if there is one that has happened. The lock must be held, with
// the counter odd, or unknown to everybody.
func (d *Dir) finishBatch() error {
	// A batch file that is seen, or is not, might be otherwise after a power cut: not so from here on.
	if err := syncDir(d.top); err != nil {
		return err
	}
	text, err := readFile(d.top, batchName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	word, ok := strings.CutSuffix(string(text), "\n")
	if !ok || !isRandom(word) {
		return fmt.Errorf("%w: %s is malformed", kms.ErrKeyMaterial, d.top.Path(batchName))
	}
	for _, fsys := range []FS{d.keys, d.top} {
		if err := placeFiles(fsys, setPrefix+word+"-"); err != nil {
			return err
		}
	}
	if err := d.top.Remove(batchName); err != nil {
		return err
	}
	return syncDir(d.top)
}

// placeFiles takes a prefix from the names of files, durably.
func placeFiles(fsys FS, prefix string) error {
	names, err := readNames(fsys)
	if err != nil {
		return err
	}
	for _, name := range names {
		if target, ok := strings.CutPrefix(name, prefix); ok {
			if err := fsys.Rename(name, target); err != nil {
				return err
			}
		}
	}
	return syncDir(fsys)
}

// Complete finishes a batch that was cut off, if there is one. Whoever opens a directory calls it before he
// reads anything: no key is needed for it.
func (d *Dir) Complete(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if pending, err := d.batchPending(); !pending || err != nil {
		return err
	}
	return d.locked(ctx, func(l *lock) error {
		if pending, err := d.batchPending(); !pending || err != nil {
			return err
		}
		// The lock file is an old one, and knows nothing of the batch.
		l.state = lockState{counter: l.next(), known: true, dirty: true}
		if err := l.store(); err != nil {
			return failed("finish what was cut off", err)
		}
		return l.settle()
	})
}

// batchPending reports whether there is a batch that has happened and is not in its place.
func (d *Dir) batchPending() (bool, error) {
	_, err := d.top.Lstat(batchName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, failed("look at "+d.top.Path(batchName), err)
	}
	return true, nil
}
