package vault

import (
	"cmp"
	"fmt"
	"time"

	"github.com/objectkms/kms"
)

// A view is a key as it was seen at one time. It must not be changed.
type view struct {
	rec     *keyRecord
	version uint64      // of the record in KV; 0: there is none, and rec says what one would say
	key     *transitKey // nil where the Transit key of the record is gone
}

// describe returns the key for a caller, who may change what he gets.
func (v view) describe() kms.Key {
	rec := v.rec.clone()
	key := kms.Key{
		ID:           rec.ID,
		Description:  rec.Description,
		State:        rec.State,
		Usage:        kms.EncryptDecrypt,
		Origin:       rec.Origin,
		Tags:         rec.Tags,
		CreatedAt:    rec.Created,
		DeletionDate: rec.Deletion,
	}
	if v.unusable() != nil && rec.State != kms.KeyPendingDeletion {
		key.State = kms.KeyUnavailable
	}
	if v.key == nil {
		return key
	}
	key.Version = v.key.Latest
	key.NativeRewrap = v.key.Derived
	if key.Version > 1 {
		key.RotatedAt = v.key.newest
	}
	return key
}

// unusable returns the error of a key that can neither wrap nor unwrap.
func (v view) unusable() error {
	switch {
	case v.key == nil:
		return fmt.Errorf("%w: the Transit key of %s is gone from Vault", kms.ErrKeyMaterial, v.rec.ID)
	case v.key.Derived != v.rec.Derived:
		return fmt.Errorf("%w: the Transit key of %s was replaced: derived is %t, want %t", kms.ErrKeyMaterial, v.rec.ID, v.key.Derived, v.rec.Derived)
	}
	return v.key.unsupported()
}

// mayWrap returns the error of a key that cannot wrap now.
func (v view) mayWrap() error { return cmp.Or(v.rec.standing().MustBeEnabled(), v.unusable()) }

// mayUnwrap returns the error of a key that cannot unwrap now. It can in every state until its deletion date.
func (v view) mayUnwrap() error {
	if v.rec.standing().Expired(time.Now()) {
		return v.rec.standing().MustStay()
	}
	return v.unusable()
}

// latest returns the latest of t and of the times at which something of the key was made.
func (v view) latest(t time.Time) time.Time {
	if v.rec.Created.After(t) {
		t = v.rec.Created
	}
	if v.key == nil {
		return t
	}
	if v.key.last.After(t) {
		t = v.key.last
	}
	return t
}
