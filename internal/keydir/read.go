package keydir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

// Stamp returns a number that differs from every earlier one once any record has changed. stable
// is false while a change is under way: then nothing that is read may be remembered. It costs one read of a few bytes. A
// number lower than one that this Dir has seen is ErrKeyMaterial: the directory was replaced by an older copy.
func (d *Dir) Stamp(ctx context.Context) (stamp uint64, stable bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	s, err := d.look()
	return s.counter, s.stable() && err == nil, err
}

// Get returns the record of an id, which is the receiver's. Errors, besides those of a Dir:
// ErrKeyNotFound, ErrInvalidRequest where the id is malformed, and ErrKeyMaterial, beside ErrPermission, where the file
// is one that is refused, and [keyring.ErrUnreadable], beside ErrUnavailable, where the medium does not give back what was written.
func (d *Dir) Get(ctx context.Context, id string) (record []byte, err error) {
	if err := kms.ValidateKeyID(id); err != nil {
		return nil, err
	}
	err = d.committed(ctx, func() error {
		record, err = readRecord(d.keys, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	if record == nil {
		if err := d.inPlace(); err != nil {
			return nil, err // it may be missing here only
		}
		return nil, fmt.Errorf("%w: %s", kms.ErrKeyNotFound, id)
	}
	return record, nil
}

// readRecord returns nil for a record that does not exist.
func readRecord(keys FS, id string) ([]byte, error) {
	record, err := readFile(keys, id+suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		return record, nil
	}
	// One file that cannot be read is one record, and hides no other.
	switch err = failed("read "+keys.Path(id+suffix), err); {
	case errors.Is(err, kms.ErrPermission):
		err = fmt.Errorf("%w: %w", kms.ErrKeyMaterial, err)
	case badMedium(err):
		err = fmt.Errorf("%w: %w", keyring.ErrUnreadable, err)
	}
	return nil, err
}

// ReadFile returns the content of a file beside the records. Where there is none, the error is
// fs.ErrNotExist.
func (d *Dir) ReadFile(ctx context.Context, name string) (data []byte, err error) {
	if err := checkFileName(name); err != nil {
		return nil, err
	}
	err = d.committed(ctx, func() error {
		data, err = readFile(d.top, name)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, failed("read "+d.top.Path(name), err)
	}
	return data, nil
}

func checkFileName(name string) error {
	if err := kms.ValidateKeyID(name); err != nil || name == keysName || name == lockName || name == batchName {
		return fmt.Errorf("%w: %q is no name for a file beside the records", kms.ErrInvalidRequest, name)
	}
	return nil
}

// List returns the sorted ids that are greater than after, at most n. A file whose name is no id is passed over,
// and an id is listed whatever its file is. Errors, besides those of a Dir: ErrKeyMaterial where the file of Require is another one.
func (d *Dir) List(ctx context.Context, after string, n int) ([]string, error) {
	ids, err := d.ids(ctx)
	if err != nil {
		return nil, err
	}
	i, found := slices.BinarySearch(ids, after)
	if found {
		i++
	}
	return slices.Clone(ids[i:min(len(ids), i+max(n, 0))]), nil
}

// A listing is the sorted ids of all records, as they were at a stamp.
type listing struct {
	mu    sync.Mutex
	stamp uint64
	ids   []string // never changed
}

func (l *listing) at(stamp uint64) (ids []string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ids, l.ids != nil && l.stamp == stamp
}

func (l *listing) set(stamp uint64, ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stamp, l.ids = stamp, ids
}

// ids returns the sorted ids of all records, from memory where nothing has changed.
func (d *Dir) ids(ctx context.Context) ([]string, error) {
	stamp, stable, err := d.Stamp(ctx)
	if err != nil {
		return nil, err
	}
	if ids, ok := d.listed.at(stamp); ok && stable {
		return ids, nil
	}
	var ids []string
	err = d.committed(ctx, func() error {
		if ids, err = readIDs(d.keys); err != nil {
			return err
		}
		return d.checkRequired(func(name string) ([]byte, error) { return readFile(d.top, name) })
	})
	if err != nil {
		return nil, failed("list "+d.keys.Path("."), err)
	}
	if err := d.inPlace(); err != nil {
		return nil, err
	}
	if stable {
		d.listed.set(stamp, ids)
	}
	return ids, nil
}

func readIDs(keys FS) ([]string, error) {
	names, err := readNames(keys)
	if err != nil {
		return nil, err
	}
	ids := names[:0]
	for _, name := range names {
		if id, ok := strings.CutSuffix(name, suffix); ok && kms.ValidateKeyID(id) == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

func readNames(fsys FS) ([]string, error) {
	f, err := fsys.Open(".", readFlag, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// committed runs read, again if need be, until it has seen nothing but what is committed: durable, and
// never taken back. It returns the error of that run.
func (d *Dir) committed(ctx context.Context, read func() error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		before, err := d.look()
		if err != nil {
			return err
		}
		if before.stable() {
			readErr := read()
			after, err := d.look()
			if err != nil {
				return err
			}
			if after.stable() && after.counter == before.counter {
				return readErr
			}
		}
		readErr, err := d.readLocked(ctx, read)
		if errors.Is(err, errStable) {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			// Nobody has changed anything since the directory was copied without its lock file, unless one is made just now, or
			// what was copied was not whole.
			if err := d.Complete(ctx); err != nil {
				return err
			}
			readErr = read()
			if _, err = d.top.Lstat(lockName); errors.Is(err, fs.ErrNotExist) {
				return readErr
			}
			continue
		}
		if err != nil {
			return err
		}
		return readErr
	}
}

// readLocked runs read while nobody can change anything.
func (d *Dir) readLocked(ctx context.Context, read func() error) (readErr, err error) {
	l, err := d.acquire(ctx, forReading)
	if err != nil {
		return nil, err
	}
	defer l.release()
	if err := l.settle(); err != nil {
		return nil, err
	}
	return read(), nil
}
