package encryption

import (
	"context"
	"fmt"
	"time"

	"github.com/objectkms/kms"
)

var (
	_ kms.KeyStateChanger   = (*Service)(nil)
	_ kms.KeyRotator        = (*Service)(nil)
	_ kms.KeyImporter       = (*Service)(nil)
	_ kms.KeyUpdater        = (*Service)(nil)
	_ kms.DataKeyRewrapper  = (*Service)(nil)
	_ kms.ExpiredKeyRemover = (*Service)(nil)
)

// DeleteKey is that of the KeyService. The data keys that objects share under the key are dropped, also where it fails: it may have arrived.
func (s *Service) DeleteKey(ctx context.Context, req *kms.DeleteKeyRequest) (*kms.DeleteKeyResponse, error) {
	if req != nil {
		defer s.forget(req.KeyID)
	}
	return s.keys().DeleteKey(ctx, req)
}

// CancelKeyDeletion is that of the KeyService. It drops shared data keys as DeleteKey does.
func (s *Service) CancelKeyDeletion(ctx context.Context, req *kms.CancelKeyDeletionRequest) (*kms.CancelKeyDeletionResponse, error) {
	if req != nil {
		defer s.forget(req.KeyID)
	}
	return s.keys().CancelKeyDeletion(ctx, req)
}

// EnableKey is that of the KeyService, or ErrUnsupported where it has none. It drops shared data keys as DeleteKey does.
func (s *Service) EnableKey(ctx context.Context, req *kms.EnableKeyRequest) (*kms.EnableKeyResponse, error) {
	if req != nil {
		defer s.forget(req.KeyID)
	}
	return optional(ctx, s, "EnableKey", req, kms.KeyStateChanger.EnableKey)
}

// DisableKey is that of the KeyService, or ErrUnsupported where it has none. It drops shared data keys as DeleteKey does.
func (s *Service) DisableKey(ctx context.Context, req *kms.DisableKeyRequest) (*kms.DisableKeyResponse, error) {
	if req != nil {
		defer s.forget(req.KeyID)
	}
	return optional(ctx, s, "DisableKey", req, kms.KeyStateChanger.DisableKey)
}

// RotateKey is that of the KeyService, or ErrUnsupported where it has none. It drops shared data keys as DeleteKey does, so that what is written from now
// on is under the new version. [Service.RewrapAll] brings there what was written before.
func (s *Service) RotateKey(ctx context.Context, req *kms.RotateKeyRequest) (*kms.RotateKeyResponse, error) {
	if req != nil {
		defer s.forget(req.KeyID)
	}
	return optional(ctx, s, "RotateKey", req, kms.KeyRotator.RotateKey)
}

// ImportKey is that of the KeyService, or ErrUnsupported where it has none. It drops shared data keys as DeleteKey does.
func (s *Service) ImportKey(ctx context.Context, req *kms.ImportKeyRequest) (*kms.ImportKeyResponse, error) {
	if req != nil {
		defer s.forget(req.KeyID)
	}
	return optional(ctx, s, "ImportKey", req, kms.KeyImporter.ImportKey)
}

// UpdateKeyDescription is that of the KeyService, or ErrUnsupported where it has none.
func (s *Service) UpdateKeyDescription(ctx context.Context, req *kms.UpdateKeyDescriptionRequest) (*kms.UpdateKeyDescriptionResponse, error) {
	return optional(ctx, s, "UpdateKeyDescription", req, kms.KeyUpdater.UpdateKeyDescription)
}

// TagKey is that of the KeyService, or ErrUnsupported where it has none.
func (s *Service) TagKey(ctx context.Context, req *kms.TagKeyRequest) (*kms.TagKeyResponse, error) {
	return optional(ctx, s, "TagKey", req, kms.KeyUpdater.TagKey)
}

// UntagKey is that of the KeyService, or ErrUnsupported where it has none.
func (s *Service) UntagKey(ctx context.Context, req *kms.UntagKeyRequest) (*kms.UntagKeyResponse, error) {
	return optional(ctx, s, "UntagKey", req, kms.KeyUpdater.UntagKey)
}

// RewrapDataKeys is that of the KeyService, or ErrUnsupported where it has none. For envelopes there is [Service.RewrapAll].
func (s *Service) RewrapDataKeys(ctx context.Context, req *kms.RewrapDataKeysRequest) (*kms.RewrapDataKeysResponse, error) {
	return optional(ctx, s, "RewrapDataKeys", req, kms.DataKeyRewrapper.RewrapDataKeys)
}

// RemoveExpiredKeys is that of the KeyService, or ErrUnsupported where it has none. It drops all shared data keys.
func (s *Service) RemoveExpiredKeys(ctx context.Context, now time.Time) ([]string, error) {
	keys, ok := s.keys().(kms.ExpiredKeyRemover)
	if !ok {
		return nil, unsupported("RemoveExpiredKeys")
	}
	defer s.ClearBucketKeys()
	return keys.RemoveExpiredKeys(ctx, now)
}

// optional carries an operation to a KeyService that may lack it.
func optional[I, Req, Resp any](ctx context.Context, s *Service, op string, req Req, method func(I, context.Context, Req) (*Resp, error)) (*Resp, error) {
	keys, ok := s.keys().(I)
	if !ok {
		return nil, unsupported(op)
	}
	return method(keys, ctx, req)
}

func unsupported(op string) error {
	return fmt.Errorf("%w: the KeyService has no %s", kms.ErrUnsupported, op)
}

// forget drops the data keys that objects share under a key. What is being made meanwhile is not held.
func (s *Service) forget(keyID string) {
	if s.bucketKeys == nil {
		return
	}
	s.bucketKeys.entries.DeleteFunc(func(name bucketKeyName, _ bucketKey) bool {
		return name.keyID == keyID || name.requested == keyID
	})
}
