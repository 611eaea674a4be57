package kms

import "fmt"

// Every request checks itself. The Manager does so before it asks a backend, and a backend that
// may be used without a Manager does so too. All errors wrap ErrInvalidRequest; a nil request is one.

// Validate checks the request's form.
func (r *CreateKeyRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	return firstError(checkOptionalKeyID(r.KeyID), checkDescription(r.Description), checkUsage(r.Usage), checkTags(r.Tags))
}

// Validate checks the request's form.
func (r *ImportKeyRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	if n := r.Material.Len(); n != keyMaterialSize {
		return fmt.Errorf("%w: key material has %d bytes, want %d", ErrInvalidRequest, n, keyMaterialSize)
	}
	return firstError(checkOptionalKeyID(r.KeyID), checkDescription(r.Description), checkUsage(r.Usage), checkTags(r.Tags))
}

// Validate checks the request's form.
func (r *DescribeKeyRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	return checkKeyID(r.KeyID)
}

// Validate checks the request's form.
func (r *ListKeysRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	if r.Limit < 0 || r.Limit > maxListLimit {
		return fmt.Errorf("%w: limit is %d, want 1 to %d, or 0 for %d", ErrInvalidRequest, r.Limit, maxListLimit, defaultListLimit)
	}
	switch r.State {
	case "", KeyEnabled, KeyDisabled, KeyPendingDeletion, KeyUnavailable:
	default:
		return fmt.Errorf("%w: key state %q", ErrInvalidRequest, r.State)
	}
	return checkOptionalKeyID(r.Marker)
}

// PageSize returns how many keys the page may hold: Limit, or 100 where it is 0.
func (r *ListKeysRequest) PageSize() int {
	if r.Limit == 0 {
		return defaultListLimit
	}
	return r.Limit
}

// Validate checks the request's form.
func (r *DeleteKeyRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	if err := checkKeyID(r.KeyID); err != nil {
		return err
	}
	if r.ConfirmKeyID != r.KeyID && (r.Immediate || r.ConfirmKeyID != "") {
		return fmt.Errorf("%w: the confirming key id is %q, want %q", ErrInvalidRequest, r.ConfirmKeyID, r.KeyID)
	}
	days := r.PendingWindowDays
	switch {
	case r.Immediate && days != 0:
		return fmt.Errorf("%w: pending window of %d days with immediate deletion, want none", ErrInvalidRequest, days)
	case days != 0 && (days < minPendingDays || days > maxPendingDays):
		return fmt.Errorf("%w: pending window is %d days, want %d to %d", ErrInvalidRequest, days, minPendingDays, maxPendingDays)
	}
	return nil
}

// WindowDays returns the pending window in days: PendingWindowDays, or 30 where it is 0.
func (r *DeleteKeyRequest) WindowDays() int {
	if r.PendingWindowDays == 0 {
		return maxPendingDays
	}
	return r.PendingWindowDays
}

// Validate checks the request's form.
func (r *CancelKeyDeletionRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	return checkKeyID(r.KeyID)
}

// Validate checks the request's form.
func (r *EnableKeyRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	return checkKeyID(r.KeyID)
}

// Validate checks the request's form.
func (r *DisableKeyRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	return checkKeyID(r.KeyID)
}

// Validate checks the request's form.
func (r *RotateKeyRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	return checkKeyID(r.KeyID)
}

// Validate checks the request's form.
func (r *UpdateKeyDescriptionRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	return firstError(checkKeyID(r.KeyID), checkDescription(r.Description))
}

// Validate checks the request's form.
func (r *TagKeyRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	if len(r.Tags) == 0 {
		return fmt.Errorf("%w: no tags", ErrInvalidRequest)
	}
	return firstError(checkKeyID(r.KeyID), checkTags(r.Tags))
}

// Validate checks the request's form.
func (r *UntagKeyRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	if len(r.TagKeys) == 0 || len(r.TagKeys) > maxTags {
		return fmt.Errorf("%w: %d tag names, want 1 to %d", ErrInvalidRequest, len(r.TagKeys), maxTags)
	}
	for _, name := range r.TagKeys {
		if err := checkTagKey(name); err != nil {
			return err
		}
	}
	return checkKeyID(r.KeyID)
}

// Validate checks the request's form. The key id may be empty: only a Manager has a default.
func (r *GenerateDataKeyRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	if r.Spec.Size() == 0 {
		return fmt.Errorf("%w: data key spec %q, want %q or %q", ErrInvalidRequest, r.Spec, AES256, AES128)
	}
	return firstError(checkOptionalKeyID(r.KeyID), r.Context.Validate())
}

// Validate checks the request's form. The key id may be empty: only a Manager has a default.
func (r *EncryptRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	if n := len(r.Plaintext); n == 0 || n > maxPlaintextSize {
		return fmt.Errorf("%w: plaintext has %d bytes, want 1 to %d", ErrInvalidRequest, n, maxPlaintextSize)
	}
	return firstError(checkOptionalKeyID(r.KeyID), r.Context.Validate())
}

// Validate checks the request's form.
func (r *DecryptRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	return firstError(checkCiphertext(r.Ciphertext), checkOptionalKeyID(r.KeyID), r.Context.Validate())
}

// Validate checks the request's form, but not its items: each of them has an outcome of its own.
func (r *RewrapDataKeysRequest) Validate() error {
	if r == nil {
		return errNilRequest()
	}
	if n := len(r.Items); n == 0 || n > maxRewrapItems {
		return fmt.Errorf("%w: %d items, want 1 to %d", ErrInvalidRequest, n, maxRewrapItems)
	}
	return checkOptionalKeyID(r.KeyID)
}

// Validate checks the item's form.
func (i RewrapItem) Validate() error {
	return firstError(checkCiphertext(i.Ciphertext), i.From.Validate(), i.To.Validate())
}

// key returns the id of the key that a request is about. It is asked of valid requests only.
func (r *CreateKeyRequest) key() string            { return r.KeyID }
func (r *ImportKeyRequest) key() string            { return r.KeyID }
func (r *DescribeKeyRequest) key() string          { return r.KeyID }
func (r *DeleteKeyRequest) key() string            { return r.KeyID }
func (r *CancelKeyDeletionRequest) key() string    { return r.KeyID }
func (r *EnableKeyRequest) key() string            { return r.KeyID }
func (r *DisableKeyRequest) key() string           { return r.KeyID }
func (r *RotateKeyRequest) key() string            { return r.KeyID }
func (r *UpdateKeyDescriptionRequest) key() string { return r.KeyID }
func (r *TagKeyRequest) key() string               { return r.KeyID }
func (r *UntagKeyRequest) key() string             { return r.KeyID }
func (r *GenerateDataKeyRequest) key() string      { return r.KeyID }
func (r *EncryptRequest) key() string              { return r.KeyID }
func (r *DecryptRequest) key() string              { return r.KeyID }
func (r *RewrapDataKeysRequest) key() string       { return r.KeyID }
func (r *ListKeysRequest) key() string             { return "" }
