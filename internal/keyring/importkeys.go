package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/erase"
)

// Import adds the keys of a bundle, as [kms.KeyBundler] says. Over a [BatchStore] an import is stored as a whole or not at all; over
// another store this holds for each key, and an import that was cut off is repeated. Errors, besides those of the reader and the
// store: ErrInvalidConfig where not exactly one secret is given, or one of another kind than the bundle is sealed under, ErrDecrypt, ErrKeyMaterial, and
// ErrKeyExists beside a report.
func (r *Ring) Import(ctx context.Context, src io.Reader, opts kms.ImportOptions) (*kms.ImportReport, error) {
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	secret, err := newBundleSecret(opts.Key, opts.Passphrase)
	defer secret.destroy()
	if err != nil {
		return nil, err
	}
	var content []byte
	erase.After(func() { content, err = secret.read(src) })
	defer clear(content)
	if err != nil {
		return nil, err
	}
	m, keys, err := parseContent(content)
	if err != nil {
		return nil, fmt.Errorf("%w: bundle %w", kms.ErrKeyMaterial, err)
	}
	im := &importing{
		merger: merger{r: r, opts: opts, ordered: m.Clock && r.comparable()},
		keys:   keys,
		report: &kms.ImportReport{Created: m.Created},
	}
	erase.After(func() { err = im.run(ctx) })
	return im.report, err
}

// An importing is an import at work.
type importing struct {
	merger
	keys   []bundledKey
	report *kms.ImportReport
}

func (im *importing) run(ctx context.Context) error {
	store, whole := im.r.store.(BatchStore)
	if whole && !im.opts.DryRun {
		return im.r.untilClosed(ctx, func(ctx context.Context) error { return im.storeAll(ctx, store) })
	}
	verdicts, err := im.decideAll(ctx, func(id string) ([]byte, error) { return im.r.get(ctx, id) })
	if err != nil || im.opts.DryRun {
		return err
	}
	for i := range im.keys {
		if verdicts[i].rec == nil {
			continue
		}
		if err := im.storeOne(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// decideAll decides on every key, reports it, and refuses conflicts. get may answer nil for a record that does not exist.
func (im *importing) decideAll(ctx context.Context, get func(id string) ([]byte, error)) ([]verdict, error) {
	var verdicts []verdict
	var conflicts []string
	for i := range im.keys {
		key := &im.keys[i]
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		least := im.r.seen.Least(key.ID)
		raw, err := get(key.ID)
		v, err := im.decideRaw(key, raw, err, least)
		if err != nil {
			return nil, err
		}
		verdicts = append(verdicts, v)
		im.report.Keys = append(im.report.Keys, kms.ImportedKey{Key: key.record().key(), Outcome: v.outcome, Detail: v.detail})
		if v.outcome == kms.ImportConflict {
			conflicts = append(conflicts, key.ID)
		}
	}
	if len(conflicts) > 0 && !im.opts.SkipConflicts {
		return nil, fmt.Errorf("%w: and differs or is damaged: %s; nothing was imported", kms.ErrKeyExists, strings.Join(conflicts, ", "))
	}
	return verdicts, nil
}

// decideRaw decides on a key, given the answer of the store to the question for its record, and the generation that the
// record must have at least.
func (im *importing) decideRaw(key *bundledKey, raw []byte, err error, least uint64) (verdict, error) {
	switch {
	case err != nil && !errors.Is(err, kms.ErrKeyNotFound) && !isDamaged(err):
		return verdict{}, err
	case errors.Is(err, ErrUnreadable), errors.Is(err, kms.ErrPermission):
		// It may be a good record, and newer than the bundle's.
		return kept(kms.ImportConflict, "the present record cannot be read: %v", err), nil
	}
	var present *record
	if raw != nil && err == nil {
		if present, err = im.r.decode(key.ID, raw); err == nil {
			err = checkGeneration(present, least)
		}
	}
	var damage error
	if err != nil && !errors.Is(err, kms.ErrKeyNotFound) {
		damage = err
	}
	v, err := im.decide(key, present, damage)
	v.above = max(v.above, least)
	return v, err
}

// seal completes the record of a verdict for the store.
func (im *importing) seal(v verdict, generation uint64) ([]byte, error) {
	if err := checkNewGeneration(generation, v.above); err != nil {
		return nil, err
	}
	v.rec.Generation = generation
	return im.r.encode(v.rec)
}

// storeAll stores everything in one batch.
func (im *importing) storeAll(ctx context.Context, store BatchStore) error {
	var written []*record
	err := store.Batch(ctx, func(b Batch) error {
		verdicts, err := im.decideAll(ctx, b.Get)
		if err != nil {
			return err
		}
		for i, v := range verdicts {
			if v.rec == nil {
				continue
			}
			raw, err := im.seal(v, b.Generation())
			if err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := b.Put(im.keys[i].ID, raw); err != nil {
				return err
			}
			written = append(written, v.rec)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, rec := range written {
		im.r.seen.Note(rec.ID, rec.Generation)
	}
	return nil
}

// storeOne stores one key, and decides on it anew with the record in hand that it replaces.
func (im *importing) storeOne(ctx context.Context, i int) error {
	key := &im.keys[i]
	var noted uint64
	least := im.r.seen.Least(key.ID)
	err := im.r.change(ctx, key.ID, func(old []byte, generation uint64) ([]byte, error) {
		v, err := im.decideRaw(key, old, nil, least)
		if err != nil {
			return nil, err
		}
		entry := &im.report.Keys[i]
		entry.Outcome, entry.Detail = v.outcome, v.detail
		switch {
		case v.rec != nil:
			noted = generation
			return im.seal(v, generation)
		case v.outcome == kms.ImportConflict && !im.opts.SkipConflicts:
			return nil, fmt.Errorf("%w: and differs: %s; keys before it were imported", kms.ErrKeyExists, key.ID)
		}
		return nil, errKept
	})
	if errors.Is(err, errKept) {
		return nil
	}
	if err == nil {
		im.r.seen.Note(key.ID, noted)
	}
	return err
}
