package local

import (
	"context"
	"errors"

	"github.com/objectkms/kms/internal/keydir"
	"github.com/objectkms/kms/internal/keyring"
)

// OpenRoot finds or makes the root in a directory that may be watched.
func OpenRoot(ctx context.Context, c Config, dir rootDir) (keyring.Root, error) {
	root, err := c.openRoot(ctx, dir)
	return root.Root, err
}

// RootFile returns a root.json of one root with that version.
func RootFile(c Config, version uint32) ([]byte, error) {
	secret, err := c.secret(true)
	if err != nil {
		return nil, err
	}
	entry, _, err := newRoot(version, secret)
	return renderRoots([]rootEntry{entry}), err
}

// ParseRoots and RenderRoots are the reader and the writer of root.json.
func ParseRoots(raw []byte) (again []byte, err error) {
	roots, err := parseRoots(raw)
	if err != nil {
		return nil, err
	}
	return renderRoots(roots), nil
}

// ParseKeyFile is the reader of root key files.
var ParseKeyFile = parseKeyFile

// ChangeRootIn is ChangeRootKey in a directory that may be watched. It closes it.
func ChangeRootIn(ctx context.Context, dir *keydir.Dir, present, next Config) error {
	return errors.Join(changeRoot(ctx, dir, present, next), dir.Close())
}

// OpenIn is New in a directory that may be watched.
func OpenIn(ctx context.Context, dir *keydir.Dir, c Config) (*Backend, error) {
	keys, err := c.openRing(ctx, dir)
	return &Backend{keys}, err
}
