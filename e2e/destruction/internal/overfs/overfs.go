// Package overfs opens a key directory over a file system of a test's own.
package overfs

import (
	"context"
	"errors"
	_ "unsafe" // for go:linkname

	"github.com/objectkms/kms/internal/keydir"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/local"
)

// Package local opens nothing but directories of the real file system, and needs no other way for its users. What it does with them is
// reached here under its own name, so that a test runs the very code that they run.

//go:linkname openRing github.com/objectkms/kms/local.Config.openRing
func openRing(c local.Config, ctx context.Context, dir *keydir.Dir) (*keyring.Ring, error)

//go:linkname changeRoot github.com/objectkms/kms/local.changeRoot
func changeRoot(ctx context.Context, dir *keydir.Dir, present, next local.Config) error

// Open is [local.New] in a directory that is open. It takes the file system over.
func Open(ctx context.Context, fsys keydir.FS, c local.Config) (*keyring.Ring, error) {
	dir, err := keydir.New(fsys, keydir.Options{})
	if err != nil {
		return nil, errors.Join(err, fsys.Close())
	}
	keys, err := openRing(c, ctx, dir)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return keys, nil
}

// ChangeRoot is [local.ChangeRootKey] in a directory that is open. It takes the file system over.
func ChangeRoot(ctx context.Context, fsys keydir.FS, present, next local.Config) error {
	dir, err := keydir.New(fsys, keydir.Options{MustExist: true})
	if err != nil {
		return errors.Join(err, fsys.Close())
	}
	return errors.Join(changeRoot(ctx, dir, present, next), dir.Close())
}
