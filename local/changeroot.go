package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/erase"
	"github.com/objectkms/kms/internal/keydir"
	"github.com/objectkms/kms/internal/keyring"
)

// ChangeRootKey seals all keys of a directory, which both configurations name, under the root key of next in place of that of present. Master keys
// stay what they are, so that whatever was wrapped stays readable. A root key file of next is made where there is none.
//
// The change takes effect at one moment: if the process or the machine stops, at whatever point, the directory opens with present as if nothing had
// happened, or with next. Called again after it was done it returns nil.
//
// No other change of the directory goes on meanwhile, and reading does. Every Backend that has the directory open, in this process or
// another, is of no use afterwards: it changes nothing, and its operations are ErrKeyMaterial until it is opened anew with next. Backups of
// the directory's files still open with the former root key, so that it must be destroyed with them.
//
// Errors, besides those of New: ErrKeyMaterial where a record is damaged, which must be mended or removed first; nothing is changed then.
func ChangeRootKey(ctx context.Context, present, next Config) error {
	for _, c := range []Config{present, next} {
		if err := c.check(); err != nil {
			return err
		}
	}
	if filepath.Clean(present.Dir) != filepath.Clean(next.Dir) {
		return fmt.Errorf("%w: the configurations name two directories, %s and %s", kms.ErrInvalidConfig, present.Dir, next.Dir)
	}
	dir, err := keydir.Open(present.Dir, keydir.Options{MustExist: true})
	if err != nil {
		return err
	}
	return errors.Join(changeRoot(ctx, dir, present, next), dir.Close())
}

func changeRoot(ctx context.Context, dir *keydir.Dir, present, next Config) error {
	keys, err := present.openRing(ctx, dir)
	if err != nil {
		if errors.Is(err, kms.ErrKeyMaterial) || errors.Is(err, kms.ErrInvalidConfig) {
			changed := false
			erase.After(func() { changed = next.opens(ctx, dir) })
			if changed {
				return nil
			}
		}
		return err
	}
	defer keys.Close() // and the directory, which the caller closes once more, in vain
	raw, err := dir.ReadFile(ctx, rootName)
	if err != nil {
		return err
	}
	var root openedRoot
	erase.After(func() { root, err = next.nextRoot(raw) })
	if err != nil {
		return err
	}
	defer clear(root.Key)
	return dir.Batch(ctx, func(b *keydir.Batch) error {
		if err := resealAll(ctx, keys, root.Root, b); err != nil {
			return err
		}
		return b.PutFile(rootName, root.file)
	})
}

// opens reports whether the directory is set up with this configuration.
func (c Config) opens(ctx context.Context, dir *keydir.Dir) bool {
	raw, err := dir.ReadFile(ctx, rootName)
	if err != nil {
		return false
	}
	secret, err := c.secret(false)
	if err != nil {
		return false
	}
	defer secret.destroy()
	root, err := findRoot(raw, secret)
	clear(root.Key)
	return err == nil
}

// nextRoot returns a root that follows those of root.json. The caller wipes its key.
func (c Config) nextRoot(raw []byte) (openedRoot, error) {
	roots, err := parseRoots(raw)
	if err != nil {
		return openedRoot{}, fmt.Errorf("%w: %s %w", kms.ErrKeyMaterial, rootName, err)
	}
	last := roots[len(roots)-1].Version
	if last == math.MaxUint32 {
		return openedRoot{}, fmt.Errorf("%w: root version %d is the last one", kms.ErrUnsupported, last)
	}
	const fresh = true // the root is, and so its file may be
	secret, err := c.secret(fresh)
	if err != nil {
		return openedRoot{}, err
	}
	defer secret.destroy()
	entry, key, err := newRoot(last+1, secret)
	if err != nil {
		return openedRoot{}, err
	}
	return openedRoot{keyring.Root{Version: entry.Version, Key: key}, renderRoots([]rootEntry{entry})}, nil
}

// resealAll puts every record into the batch, sealed under the root key.
func resealAll(ctx context.Context, keys *keyring.Ring, root keyring.Root, b *keydir.Batch) error {
	ids, err := b.IDs()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, err := b.Get(id)
		if err != nil {
			return err
		}
		resealed, err := keys.Reseal(root, id, raw, b.Generation())
		if err != nil {
			return err
		}
		if err := b.Put(id, resealed); err != nil {
			return err
		}
	}
	return nil
}
