package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/encctx"
	"github.com/objectkms/kms/internal/erase"
)

// exportPage is how many ids an export asks the store for at once.
const exportPage = 1000

// Export writes a bundle of keys, as [kms.KeyBundler] says. Errors, besides those of the writer and the store: ErrInvalidConfig
// where not exactly one secret is given, ErrKeyNotFound where a key of the options is missing, ErrKeyMaterial where a record is
// damaged.
func (r *Ring) Export(ctx context.Context, w io.Writer, opts kms.ExportOptions) (*kms.ExportReport, error) {
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	secret, err := newBundleSecret(opts.Key, opts.Passphrase)
	defer secret.destroy()
	if err != nil {
		return nil, err
	}
	ids, err := r.exportIDs(ctx, opts)
	if err != nil {
		return nil, err
	}
	records, damaged, err := r.loadAll(ctx, ids, len(opts.KeyIDs) == 0)
	if err != nil {
		return nil, err
	}
	if len(damaged) > 0 && !opts.SkipDamaged {
		return nil, fmt.Errorf("%w: the records of %s; nothing was written", kms.ErrKeyMaterial, strings.Join(damaged, ", "))
	}
	report := &kms.ExportReport{Created: now(), Damaged: damaged}
	m := &manifest{Created: report.Created, Clock: r.comparable(), Keys: []manifestKey{}}
	for _, rec := range records {
		m.Keys = append(m.Keys, newManifestKey(rec))
		report.Keys = append(report.Keys, rec.key())
	}
	erase.After(func() {
		var content []byte
		content, err = r.newContent(m, records)
		defer clear(content)
		if err == nil {
			err = secret.write(w, content)
		}
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

// exportIDs returns the sorted ids of what is to be exported.
func (r *Ring) exportIDs(ctx context.Context, opts kms.ExportOptions) ([]string, error) {
	if len(opts.KeyIDs) > 0 {
		return slices.Compact(slices.Sorted(slices.Values(opts.KeyIDs))), nil
	}
	var all []string
	for marker := ""; ; {
		ids, err := r.list(ctx, marker, exportPage)
		if err != nil {
			return nil, err
		}
		all = append(all, ids...)
		if len(ids) < exportPage {
			return all, nil
		}
		marker = ids[len(ids)-1]
	}
}

// loadAll returns the records, and the ids of those that are damaged. Where they were listed, one that was deleted since is passed over.
func (r *Ring) loadAll(ctx context.Context, ids []string, listed bool) (records []*record, damaged []string, err error) {
	for _, id := range ids {
		rec, err := r.load(ctx, id)
		switch {
		case err == nil:
			records = append(records, rec)
		case isDamaged(err):
			damaged = append(damaged, id)
		case !listed || !errors.Is(err, kms.ErrKeyNotFound):
			return nil, nil, err
		}
	}
	return records, damaged, nil
}

// newContent returns the content of a bundle, which the caller wipes, also where there is an error.
func (r *Ring) newContent(m *manifest, records []*record) ([]byte, error) {
	content, err := newContent(m)
	if err != nil {
		return nil, err
	}
	for _, rec := range records {
		for i := range rec.Versions {
			material, err := r.material(rec, &rec.Versions[i])
			if err != nil {
				return content, err
			}
			content = append(content, material...)
			clear(material)
		}
	}
	return content, nil
}

// material opens a version, and leaves the ones in use where they are. The caller wipes what he gets.
func (r *Ring) material(rec *record, v *version) ([]byte, error) {
	material, err := r.keys.unseal(encctx.Bind(nil, "master-key", []byte(rec.ID), encctx.Uint32(v.Version)), v.Sealed)
	if err == nil && len(material) != materialSize {
		clear(material)
		return nil, fmt.Errorf("%w: version %d of %s has %d bytes", kms.ErrKeyMaterial, v.Version, rec.ID, len(material))
	}
	if err != nil {
		return nil, fmt.Errorf("version %d of %s: %w", v.Version, rec.ID, err)
	}
	return material, nil
}
