package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/objectkms/kms"
)

// DeleteKey schedules the deletion of a key, which only the record knows of, or removes a key with its Transit key at once. A damaged record is not removed.
func (t *transit) DeleteKey(ctx context.Context, req *kms.DeleteKeyRequest) (*kms.DeleteKeyResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	deletion := t.schedule
	if req.Immediate {
		deletion = t.remove
	}
	key, err := deletion(ctx, req)
	if err != nil {
		return nil, err
	}
	return &kms.DeleteKeyResponse{Key: key}, nil
}

// schedule sets the deletion date. The window begins now, or at the latest time that is known of the key where the clock is behind that.
func (t *transit) schedule(ctx context.Context, req *kms.DeleteKeyRequest) (kms.Key, error) {
	v, err := t.change(ctx, req.KeyID, func(v view, rec *keyRecord) (bool, error) {
		if err := rec.standing().MustStay(); err != nil {
			return false, err
		}
		rec.State = kms.KeyPendingDeletion
		rec.Deletion = v.latest(now()).AddDate(0, 0, req.WindowDays())
		return true, nil
	})
	if err != nil {
		return kms.Key{}, err
	}
	return v.describe(), nil
}

// remove removes a key in any state. It goes on with a removal that was interrupted.
func (t *transit) remove(ctx context.Context, req *kms.DeleteKeyRequest) (kms.Key, error) {
	if err := kms.ValidateKeyID(req.KeyID); err != nil {
		return kms.Key{}, err
	}
	rec, version, err := t.readRecord(ctx, req.KeyID)
	if err != nil {
		return kms.Key{}, err
	}
	if version > 0 && rec.Phase == phaseDeleting {
		last := view{rec: rec}.describe()
		last.DeletionDate = now()
		return last, t.finishDeletion(ctx, rec, version)
	}
	var last kms.Key
	after, err := t.change(ctx, req.KeyID, t.beginDeletion(ctx, func(v view) error {
		last = v.describe()
		last.DeletionDate = now()
		return nil
	}))
	if err != nil {
		return kms.Key{}, err
	}
	return last, t.finishDeletion(ctx, after.rec, after.version)
}

// beginDeletion returns the edit after which a key does not exist any more, unless may objects. What it does to the Transit key first harms nothing, and shows
// whether the policy lets keys be deleted.
func (t *transit) beginDeletion(ctx context.Context, may func(view) error) edit {
	return func(v view, rec *keyRecord) (bool, error) {
		if err := may(v); err != nil {
			return false, err
		}
		if v.key != nil {
			if err := t.allowDeletion(ctx, rec.Name); err != nil && !errors.Is(err, kms.ErrKeyNotFound) {
				return false, err
			}
		}
		rec.Phase = phaseDeleting
		return true, nil
	}
}

// finishDeletion deletes the Transit key of a record that says so, and everything that the record says of the key.
func (t *transit) finishDeletion(ctx context.Context, rec *keyRecord, version uint64) error {
	err := t.deleteKey(ctx, rec.Name)
	if errors.Is(err, kms.ErrPermission) {
		// A key that was put back from a backup may have to be allowed again.
		if err = t.allowDeletion(ctx, rec.Name); err == nil {
			err = t.deleteKey(ctx, rec.Name)
		}
	}
	if err != nil && !errors.Is(err, kms.ErrKeyNotFound) {
		return err
	}
	gone := &keyRecord{
		Format: recordFormat, ID: rec.ID, Phase: phaseDeleted, Name: rec.Name, Derived: rec.Derived,
		State: kms.KeyDisabled, Created: rec.Created, Origin: rec.Origin,
	}
	if err := t.writeRecord(ctx, gone, version); !errors.Is(err, errConflict) {
		return err
	}
	return nil // Somebody else has done it.
}

// CancelKeyDeletion takes a scheduled deletion back, also past its date if the key still stands.
func (t *transit) CancelKeyDeletion(ctx context.Context, req *kms.CancelKeyDeletionRequest) (*kms.CancelKeyDeletionResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	v, err := t.change(ctx, req.KeyID, func(_ view, rec *keyRecord) (bool, error) {
		if rec.State != kms.KeyPendingDeletion {
			return false, fmt.Errorf("%w: key is %s, want %s", kms.ErrInvalidRequest, rec.State, kms.KeyPendingDeletion)
		}
		rec.State, rec.Deletion = kms.KeyDisabled, time.Time{}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.CancelKeyDeletionResponse{Key: v.describe()}, nil
}

// errNotExpired says that a key is not to be removed.
var errNotExpired = errors.New("key is not expired")

// RemoveExpiredKeys removes the keys whose deletion date is not after now, and answers their ids, also beside an error. It goes on after a
// damaged record, and returns the error of the first one in the end. Removals that were interrupted are finished too.
func (t *transit) RemoveExpiredKeys(ctx context.Context, now time.Time) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ids, err := t.kv.ids(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var removed []string
	var damaged error
	err = inParallel(len(ids), func(i int) error {
		gone, err := t.removeExpired(ctx, ids[i], now)
		mu.Lock()
		defer mu.Unlock()
		if gone {
			removed = append(removed, ids[i])
		}
		switch {
		case errors.Is(err, errNotExpired), errors.Is(err, kms.ErrKeyNotFound):
			return nil
		case errors.Is(err, kms.ErrKeyMaterial), errors.Is(err, kms.ErrUnsupported):
			damaged = cmp.Or(damaged, err)
			return nil
		}
		return err
	})
	slices.Sort(removed)
	return removed, cmp.Or(err, damaged)
}

// removeExpired removes one key if it is expired, which is asked again of the record that is replaced: a cancellation that came first wins.
func (t *transit) removeExpired(ctx context.Context, id string, now time.Time) (gone bool, err error) {
	rec, version, err := t.readRecord(ctx, id)
	switch {
	case err != nil || version == 0:
		return false, err
	case rec.Phase == phaseDeleting:
		return false, t.finishDeletion(ctx, rec, version)
	case rec.Phase != phaseReady || !rec.standing().Expired(now):
		return false, nil
	}
	after, err := t.change(ctx, id, t.beginDeletion(ctx, func(v view) error {
		if !v.rec.standing().Expired(now) {
			return errNotExpired
		}
		return nil
	}))
	if err != nil {
		return false, err
	}
	return true, t.finishDeletion(ctx, after.rec, after.version)
}
