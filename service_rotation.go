package kms

import (
	"context"
	"errors"
	"sync"
	"time"
)

// RotationOptions let a ServiceManager rotate keys by their age. The zero value is off. What was wrapped under older versions stays
// readable, and is not rewrapped by this. Rotations are those of the principal [PrincipalRotation].
//
// Of several nodes two may rotate a key at the same moment, which then has one version more than it needs, and works.
type RotationOptions struct {
	// Interval is the time between two looks at all keys. 0 means none.
	Interval time.Duration
	// Jitter is the longest random time that is added to each interval. 0 means a tenth of it, and a negative one none.
	Jitter time.Duration
	// RotateAfter is the age of its newest version at which a key gets another one. It must be set where Interval is.
	RotateAfter time.Duration
}

// RotationStatus is how the last look at all keys went.
type RotationStatus struct {
	At      time.Time // when it ended; zero before the first one
	Rotated []string  // the keys that were given a new version
	Err     error     // of keys that were due and could not be, or of the look itself
}

// RotationDue reports whether a key should have a new version: it is Enabled, its material was made by the backend, and its newest
// version is as old as after, or older. A key of imported material is its owner's to replace. With an after of 0 or less none is due.
func (k Key) RotationDue(now time.Time, after time.Duration) bool {
	if k.State != KeyEnabled || k.Origin != OriginKMS || after <= 0 {
		return false
	}
	newest := k.RotatedAt
	if newest.IsZero() {
		newest = k.CreatedAt
	}
	return !newest.Add(after).After(now)
}

// A rotator remembers how rotations went.
type rotator struct {
	mu   sync.Mutex
	last RotationStatus
}

func (r *rotator) status() RotationStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// rotateNow is one look of the worker.
func (s *ServiceManager) rotateNow(ctx context.Context) {
	rotated, err := s.RotateDueKeys(ctx, s.Rotation.RotateAfter)
	if ctx.Err() != nil {
		return // it was the service that stopped
	}
	s.rotator.mu.Lock()
	defer s.rotator.mu.Unlock()
	s.rotator.last = RotationStatus{At: time.Now(), Rotated: rotated, Err: err}
}

// RotateDueKeys gives a new version to each key whose newest one is as old as after, or older, as [Key.RotationDue] says. It answers the ids of
// the keys that it rotated, also beside an error, and goes on after a key that fails.
func (s *ServiceManager) RotateDueKeys(ctx context.Context, after time.Duration) (rotated []string, err error) {
	var errs []error
	err = eachKey(ctx, s, KeyEnabled, func(key Key) error {
		if !key.RotationDue(time.Now(), after) {
			return nil
		}
		// Another node may have rotated it since it was listed.
		fresh, err := s.DescribeKey(ctx, &DescribeKeyRequest{KeyID: key.ID})
		if err == nil && !fresh.Key.RotationDue(time.Now(), after) {
			return nil
		}
		if err == nil {
			_, err = s.RotateKey(ctx, &RotateKeyRequest{KeyID: key.ID})
		}
		if err == nil {
			rotated = append(rotated, key.ID)
			return nil
		}
		errs = append(errs, err)
		return ctx.Err()
	})
	return rotated, errors.Join(append(errs, err)...)
}

// eachKey calls do with every key in a state, until it fails. Damaged records are passed over.
func eachKey(ctx context.Context, keys KeyService, state KeyState, do func(Key) error) error {
	req := &ListKeysRequest{Limit: maxListLimit, State: state}
	for {
		page, err := keys.ListKeys(ctx, req)
		if err != nil {
			return err
		}
		for _, key := range page.Keys {
			if err := do(key); err != nil {
				return err
			}
		}
		if page.NextMarker <= req.Marker {
			return nil
		}
		req.Marker = page.NextMarker
	}
}
