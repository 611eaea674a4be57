package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/erase"
	"github.com/objectkms/kms/internal/kdf"
	"github.com/objectkms/kms/internal/keydir"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/secret"
)

// Backend keeps master keys in a directory. It has all operations of [kms.Backend] and of every
// optional interface of a backend, and is safe for concurrent use. Make one with New.
//
// A damaged record is ErrKeyMaterial for its own key, and one that cannot be read ErrUnavailable; neither hides another. A file system that fails is
// ErrUnavailable: then the former state stands. A key directory that another user could read or that was replaced by an older copy is
// ErrPermission or ErrKeyMaterial. Where the directory was moved, replaced or deleted since it was opened, changes, lists, missing
// keys and HealthCheck are ErrUnavailable; where its root key was changed, all but Close is ErrKeyMaterial. Both are mended by opening it anew.
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
	_ kms.KeyBundler        = (*Backend)(nil)
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
	if err := c.check(); err != nil {
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

// check refuses what can be told without any I/O.
func (c Config) check() error {
	if err := c.Validate(); err != nil {
		return err
	}
	return kdf.CheckMode(c.kdf())
}

// openRing opens the keys in the directory, and only then sets right in it what a killed process has left.
func (c Config) openRing(ctx context.Context, dir *keydir.Dir) (*keyring.Ring, error) {
	if err := dir.Complete(ctx); err != nil {
		return nil, err
	}
	var root openedRoot
	var err error
	erase.After(func() { root, err = c.openRoot(ctx, dir) })
	if err != nil {
		return nil, err
	}
	defer clear(root.Key)
	// Nobody can open the directory, or what is stored in it from now on, without the right root.json.
	dir.Require(rootName, root.file)
	keys, err := keyring.Open(store{dir}, root.Root, keyring.Options{Memory: secret.Locked})
	switch {
	case errors.Is(err, secret.ErrLock) && c.AllowUnlockedMemory:
		c.warn(err)
		keys, err = keyring.Open(store{dir}, root.Root, keyring.Options{Memory: secret.Plain})
	case errors.Is(err, secret.ErrLock):
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

// warn logs that there is no memory to lock.
func (c Config) warn(err error) {
	if c.Logger != nil {
		c.Logger.Warn("local: no memory can be locked: keys may be written to swap", "dir", c.Dir, "err", err)
	}
}

// A store is a directory, as a Ring wants it.
type store struct{ *keydir.Dir }

var (
	_ keyring.BatchStore = store{}
	_ keyring.ClockStore = store{}
)

// Batch implements [keyring.BatchStore].
func (s store) Batch(ctx context.Context, change func(b keyring.Batch) error) error {
	return s.Dir.Batch(ctx, func(b *keydir.Batch) error { return change(b) })
}

// ClockGenerations implements [keyring.ClockStore].
func (store) ClockGenerations() {}
