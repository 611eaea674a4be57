package kms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"
)

// The operations that are more than a call of the backend are known by name.
const (
	opDecrypt         = "Decrypt"
	opGenerateDataKey = "GenerateDataKey"
	opRewrapDataKeys  = "RewrapDataKeys"
)

// CreateKey makes a master key. See [KeyService].
func (m *Manager) CreateKey(ctx context.Context, req *CreateKeyRequest) (*CreateKeyResponse, error) {
	return do(ctx, m, &task{name: "CreateKey", changes: true, makes: true}, req, Backend.CreateKey)
}

// DescribeKey asks the backend for the description of a key, never a cache. See [KeyService].
func (m *Manager) DescribeKey(ctx context.Context, req *DescribeKeyRequest) (*DescribeKeyResponse, error) {
	return do(ctx, m, &task{name: "DescribeKey"}, req, Backend.DescribeKey)
}

// ListKeys answers one page of the keys, sorted by id. See [KeyService].
func (m *Manager) ListKeys(ctx context.Context, req *ListKeysRequest) (*ListKeysResponse, error) {
	return do(ctx, m, &task{name: "ListKeys"}, req, Backend.ListKeys)
}

// DeleteKey schedules the deletion of a key, or deletes it at once. Immediate deletion is
// ErrPermission without Options.AllowImmediateDeletion, and ErrKeyInUse for the default key. See
// [KeyService].
func (m *Manager) DeleteKey(ctx context.Context, req *DeleteKeyRequest) (*DeleteKeyResponse, error) {
	check := func() error { return m.checkDeletion(req) }
	return do(ctx, m, &task{name: "DeleteKey", changes: true, check: check}, req, Backend.DeleteKey)
}

func (m *Manager) checkDeletion(req *DeleteKeyRequest) error {
	if !req.Immediate {
		return nil
	}
	if !m.opts.AllowImmediateDeletion {
		return fmt.Errorf("%w: immediate deletion is not allowed here", ErrPermission)
	}
	if req.KeyID == m.opts.DefaultKeyID {
		return fmt.Errorf("%w: it is the default key", ErrKeyInUse)
	}
	return nil
}

// CancelKeyDeletion takes a scheduled deletion back and leaves the key Disabled. See [KeyService].
func (m *Manager) CancelKeyDeletion(ctx context.Context, req *CancelKeyDeletionRequest) (*CancelKeyDeletionResponse, error) {
	return do(ctx, m, &task{name: "CancelKeyDeletion", changes: true}, req, Backend.CancelKeyDeletion)
}

// EnableKey makes a Disabled key Enabled. ErrUnsupported where the backend is no [KeyStateChanger].
func (m *Manager) EnableKey(ctx context.Context, req *EnableKeyRequest) (*EnableKeyResponse, error) {
	return do(ctx, m, &task{name: "EnableKey", changes: true}, req, KeyStateChanger.EnableKey)
}

// DisableKey makes an Enabled key Disabled. ErrUnsupported where the backend is no [KeyStateChanger].
func (m *Manager) DisableKey(ctx context.Context, req *DisableKeyRequest) (*DisableKeyResponse, error) {
	return do(ctx, m, &task{name: "DisableKey", changes: true}, req, KeyStateChanger.DisableKey)
}

// RotateKey gives a key a new version. ErrUnsupported where the backend is no [KeyRotator].
func (m *Manager) RotateKey(ctx context.Context, req *RotateKeyRequest) (*RotateKeyResponse, error) {
	return do(ctx, m, &task{name: "RotateKey", changes: true}, req, KeyRotator.RotateKey)
}

// ImportKey makes a master key of the owner's own material. ErrUnsupported where the backend is no [KeyImporter].
func (m *Manager) ImportKey(ctx context.Context, req *ImportKeyRequest) (*ImportKeyResponse, error) {
	return do(ctx, m, &task{name: "ImportKey", changes: true, makes: true}, req, KeyImporter.ImportKey)
}

// UpdateKeyDescription replaces the description of a key. ErrUnsupported where the backend is no [KeyUpdater].
func (m *Manager) UpdateKeyDescription(ctx context.Context, req *UpdateKeyDescriptionRequest) (*UpdateKeyDescriptionResponse, error) {
	return do(ctx, m, &task{name: "UpdateKeyDescription", changes: true}, req, KeyUpdater.UpdateKeyDescription)
}

// TagKey adds tags to a key. ErrUnsupported where the backend is no [KeyUpdater].
func (m *Manager) TagKey(ctx context.Context, req *TagKeyRequest) (*TagKeyResponse, error) {
	return do(ctx, m, &task{name: "TagKey", changes: true}, req, KeyUpdater.TagKey)
}

// UntagKey removes tags from a key. ErrUnsupported where the backend is no [KeyUpdater].
func (m *Manager) UntagKey(ctx context.Context, req *UntagKeyRequest) (*UntagKeyResponse, error) {
	return do(ctx, m, &task{name: "UntagKey", changes: true}, req, KeyUpdater.UntagKey)
}

// GenerateDataKey makes a data key under the key of the request, or the default key where it
// names none. See [KeyService].
func (m *Manager) GenerateDataKey(ctx context.Context, req *GenerateDataKeyRequest) (*GenerateDataKeyResponse, error) {
	t := &task{name: opGenerateDataKey}
	if req != nil {
		named := *req
		t.context, t.check = req.Context, m.defaultKey(&named.KeyID)
		req = &named
	}
	return do(ctx, m, t, req, Backend.GenerateDataKey)
}

// AuthorizeDataKey answers whether GenerateDataKey may make a data key for this request now, and for which key, but makes none. It is for who shares one
// data key among several uses and must ask before each of them. Options.Authorize is asked about a GenerateDataKey, and the key must be Enabled; the
// description is the cached one while it is fresh. Errors are those of GenerateDataKey, and so is the name that the Observer sees.
func (m *Manager) AuthorizeDataKey(ctx context.Context, req *GenerateDataKeyRequest) (*DescribeKeyResponse, error) {
	t := &task{name: opGenerateDataKey}
	if req != nil {
		named := *req
		t.context, t.check = req.Context, m.defaultKey(&named.KeyID)
		req = &named
	}
	return serve(ctx, m, t, req, func(ctx context.Context) (*DescribeKeyResponse, error) {
		d, err := m.describe(ctx, keyName{id: t.keyID})
		t.attempts, t.cacheHit = d.attempts, err == nil && d.attempts == 0
		if err == nil {
			err = mayUse(d.key)
		}
		if err != nil {
			return nil, err
		}
		d.key.Tags = maps.Clone(d.key.Tags)
		return &DescribeKeyResponse{Key: d.key}, nil
	})
}

// KeysMade returns how many keys were made through this Manager, or may have been. Who shares a data key among several uses asks for another when
// the number has changed: the master key may be gone, and a new one have its id.
func (m *Manager) KeysMade() uint64 { return m.made.Load() }

// Encrypt wraps a small secret under the key of the request, or the default key where it names
// none. See [KeyService].
func (m *Manager) Encrypt(ctx context.Context, req *EncryptRequest) (*EncryptResponse, error) {
	t := &task{name: "Encrypt"}
	if req != nil {
		named := *req
		t.context, t.check = req.Context, m.defaultKey(&named.KeyID)
		req = &named
	}
	return do(ctx, m, t, req, Backend.Encrypt)
}

// defaultKey puts the default key where no key is named, and returns the check that there is one.
func (m *Manager) defaultKey(keyID *string) func() error {
	if *keyID == "" {
		*keyID = m.opts.DefaultKeyID
	}
	return func() error {
		if *keyID == "" {
			return fmt.Errorf("%w: no key id is given, and Options.DefaultKeyID names none", ErrInvalidRequest)
		}
		return nil
	}
}

// HealthCheck asks the backend whether it can work now, once. Former backends are not asked. It
// needs no key to exist.
func (m *Manager) HealthCheck(ctx context.Context) error {
	check := func(b Backend, ctx context.Context, _ noKey) (*struct{}, error) {
		return new(struct{}), b.HealthCheck(ctx)
	}
	_, err := do(ctx, m, &task{name: "HealthCheck", once: true}, noKey{}, check)
	return err
}

// RemoveExpiredKeys deletes the keys whose deletion date is not after now, and answers their ids,
// also beside an error. A now that has not come is ErrInvalidRequest. Nothing is deleted while the default key is pending deletion:
// ErrKeyInUse. ErrUnsupported where the backend is no [ExpiredKeyRemover]. The Observer and the audit are told of each key that is gone, too.
func (m *Manager) RemoveExpiredKeys(ctx context.Context, now time.Time) ([]string, error) {
	var removed []string
	remove := func(b ExpiredKeyRemover, ctx context.Context, _ noKey) (*struct{}, error) {
		err := m.checkDefaultKeyStays(ctx)
		if err == nil {
			removed, err = b.RemoveExpiredKeys(ctx, now)
		}
		return new(struct{}), err
	}
	t := &task{name: "RemoveExpiredKeys", changes: true, check: func() error { return mustHaveCome(now) }}
	_, err := do(ctx, m, t, noKey{}, remove)
	for _, id := range removed {
		m.forget(id)
		m.finish(ctx, &task{name: "RemoveExpiredKeys", keyID: id}, m.clock(), nil)
	}
	return removed, err
}

// mustHaveCome refuses a time that is still to come: no key is deleted before its date.
func mustHaveCome(now time.Time) error {
	if ahead := time.Until(now); ahead > 0 {
		return fmt.Errorf("%w: keys are to be removed as of a time that is %v ahead", ErrInvalidRequest, ahead)
	}
	return nil
}

func (m *Manager) checkDefaultKeyStays(ctx context.Context) error {
	if m.opts.DefaultKeyID == "" {
		return nil
	}
	d, err := m.askForKey(ctx, keyName{id: m.opts.DefaultKeyID})
	switch {
	case errors.Is(err, ErrKeyNotFound):
		return nil
	case err != nil:
		return err
	case d.key.State == KeyPendingDeletion:
		return fmt.Errorf("%w: the default key %q is pending deletion", ErrKeyInUse, m.opts.DefaultKeyID)
	}
	return nil
}

// noKey is the request of operations that are on no single key and have no parameters.
type noKey struct{}

func (noKey) Validate() error { return nil }
func (noKey) key() string     { return "" }
