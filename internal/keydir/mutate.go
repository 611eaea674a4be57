package keydir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/objectkms/kms"
)

// Mutate runs change with the record of an id, nil where there is none, and with a generation greater than that of
// every earlier change, by this process or another. What change returns is stored, durably, before Mutate returns; nil
// deletes the record. change runs once, while nobody else can change anything, and must not use the Dir. An error of change is returned
// as it is and changes nothing. ctx is obeyed until the lock is taken.
//
// Errors, besides those of a Dir: ErrInvalidRequest where the id is malformed or the record is larger than 1 MiB, ErrKeyMaterial
// where the record's file is one that is refused. After an error the former record stands, unless the
// file system has also refused to put it back.
func (d *Dir) Mutate(ctx context.Context, id string, change func(old []byte, generation uint64) ([]byte, error)) error {
	if err := kms.ValidateKeyID(id); err != nil {
		return err
	}
	return d.locked(ctx, func(l *lock) error {
		old, err := readRecord(d.keys, id)
		if err != nil {
			return err
		}
		counter := l.next()
		data, err := change(old, counter+1)
		switch {
		case err != nil:
			return err
		case data != nil:
			return put(l, d.keys, id+suffix, data, old != nil, counter)
		case old != nil:
			return remove(l, d.keys, id+suffix, counter)
		}
		return nil
	})
}

// CreateFile stores a file beside the records, durably. Where there is one by this name already, it
// stays, and the error is ErrKeyExists and fs.ErrExist. Other errors are those of Mutate.
func (d *Dir) CreateFile(ctx context.Context, name string, data []byte) error {
	if err := checkFileName(name); err != nil {
		return err
	}
	return d.locked(ctx, func(l *lock) error {
		_, err := d.top.Lstat(name)
		switch {
		case err == nil:
			return fmt.Errorf("%w: %s: %w", kms.ErrKeyExists, name, fs.ErrExist)
		case !errors.Is(err, fs.ErrNotExist):
			return failed("look at "+d.top.Path(name), err)
		}
		return put(l, d.top, name, data, false, l.next())
	})
}

// Recover brings to an end what killed processes have left, and removes their temporary files.
// A directory in good order is only read; one without a lock file gets one. A file system that cannot be written to is left as
// it is, unless a batch was cut off in it.
func (d *Dir) Recover(ctx context.Context) error {
	if err := d.Complete(ctx); err != nil {
		return err
	}
	state, err := d.look()
	if err != nil {
		return err
	}
	litter, err := d.litter()
	if err != nil {
		return failed("list "+d.top.Path("."), err)
	}
	if state.stable() && !state.dirty && len(litter) == 0 {
		return nil
	}
	err = d.locked(ctx, func(l *lock) error {
		d.sweep() // after a power cut the lock file may not know of all
		return nil
	})
	if readOnly(err) {
		return nil
	}
	return err
}

// locked runs do with the lock held and the directory settled.
func (d *Dir) locked(ctx context.Context, do func(l *lock) error) error {
	l, err := d.acquire(ctx, forChanging)
	if err != nil {
		return err
	}
	defer l.release()
	if err := l.settle(); err != nil {
		return err
	}
	if err := d.inPlace(); err != nil {
		return err
	}
	if err := d.checkRequired(func(name string) ([]byte, error) { return readFile(d.top, name) }); err != nil {
		return err
	}
	return do(l)
}
