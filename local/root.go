package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
	"github.com/objectkms/kms/internal/kdf"
	"github.com/objectkms/kms/internal/keydir"
	"github.com/objectkms/kms/internal/keyring"
)

const rootName = "root.json"

// A rootDir is what setting up and finding the root needs of a [keydir.Dir].
type rootDir interface {
	List(ctx context.Context, after string, n int) ([]string, error)
	ReadFile(ctx context.Context, name string) ([]byte, error)
	CreateFile(ctx context.Context, name string, data []byte) error
}

var _ rootDir = (*keydir.Dir)(nil)

// An openedRoot is a root and the root.json that it is in.
type openedRoot struct {
	keyring.Root
	file []byte
}

// openRoot returns the root key of the directory, which the caller wipes. In a directory without
// keys that has none it makes one.
func (c Config) openRoot(ctx context.Context, dir rootDir) (openedRoot, error) {
	raw, err := readRoot(ctx, dir)
	if err != nil {
		return openedRoot{}, err
	}
	if raw != nil {
		// A secret of the wrong kind is told before a root key file is asked for.
		if _, err := rootsOf(raw, c.kdf()); err != nil {
			return openedRoot{}, err
		}
	}
	secret, err := c.secret(raw == nil)
	if err != nil {
		return openedRoot{}, err
	}
	defer secret.destroy()
	if raw == nil {
		return makeRoot(ctx, dir, secret)
	}
	return findRoot(raw, secret)
}

// readRoot returns root.json, or nil for a directory without it and without keys. One with keys is
// refused: without the root that they are sealed under, nothing may look as if all was well.
func readRoot(ctx context.Context, dir rootDir) ([]byte, error) {
	// The keys are listed first. If another process is just setting the directory up, whoever
	// sees a key of it also sees the root, which was there before.
	ids, err := dir.List(ctx, "", 1)
	if err != nil {
		return nil, err
	}
	raw, err := dir.ReadFile(ctx, rootName)
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return raw, err
	case len(ids) > 0:
		return nil, fmt.Errorf("%w: the directory has keys but no %s", kms.ErrKeyMaterial, rootName)
	}
	return nil, nil
}

// makeRoot sets up the first root, unless another process has just done so.
func makeRoot(ctx context.Context, dir rootDir, secret rootSecret) (openedRoot, error) {
	entry, key, err := newRoot(1, secret)
	if err != nil {
		return openedRoot{}, err
	}
	file := renderRoots([]rootEntry{entry})
	err = dir.CreateFile(ctx, rootName, file)
	if err == nil {
		return openedRoot{keyring.Root{Version: entry.Version, Key: key}, file}, nil
	}
	clear(key)
	if !errors.Is(err, fs.ErrExist) {
		return openedRoot{}, err
	}
	raw, err := dir.ReadFile(ctx, rootName)
	if err != nil {
		return openedRoot{}, err
	}
	return findRoot(raw, secret)
}

// newRoot returns a root for the secret and its key, with a salt of its own.
func newRoot(version uint32, secret rootSecret) (rootEntry, []byte, error) {
	spec := kdf.New(secret.kdf)
	entry := rootEntry{Version: version, KDF: spec.Name, Params: spec.Params, Salt: spec.Salt}
	key, err := entry.derive(secret)
	if err != nil {
		return rootEntry{}, nil, err
	}
	if entry.Check, err = cobblestone.Seal(nil, key, entry.context(), nil); err != nil {
		clear(key)
		return rootEntry{}, nil, fmt.Errorf("%w: %w", kms.ErrUnsupported, err)
	}
	return entry, key, nil
}

// findRoot returns the root that the secret opens.
func findRoot(raw []byte, secret rootSecret) (openedRoot, error) {
	roots, err := rootsOf(raw, secret.kdf)
	if err != nil {
		return openedRoot{}, err
	}
	for _, entry := range roots {
		key, err := entry.open(secret)
		if err == nil {
			return openedRoot{keyring.Root{Version: entry.Version, Key: key}, raw}, nil
		}
		if !errors.Is(err, cobblestone.ErrOpen) {
			return openedRoot{}, fmt.Errorf("%w: %w", kms.ErrUnsupported, err)
		}
	}
	return openedRoot{}, fmt.Errorf("%w: the root key is not the one of this directory, or %s was changed", kms.ErrKeyMaterial, rootName)
}

// rootsOf returns the roots of root.json that have the KDF, of which there must be one.
func rootsOf(raw []byte, name string) ([]rootEntry, error) {
	all, err := parseRoots(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %s %w", kms.ErrKeyMaterial, rootName, err)
	}
	var roots []rootEntry
	for _, entry := range all {
		if entry.KDF == name {
			roots = append(roots, entry)
		}
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("%w: the directory was set up with %s, not with %s",
			kms.ErrInvalidConfig, describeKDF(all[0].KDF), describeKDF(name))
	}
	return roots, nil
}

// open returns the root key if the secret is the one of this root. The error is else cobblestone.ErrOpen.
func (e rootEntry) open(secret rootSecret) ([]byte, error) {
	key, err := e.derive(secret)
	if err != nil {
		return nil, err
	}
	plain, err := cobblestone.Open(nil, key, e.context(), e.Check)
	if err == nil && len(plain) != 0 {
		err = cobblestone.ErrOpen
	}
	if err != nil {
		clear(key)
		return nil, err
	}
	return key, nil
}

// context is what the check value of a root is bound to: all else of the root.
func (e rootEntry) context() []byte {
	return encctx.Bind(nil, "root", encctx.Uint32(e.Version), []byte(e.KDF), []byte(e.Params), e.Salt)
}
