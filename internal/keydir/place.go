package keydir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/objectkms/kms"
)

// A requirement is what a file beside the records must hold.
type requirement struct {
	name string
	data []byte
}

// Require makes every later change, List, and HealthCheck, fail with ErrKeyMaterial where a file beside the records holds anything else than
// data. So nobody stores a record for a directory that has meanwhile become another one, or takes all its records for damaged ones.
func (d *Dir) Require(name string, data []byte) {
	d.required.Store(&requirement{name, bytes.Clone(data)})
}

// checkRequired reads the file of Require, if there is one.
func (d *Dir) checkRequired(read func(name string) ([]byte, error)) error {
	r := d.required.Load()
	if r == nil {
		return nil
	}
	path := d.top.Path(r.name)
	data, err := read(r.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s is missing", kms.ErrKeyMaterial, path)
	case err != nil:
		return failed("read "+path, err)
	case !bytes.Equal(data, r.data):
		return fmt.Errorf("%w: %s was changed since it was opened", kms.ErrKeyMaterial, path)
	}
	return nil
}

// inPlace returns ErrUnavailable where the directory, or keys in it, was moved, replaced or deleted since it was opened: what is
// under its name is not what is open.
func (d *Dir) inPlace() error {
	if d.path != "" {
		if err := samePlace(d.path, os.Lstat, d.top); err != nil {
			return err
		}
	}
	return samePlace(d.top.Path(keysName), func(string) (fs.FileInfo, error) { return d.top.Lstat(keysName) }, d.keys)
}

func samePlace(path string, lstat func(string) (fs.FileInfo, error), open FS) error {
	named, err := lstat(path)
	if err != nil {
		return failed("look at "+path, err)
	}
	info, err := open.Lstat(".")
	if err != nil {
		return failed("look at "+path, err)
	}
	if !os.SameFile(named, info) {
		return fmt.Errorf("%w: the directory %s was replaced", kms.ErrUnavailable, path)
	}
	return nil
}

// HealthCheck returns nil if records can be read and changed: the directory is still in its place, the
// lock file is sound, and the file of Require holds what it must.
func (d *Dir) HealthCheck(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.inPlace(); err != nil {
		return err
	}
	if err := d.checkRequired(func(name string) ([]byte, error) { return d.ReadFile(ctx, name) }); err != nil {
		return err
	}
	_, err := d.look()
	return err
}
