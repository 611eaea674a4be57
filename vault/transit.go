package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/flight"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/ttlcache"
)

// transit is engine Transit: master keys that never leave Vault. What Transit has no place for is in a record of the KV engine.
//
// A Transit key without a record, which somebody else has made, is a key as it is: Enabled, without description and tags. It gets a record with
// the first change.
type transit struct {
	client *client
	mount  string
	kv     *kv

	// views are the keys as they were last seen, for as long as refresh. A mark of views is part of the key of loads, so that nobody who
	// comes after a change joins a load from before it.
	views *ttlcache.Cache[string, view]
	loads flight.Group[loadKey, view]
	seen  keyring.Generations // the KV versions of records
}

type loadKey struct {
	id   string
	mark uint64
}

// maxViews is how many keys are remembered.
const maxViews = 4096

func openTransit(c *client, cfg Config) *transit {
	return &transit{
		client: c,
		mount:  cfg.TransitMount,
		kv:     &kv{client: c, mount: cfg.KVMount, prefix: cfg.KeyPrefix},
		views:  ttlcache.New[string, view](maxViews, refresh, nil),
	}
}

// HealthCheck is that of the client.
func (t *transit) HealthCheck(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return t.client.health(ctx)
}

// Close ends what is under way, which answers ErrClosed.
func (t *transit) Close() error {
	t.client.close()
	t.views.Clear()
	return nil
}

// begin checks the context and the request of a call.
func begin(ctx context.Context, req interface{ Validate() error }) error {
	return cmp.Or(ctx.Err(), req.Validate())
}

// view returns a key as it was seen last, if that is not long ago and may do what is wanted, or else as it is now. A refusal is therefore never an old one.
func (t *transit) view(ctx context.Context, id string, may func(view) error) (v view, err error) {
	if err := kms.ValidateKeyID(id); err != nil {
		return v, err
	}
	if t.views.View(id, func(seen view) { v = seen }) && may(v) == nil {
		return v, nil
	}
	mark := t.views.Mark()
	_, err = t.loads.Do(ctx, loadKey{id, mark}, func(ctx context.Context) (view, error) {
		v, err := t.look(ctx, id)
		if err == nil {
			t.views.PutSince(mark, id, v)
		}
		return v, err
	}, func(loaded view) { v = loaded })
	if err != nil {
		return view{}, err
	}
	return v, may(v)
}

// use runs do with a key that may do what is wanted. Where Transit does not know the key any more, what was seen was old: do is run once more with
// the key as it is now. Transit has done nothing then.
func (t *transit) use(ctx context.Context, id string, may func(view) error, do func(view) error) error {
	v, err := t.view(ctx, id, may)
	if err != nil {
		return err
	}
	err = do(v)
	if !errors.Is(err, kms.ErrKeyNotFound) {
		return err
	}
	t.views.Delete(id)
	now, viewErr := t.view(ctx, id, may)
	if viewErr != nil {
		return viewErr
	}
	if now.rec.Name == v.rec.Name {
		return err
	}
	return do(now)
}

// look asks Vault for the key: its record, and the Transit key. That one of the two is missing counts only where the record is still the same
// afterwards: the key may have been removed between the two answers, or may be one that is just being made.
func (t *transit) look(ctx context.Context, id string) (v view, err error) {
	err = repeat(ctx, func() (err error) {
		if v, err = t.lookOnce(ctx, id); err != nil || v.key != nil && v.version > 0 {
			return err
		}
		_, version, err := t.readRecord(ctx, id)
		if err == nil && version != v.version {
			err = errConflict
		}
		return err
	})
	if err != nil {
		return view{}, err
	}
	return v, nil
}

func (t *transit) lookOnce(ctx context.Context, id string) (view, error) {
	rec, version, err := t.readRecord(ctx, id)
	if err != nil {
		return view{}, err
	}
	switch {
	case version == 0:
		return t.adopt(ctx, id)
	case rec.Phase != phaseReady:
		return view{}, errNoKey(id)
	}
	key, err := t.readKey(ctx, rec.Name)
	if errors.Is(err, kms.ErrKeyNotFound) {
		return view{rec: rec, version: version}, nil
	}
	return view{rec, version, key}, err
}

// adopt returns the key that somebody else has made in Transit.
func (t *transit) adopt(ctx context.Context, id string) (view, error) {
	if !isTransitName(id) {
		return view{}, errNoKey(id)
	}
	key, err := t.readKey(ctx, id)
	if err != nil {
		return view{}, err
	}
	rec := &keyRecord{
		Format: recordFormat, ID: id, Name: id, Derived: key.Derived,
		State: kms.KeyEnabled, Created: cmp.Or(key.first, time.Unix(0, 0).UTC()), Origin: kms.OriginKMS,
	}
	if key.Imported {
		rec.Origin = kms.OriginExternal
	}
	return view{rec: rec, key: key}, nil
}

func errNoKey(id string) error { return fmt.Errorf("%w: %s", kms.ErrKeyNotFound, id) }

// readRecord returns the record of a key in whatever phase, with its KV version, or version 0 where there never was one.
func (t *transit) readRecord(ctx context.Context, id string) (*keyRecord, uint64, error) {
	least := t.seen.Least(id)
	e, err := t.kv.read(ctx, keyName(id))
	switch {
	case err != nil:
		return nil, 0, err
	case e.lost():
		return nil, 0, errLost(id, e.version)
	case e.version < least:
		return nil, 0, fmt.Errorf("%w: record of %s is version %d, and %d was seen before", kms.ErrKeyMaterial, id, e.version, least)
	case e.version == 0:
		return nil, 0, nil
	}
	rec, err := parseKeyRecord(e.data, id, e.version)
	if err != nil {
		return nil, 0, err
	}
	t.seen.Note(id, e.version)
	return rec, e.version, nil
}

// writeRecord writes the record as the version after the one given. Everything that was seen before is forgotten.
func (t *transit) writeRecord(ctx context.Context, rec *keyRecord, version uint64) error {
	defer t.views.Clear()
	rec.Generation = version + 1
	err := t.kv.write(ctx, keyName(rec.ID), version, rec)
	if err == nil {
		t.seen.Note(rec.ID, version+1)
	}
	return err
}

// DescribeKey describes a key in any state, as it is now.
func (t *transit) DescribeKey(ctx context.Context, req *kms.DescribeKeyRequest) (*kms.DescribeKeyResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	if err := kms.ValidateKeyID(req.KeyID); err != nil {
		return nil, err
	}
	v, err := t.look(ctx, req.KeyID)
	if err != nil {
		return nil, err
	}
	return &kms.DescribeKeyResponse{Key: v.describe()}, nil
}

// now returns the time as records hold it: UTC, in whole seconds.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }
