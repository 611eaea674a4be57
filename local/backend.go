package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/kdf"
	"github.com/objectkms/kms/internal/keydir"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/secret"
)

// Backend keeps master keys in a directory. It has all operations of [kms.Backend] and of every
// optional interface of a backend, and is safe for concurrent use. Make one with New.
//
// A damaged record is ErrKeyMaterial for its own key, and hides no other. A file system that fails is
// ErrUnavailable: then the former state stands. A key directory that another user could read or that was replaced by an older copy is
// ErrPermission or ErrKeyMaterial.
type Backend struct {
	*ring
}

// ring gives Backend the methods of a Ring under a name that others cannot reach.
type ring = keyring.Ring

var (
	_ kms.Backend           = (*Backend)(nil)
	_ kms.KeyStateChanger   = (*Backend)(nil)
	_ kms.KeyRotator        = (*Backend)(nil)
	_ kms.KeyImporter       = (*Backend)(nil)
	_ kms.KeyUpdater        = (*Backend)(nil)
	_ kms.DataKeyRewrapper  = (*Backend)(nil)
	_ kms.ExpiredKeyRemover = (*Backend)(nil)
)

// BackendType returns "local".
func (*Backend) BackendType() string { return backendType }

// New opens the directory, and sets it up at first use. Secrets are copied, and stay the caller's. Nothing on
// disk is changed where the root key is a wrong one.
//
// Errors: ErrInvalidConfig where the configuration is malformed or of another kind than the directory was set up with, or where no memory
// can be locked; ErrKeyMaterial where the root key is a wrong one, root.json was changed, or it is
// missing beside keys; ErrPermission where files are not this user's alone; ErrUnavailable where the file
// system fails; ErrUnsupported where the platform or its FIPS mode rules the configuration out.
func New(ctx context.Context, c Config) (*Backend, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := kdf.CheckMode(c.kdf()); err != nil {
		return nil, err
	}
	dir, err := keydir.Open(c.Dir, keydir.Options{})
	if err != nil {
		return nil, err
	}
	keys, err := c.openRing(ctx, dir)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return &Backend{keys}, nil
}

// openRing opens the keys in the directory, and only then sets right in it what a killed process has left.
func (c Config) openRing(ctx context.Context, dir *keydir.Dir) (*keyring.Ring, error) {
	root, err := c.openRoot(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer clear(root.Key)
	memory := secret.Locked
	if c.AllowUnlockedMemory {
		memory = secret.Fallback
	}
	keys, err := keyring.Open(&rootedDir{dir, root.file}, root.Root, keyring.Options{Memory: memory})
	if errors.Is(err, secret.ErrLock) {
		return nil, fmt.Errorf("%w: %w; raise the limit, or set AllowUnlockedMemory", kms.ErrInvalidConfig, err)
	}
	if err != nil {
		return nil, err
	}
	if err = keyring.CheckRoot(ctx, keys); err == nil {
		err = dir.Recover(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, keys.Close())
	}
	return keys, nil
}

// A rootedDir is a directory whose root.json was read.
type rootedDir struct {
	*keydir.Dir
	file []byte
}

// HealthCheck also compares root.json with what it was: without the right one nobody could open the directory again.
func (d *rootedDir) HealthCheck(ctx context.Context) error {
	if err := d.Dir.HealthCheck(ctx); err != nil {
		return err
	}
	file, err := d.ReadFile(ctx, rootName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s is missing", kms.ErrKeyMaterial, rootName)
	case err != nil:
		return err
	case !bytes.Equal(file, d.file):
		return fmt.Errorf("%w: %s was changed since it was opened", kms.ErrKeyMaterial, rootName)
	}
	return nil
}
