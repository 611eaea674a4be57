package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/objectkms/kms"
)

// A Record is what the owners of a directory were answered: the state that it must be in, and everything that was sealed.
type Record struct {
	State State
	// Sample bounds how many blobs Find opens. 0 means all.
	Sample int

	blobs []blob
	fresh int // where the blobs begin that Find has not seen yet
}

// A blob is a wrapped text, and the material that wrapped it.
type blob struct {
	key           string
	version, life int
	data          []byte
}

// NewRecord returns the record of an empty directory.
func NewRecord() *Record { return &Record{State: NewState()} }

// Blobs returns how many blobs there are.
func (r *Record) Blobs() int { return len(r.blobs) }

// Acknowledge records a step that was answered.
func (r *Record) Acknowledge(o Owner, st Step, sealed Sealed) error {
	if st.Kind == Seal {
		lives := r.State.Keys[st.Key].Lives
		if sealed.Version != len(lives) {
			return fmt.Errorf("%s was sealed under version %d, want %d", st.Key, sealed.Version, len(lives))
		}
		r.blobs = append(r.blobs, blob{st.Key, sealed.Version, lives[sealed.Version-1], sealed.Blob})
	}
	r.State = r.State.After(st, o)
	return nil
}

// Find opens a directory after a crash, and checks it: each answered step is in force, and each pending one, that was not
// answered, is done or not. Then it is known which.
func (r *Record) Find(ctx context.Context, dir Directory, pending map[Owner]Step) error {
	b, root, err := r.open(ctx, dir)
	if err != nil {
		return err
	}
	found, err := list(ctx, b)
	if err == nil {
		err = r.settle(root, found, pending)
	}
	if err == nil {
		err = r.openBlobs(ctx, b)
	}
	return errors.Join(err, b.Close())
}

// open opens the directory with the one root key that opens it.
func (r *Record) open(ctx context.Context, dir Directory) (Backend, int, error) {
	root := r.State.Root
	b, err := dir.Open(ctx, root)
	if errors.Is(err, kms.ErrKeyMaterial) {
		root = 1 - root
		b, err = dir.Open(ctx, root)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("neither root key opens the directory: %w", err)
	}
	other, err := dir.Open(ctx, 1-root)
	if err == nil {
		return nil, 0, errors.Join(errors.New("both root keys open the directory"), other.Close(), b.Close())
	}
	if !errors.Is(err, kms.ErrKeyMaterial) {
		return nil, 0, errors.Join(err, b.Close())
	}
	return b, root, nil
}

// settle finds out which of the pending steps were taken.
func (r *Record) settle(root int, found map[string]seen, pending map[Owner]Step) error {
	states := []State{r.State}
	for o, st := range pending {
		for _, s := range states {
			states = append(states, s.outcomes(st, o)...)
		}
	}
	for _, s := range states {
		if s.Root == root && maps.Equal(found, s.seen()) {
			s.Bundles = map[Owner]map[string]Key{} // they died with their owners
			r.State = s
			return nil
		}
	}
	return fmt.Errorf("found root %d and keys %v, want root %d and keys %v, with or without %v", root, found, r.State.Root, r.State.seen(), pending)
}

// seen is what a list shows of a key.
type seen struct {
	state            kms.KeyState
	versions         int
	description, tag string
}

func (s *State) seen() map[string]seen {
	all := make(map[string]seen)
	for id, key := range s.Keys {
		all[id] = seen{key.State, len(key.Lives), key.Description, key.Tag}
	}
	return all
}

// list returns all keys of a directory in which none is damaged.
func list(ctx context.Context, b Backend) (map[string]seen, error) {
	resp, err := b.ListKeys(ctx, &kms.ListKeysRequest{Limit: 1000})
	if err != nil {
		return nil, err
	}
	if len(resp.Damaged) > 0 {
		return nil, fmt.Errorf("%w: the records of %v", kms.ErrKeyMaterial, resp.Damaged)
	}
	all := make(map[string]seen)
	for _, key := range resp.Keys {
		all[key.ID] = seen{key.State, int(key.Version), key.Description, key.Tags["tag"]}
	}
	return all, nil
}

// openBlobs opens what was sealed: all that is new, and a sample of the rest.
func (r *Record) openBlobs(ctx context.Context, b Backend) error {
	chosen := r.blobs
	if r.Sample > 0 && r.Sample < r.fresh {
		chosen = slices.Clip(r.blobs[r.fresh:])
		for range r.Sample {
			chosen = append(chosen, r.blobs[rand.IntN(r.fresh)])
		}
	}
	for _, c := range chosen {
		if err := r.openBlob(ctx, b, c); err != nil {
			return err
		}
	}
	r.fresh = len(r.blobs)
	return nil
}

// openBlob opens a blob whose material is still there. Where it was deleted the blob must never open again.
func (r *Record) openBlob(ctx context.Context, b Backend, c blob) error {
	resp, err := b.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: c.data, Context: contextOf(c.key)})
	if err == nil {
		defer resp.Plaintext.Destroy()
	}
	alive := r.State.version(c.key, c.life) != 0
	switch {
	case alive && err != nil:
		return fmt.Errorf("a text of %s, version %d: %w", c.key, c.version, err)
	case alive && !bytes.Equal(resp.Plaintext.Bytes(), text(c.key, c.version)):
		return fmt.Errorf("a text of %s, version %d, is %q", c.key, c.version, resp.Plaintext.Bytes())
	case !alive && err == nil:
		return fmt.Errorf("a text of %s, version %d, opens, and its key was deleted", c.key, c.version)
	case !alive && !errors.Is(err, kms.ErrDecrypt) && !errors.Is(err, kms.ErrKeyNotFound):
		return fmt.Errorf("a text of a deleted key %s: %w", c.key, err)
	}
	return nil
}
