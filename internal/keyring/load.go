package keyring

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/objectkms/kms"
)

// A cachedRecord is a decoded record, the stamp at which it was the stored one, and the size and the digest of
// its stored bytes.
type cachedRecord struct {
	rec   *record
	stamp uint64
	size  int
	sum   [sha256.Size]byte
}

// recordUnit is how many stored bytes count as one more record in the cache.
const recordUnit = 4 << 10

func (c cachedRecord) weight() int { return 1 + c.size/recordUnit }

// load returns the record of a key as it is now, or, with a store that sees the changes of others late, as it was a moment ago. It must not be changed.
func (r *Ring) load(ctx context.Context, id string) (*record, error) {
	if err := kms.ValidateKeyID(id); err != nil {
		return nil, err
	}
	// The stamp comes before the record: a change between the two makes the stamp an old one.
	stamp, stable, err := r.store.Stamp(ctx)
	if err != nil {
		return nil, err
	}
	cached, ok := r.records.get(id)
	if ok && stable && cached.stamp == stamp {
		return cached.rec, nil
	}
	return r.read(ctx, id, cached, stamp, stable)
}

// reload returns the record of a key as it is in the store, whatever is remembered. It must not be changed.
func (r *Ring) reload(ctx context.Context, id string) (*record, error) {
	stamp, stable, err := r.store.Stamp(ctx)
	if err != nil {
		return nil, err
	}
	cached, _ := r.records.get(id)
	return r.read(ctx, id, cached, stamp, stable)
}

// read gets the record from the store, and remembers it where nothing changes meanwhile.
func (r *Ring) read(ctx context.Context, id string, cached cachedRecord, stamp uint64, stable bool) (*record, error) {
	fresh, err := r.fetch(ctx, id, cached)
	if err != nil {
		r.drop(id, err)
		return nil, err
	}
	if stable {
		fresh.stamp = stamp
		r.records.put(id, fresh, fresh.weight())
	}
	return fresh.rec, nil
}

// fetch gets the record from the store. Where its bytes are still those of cached they are not
// decoded again.
func (r *Ring) fetch(ctx context.Context, id string, cached cachedRecord) (fresh cachedRecord, err error) {
	least := r.seen.Least(id)
	raw, err := r.get(ctx, id)
	if err != nil {
		return fresh, err
	}
	fresh = cachedRecord{rec: cached.rec, size: len(raw), sum: sha256.Sum256(raw)}
	if cached.rec == nil || fresh.sum != cached.sum {
		if fresh.rec, err = r.decode(id, raw); err != nil {
			return fresh, err
		}
	}
	if err := checkGeneration(fresh.rec, least); err != nil {
		return fresh, err
	}
	r.seen.Note(id, fresh.rec.Generation)
	return fresh, nil
}

// drop forgets a record that is no longer stored, and its open keys.
func (r *Ring) drop(id string, err error) {
	if !errors.Is(err, kms.ErrKeyNotFound) {
		return
	}
	if left, ok := r.records.remove(id); ok {
		r.keys.forget(left.rec)
	}
}

// An outcome is what an edit wants done with the record.
type outcome uint8

const (
	keep outcome = iota
	write
	remove
)

// An edit changes a record and says what is to be done with it.
type edit func(rec *record) (outcome, error)

// errKept makes a store leave the record as it is.
var errKept = errors.New("record is kept")

// mutate runs change on the stored record of a key, which it may change, and stores or removes the record as
// change says. It returns the record as change left it.
func (r *Ring) mutate(ctx context.Context, id string, change edit) (*record, outcome, error) {
	if err := kms.ValidateKeyID(id); err != nil {
		return nil, keep, err
	}
	var rec *record
	var did outcome
	var noted uint64
	least := r.seen.Least(id)
	err := r.change(ctx, id, func(old []byte, generation uint64) (raw []byte, err error) {
		noted = generation
		if rec, err = r.decodeOld(id, old, least, generation); err != nil {
			return nil, err
		}
		if did, err = change(rec); err != nil {
			return nil, err
		}
		switch did {
		case write:
			rec.Generation = generation
			return r.encode(rec)
		case remove:
			return nil, nil
		}
		return nil, errKept
	})
	if err != nil {
		if errors.Is(err, errKept) {
			return rec, keep, nil
		}
		return nil, keep, err
	}
	r.seen.Note(id, noted)
	if did == remove {
		r.records.remove(id)
		r.keys.forget(rec)
	}
	return rec, did, nil
}

// decodeOld decodes the record that is to be changed.
func (r *Ring) decodeOld(id string, old []byte, least, generation uint64) (*record, error) {
	if old == nil {
		return nil, fmt.Errorf("%w: %s", kms.ErrKeyNotFound, id)
	}
	rec, err := r.decode(id, old)
	if err != nil {
		return nil, err
	}
	if err := checkGeneration(rec, least); err != nil {
		return nil, err
	}
	return rec, checkNewGeneration(generation, rec.Generation)
}

// insert stores the first record of a key.
func (r *Ring) insert(ctx context.Context, rec *record) error {
	least := r.seen.Least(rec.ID)
	err := r.change(ctx, rec.ID, func(old []byte, generation uint64) ([]byte, error) {
		if old != nil {
			return nil, fmt.Errorf("%w: %s", kms.ErrKeyExists, rec.ID)
		}
		rec.Generation = generation
		if err := checkNewGeneration(generation, least); err != nil {
			return nil, err
		}
		return r.encode(rec)
	})
	if err == nil {
		r.seen.Note(rec.ID, rec.Generation)
	}
	return err
}

// checkGeneration refuses a record older than one that this process has seen.
func checkGeneration(rec *record, least uint64) error {
	if rec.Generation < least {
		return fmt.Errorf("%w: record of %s has generation %d, and %d was seen before", kms.ErrKeyMaterial, rec.ID, rec.Generation, least)
	}
	return nil
}

// checkNewGeneration refuses to write what would later look like an older record put back.
func checkNewGeneration(generation, last uint64) error {
	if generation <= last {
		return fmt.Errorf("%w: the store has come to generation %d, want more than %d", kms.ErrKeyMaterial, generation, last)
	}
	return nil
}
