package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

// CreateKey makes a key. Of several calls with one id, in whatever processes, one wins: the one whose record is first, as Transit itself says
// nothing to a key that is there already.
func (t *transit) CreateKey(ctx context.Context, req *kms.CreateKeyRequest) (*kms.CreateKeyResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	rec := &keyRecord{ID: req.KeyID, Description: req.Description, Tags: maps.Clone(req.Tags), Origin: kms.OriginKMS}
	v, err := t.create(ctx, rec, t.makeKey)
	if err != nil {
		return nil, err
	}
	return &kms.CreateKeyResponse{Key: v.describe()}, nil
}

// create completes the record, stores it as one of a key that is being made, makes the Transit key with the name given to makeKey, and
// then makes the record that of a key. A key whose making ends in between does not exist, and the id is free for the next one.
func (t *transit) create(ctx context.Context, rec *keyRecord, makeKey func(ctx context.Context, name string) error) (v view, err error) {
	if rec.ID == "" {
		rec.ID = keyring.NewUUID()
	}
	if err := kms.ValidateKeyID(rec.ID); err != nil {
		return v, err
	}
	rec.Format, rec.Derived, rec.State, rec.Created = recordFormat, true, kms.KeyEnabled, now()
	version, err := t.claim(ctx, rec)
	if err != nil {
		return v, err
	}
	if err := makeKey(ctx, rec.Name); err != nil {
		return v, err
	}
	key, err := t.readKey(ctx, rec.Name)
	if err != nil {
		return v, err
	}
	if key.Type != keyType || !key.Derived || key.Convergent || key.Imported != (rec.Origin == kms.OriginExternal) {
		return v, fmt.Errorf("%w: Transit key %q is not what was made: type %.100q, derived %t", kms.ErrKeyMaterial, rec.Name, key.Type, key.Derived)
	}
	rec.Phase = phaseReady
	err = t.writeRecord(ctx, rec, version)
	if errors.Is(err, errConflict) {
		return v, fmt.Errorf("%w: %s", kms.ErrKeyExists, rec.ID)
	}
	return view{rec, version + 1, key}, err
}

// claim stores the record of a key that is being made, under a name for its Transit key that nobody else uses, and returns its version.
func (t *transit) claim(ctx context.Context, rec *keyRecord) (version uint64, err error) {
	err = repeat(ctx, func() error {
		var former *keyRecord
		if former, version, err = t.readRecord(ctx, rec.ID); err != nil {
			return err
		}
		if rec.Name, err = t.nameFor(ctx, rec.ID, former, version); err != nil {
			return err
		}
		rec.Phase = phaseCreating
		return t.writeRecord(ctx, rec, version)
	})
	return version + 1, err
}

// nameFor returns the name of the Transit key that an id gets which has the former record. A key that is being made by another
// call loses the race when its record is replaced.
func (t *transit) nameFor(ctx context.Context, id string, former *keyRecord, version uint64) (string, error) {
	switch {
	case version == 0 && !isTransitName(id):
		return freshName(id), nil
	case version == 0:
		_, err := t.readKey(ctx, id)
		if err == nil {
			err = fmt.Errorf("%w: %s, as a Transit key that has no record", kms.ErrKeyExists, id)
		} else if errors.Is(err, kms.ErrKeyNotFound) {
			err = nil
		}
		return id, err
	case former.Phase == phaseReady:
		return "", fmt.Errorf("%w: %s", kms.ErrKeyExists, id)
	case former.Phase == phaseDeleting:
		if err := t.finishDeletion(ctx, former, version); err != nil {
			return "", err
		}
		return "", errConflict // The record is another one now.
	}
	return freshName(id), nil
}
