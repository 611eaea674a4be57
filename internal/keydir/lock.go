package keydir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/objectkms/kms"
)

// How long to wait before a taken lock is tried again, at first and at most.
const (
	firstWait = time.Millisecond / 2
	longWait  = 5 * time.Millisecond
)

// A lock is the exclusive lock of the directory, held.
type lock struct {
	d     *Dir
	file  File
	state lockState

	littered bool // others' temporary files could not be removed
}

// A lockUse is what a lock is taken for.
type lockUse bool

const (
	forReading  lockUse = false // the error is errStable where no lock is needed, and fs.ErrNotExist where there is no lock file
	forChanging lockUse = true  // the lock file is made if it is missing
)

// acquire waits for the lock: first for those of this process who came before, in their order, and
// then for other processes.
func (d *Dir) acquire(ctx context.Context, use lockUse) (*lock, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case d.queue <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-d.done:
		return nil, kms.ErrClosed
	}
	l, err := d.acquireFile(ctx, use)
	if err != nil {
		<-d.queue
		return nil, err
	}
	return l, nil
}

// errStable says that there is nothing to wait for any more.
var errStable = errors.New("the directory is stable")

func (d *Dir) acquireFile(ctx context.Context, use lockUse) (*lock, error) {
	for {
		// Of many readers that queue, the first one waits for the writer, and the others need no lock.
		if use == forReading && d.looksStable() {
			return nil, errStable
		}
		f, info, err := d.openLock(use)
		if err != nil {
			return nil, err
		}
		l := &lock{d: d, file: f}
		if err := l.wait(ctx); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		current, err := l.begin(info)
		if current && err == nil {
			return l, nil
		}
		// Where the file was replaced while we waited, nobody else would respect this lock.
		l.unlock()
		if err != nil {
			return nil, err
		}
	}
}

func (d *Dir) looksStable() bool {
	state, err := d.look()
	return err == nil && state.stable()
}

// openLock opens the lock file. On a file system that cannot be written to it is opened for reading only.
func (d *Dir) openLock(use lockUse) (File, fs.FileInfo, error) {
	for {
		f, info, err := openFile(d.top, lockName, readWriteFlag)
		if readOnly(err) && use == forReading {
			f, info, err = openFile(d.top, lockName, readFlag)
		}
		if errors.Is(err, fs.ErrNotExist) && use == forChanging {
			f, info, err = createLock(d.top)
			if errors.Is(err, fs.ErrExist) {
				continue
			}
		}
		if err != nil {
			return nil, nil, failed("open "+d.top.Path(lockName), err)
		}
		return f, info, nil
	}
}

func createLock(fsys FS) (File, fs.FileInfo, error) {
	f, err := fsys.Open(lockName, createFlag, fileMode)
	if err != nil {
		return nil, nil, err
	}
	err = f.Chmod(fileMode)
	info, statErr := f.Stat()
	if err := errors.Join(err, statErr); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// wait locks the file.
func (l *lock) wait(ctx context.Context) error {
	for pause := firstWait; ; pause = min(2*pause, longWait) {
		locked, err := l.file.TryLock()
		if err != nil {
			return failed("lock", err)
		}
		if locked {
			return nil
		}
		if err := l.pause(ctx, pause); err != nil {
			return err
		}
	}
}

func (l *lock) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.d.done:
		return kms.ErrClosed
	}
}

// begin reads the state of a file that has been locked. It reports whether the file is still the lock file.
func (l *lock) begin(info fs.FileInfo) (current bool, err error) {
	named, err := l.d.top.Lstat(lockName)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(named, info) {
		return false, nil
	}
	if err != nil {
		return false, failed("look at the lock file", err)
	}
	if err := l.d.reader.follow(info); err != nil {
		return false, failed("open "+l.d.top.Path(lockName), err)
	}
	seen := l.d.seen.Load()
	if l.state, err = readLockState(l.file); err != nil {
		return false, failed("read the lock file", err)
	}
	return true, l.d.note(l.state, seen)
}

// settle brings to an end what a process has left that was killed, or that could neither finish its change nor take it back.
func (l *lock) settle() error {
	if l.state.stable() && !l.state.dirty {
		return nil
	}
	if err := l.d.finishBatch(); err != nil {
		return failed("finish what was cut off", err)
	}
	l.littered = !l.d.sweep()
	if !l.state.stable() {
		if err := errors.Join(syncDir(l.d.keys), syncDir(l.d.top)); err != nil {
			return failed("sync the directories", err)
		}
		l.state.counter = l.next() + 1
		l.state.known = true
	}
	l.state.dirty = l.littered
	// Where this fails, such as on a read-only file system, the next one settles again.
	_ = l.store()
	return nil
}

// next returns the odd counter of the next change. The even one behind it ends the change. What the
// lock file holds was seen when the lock was taken.
func (l *lock) next() uint64 {
	now := uint64(max(0, l.d.now().UnixMicro()))
	return (max(l.d.seen.Load(), now) + 1) | 1
}

// store writes the state to the lock file.
func (l *lock) store() error {
	if _, err := l.file.WriteAt(l.state.append(nil), 0); err != nil {
		return fmt.Errorf("write the lock file: %w", err)
	}
	return l.d.note(l.state, 0)
}

// release gives the lock back, to the next in line.
func (l *lock) release() {
	l.unlock()
	<-l.d.queue
}

func (l *lock) unlock() {
	// Closing the file unlocks it too, and nothing that was written depends on either.
	_ = l.file.Unlock()
	_ = l.file.Close()
}
