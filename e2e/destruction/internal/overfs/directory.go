package overfs

import (
	"context"
	"os"

	"github.com/objectkms/kms/e2e/destruction/internal/history"
	"github.com/objectkms/kms/internal/keydir"
)

// A Directory is a directory on a disk whose calls go through a Watcher. It must exist.
type Directory struct {
	history.Disk
	Watch Watcher
}

var _ history.Directory = Directory{}

func (d Directory) fsys() (keydir.FS, error) {
	fsys, err := keydir.OpenFS(string(d.Disk))
	if err != nil {
		return nil, err
	}
	return Watch(fsys, d.Watch), nil
}

// Make makes the directory itself, which Open finds.
func (d Directory) Make() error { return os.MkdirAll(string(d.Disk), 0o700) }

// Open implements [history.Directory].
func (d Directory) Open(ctx context.Context, root int) (history.Backend, error) {
	fsys, err := d.fsys()
	if err != nil {
		return nil, err
	}
	keys, err := Open(ctx, fsys, d.Config(root))
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// ChangeRoot implements [history.Directory].
func (d Directory) ChangeRoot(ctx context.Context, from, to int) error {
	fsys, err := d.fsys()
	if err != nil {
		return err
	}
	return ChangeRoot(ctx, fsys, d.Config(from), d.Config(to))
}
