package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/objectkms/kms"
)

// sweepPage is how many ids a sweep asks the store for at once.
const sweepPage = 1000

// maxYear is the last year that a record can hold: JSON has four digits for it (RFC 3339, section 1).
const maxYear = 9999

// DeleteKey schedules the deletion of a key that is not pending deletion yet, or removes a key
// in any state at once. A damaged record is not removed: it may be mended from a backup. The window begins now, or at the
// latest time in the record where the clock is behind that: a clock that is set back does not shorten it. A window that would end after the year 9999,
// as that of an imported key may, is ErrInvalidRequest.
func (r *Ring) DeleteKey(ctx context.Context, req *kms.DeleteKeyRequest) (*kms.DeleteKeyResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	rec, _, err := r.mutate(ctx, req.KeyID, func(rec *record) (outcome, error) {
		if req.Immediate {
			rec.Deletion = now()
			return remove, nil
		}
		if err := rec.standing().MustStay(); err != nil {
			return keep, err
		}
		date := rec.latest(now()).AddDate(0, 0, req.WindowDays())
		if date.Year() > maxYear {
			return keep, fmt.Errorf("%w: the window would end in the year %d, want at most %d", kms.ErrInvalidRequest, date.Year(), maxYear)
		}
		rec.State, rec.Deletion = kms.KeyPendingDeletion, date
		return write, nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.DeleteKeyResponse{Key: rec.key()}, nil
}

// CancelKeyDeletion takes a scheduled deletion back, also past its date if the key still stands.
func (r *Ring) CancelKeyDeletion(ctx context.Context, req *kms.CancelKeyDeletionRequest) (*kms.CancelKeyDeletionResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	rec, _, err := r.mutate(ctx, req.KeyID, func(rec *record) (outcome, error) {
		if rec.State != kms.KeyPendingDeletion {
			return keep, fmt.Errorf("%w: key is %s, want %s", kms.ErrInvalidRequest, rec.State, kms.KeyPendingDeletion)
		}
		rec.State, rec.Deletion = kms.KeyDisabled, time.Time{}
		return write, nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.CancelKeyDeletionResponse{Key: rec.key()}, nil
}

// RemoveExpiredKeys removes the keys whose deletion date is not after now, and answers their ids, also
// beside an error. It goes on after a damaged record, and returns the error of the first one in the end.
// As DeleteKey sets the date, no key goes before its window has passed since the latest time in its record.
func (r *Ring) RemoveExpiredKeys(ctx context.Context, now time.Time) (removed []string, err error) {
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	var damaged error
	for marker := ""; ; {
		ids, err := r.list(ctx, marker, sweepPage)
		if err != nil {
			return removed, err
		}
		for _, id := range ids {
			gone, err := r.removeExpired(ctx, id, now)
			switch {
			case gone:
				removed = append(removed, id)
			case isDamaged(err):
				if damaged == nil {
					damaged = err
				}
			case err != nil && !errors.Is(err, kms.ErrKeyNotFound): // else deleted since it was listed
				return removed, err
			}
			marker = id
		}
		if len(ids) < sweepPage {
			return removed, damaged
		}
	}
}

// removeExpired removes one key if it is expired, which is asked again with the store's record in
// hand: a cancellation that came first wins.
func (r *Ring) removeExpired(ctx context.Context, id string, now time.Time) (bool, error) {
	rec, err := r.load(ctx, id)
	if err != nil || !rec.standing().Expired(now) {
		return false, err
	}
	_, did, err := r.mutate(ctx, id, func(rec *record) (outcome, error) {
		if !rec.standing().Expired(now) {
			return keep, nil
		}
		return remove, nil
	})
	return did == remove, err
}
