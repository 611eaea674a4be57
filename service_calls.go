package kms

import (
	"context"
	"time"
)

// through gives a call to the Manager that runs.
func through[Req, Resp any](ctx context.Context, s *ServiceManager, op string, req Req, method func(*Manager, context.Context, Req) (Resp, error)) (Resp, error) {
	current, pass, err := s.lease()
	if err != nil {
		var none Resp
		err = wrapError(op, "", err)
		s.report(ctx, Operation{Op: op, Err: err}, time.Now())
		return none, err
	}
	defer current.leases.leave(pass)
	return method(current.Manager, ctx, req)
}

// CreateKey is that of the Manager that runs. See [KeyService].
func (s *ServiceManager) CreateKey(ctx context.Context, req *CreateKeyRequest) (*CreateKeyResponse, error) {
	return through(ctx, s, "CreateKey", req, (*Manager).CreateKey)
}

// DescribeKey is that of the Manager that runs. See [KeyService].
func (s *ServiceManager) DescribeKey(ctx context.Context, req *DescribeKeyRequest) (*DescribeKeyResponse, error) {
	return through(ctx, s, "DescribeKey", req, (*Manager).DescribeKey)
}

// ListKeys is that of the Manager that runs. See [KeyService].
func (s *ServiceManager) ListKeys(ctx context.Context, req *ListKeysRequest) (*ListKeysResponse, error) {
	return through(ctx, s, "ListKeys", req, (*Manager).ListKeys)
}

// DeleteKey is that of the Manager that runs. See [Manager.DeleteKey].
func (s *ServiceManager) DeleteKey(ctx context.Context, req *DeleteKeyRequest) (*DeleteKeyResponse, error) {
	return through(ctx, s, "DeleteKey", req, (*Manager).DeleteKey)
}

// CancelKeyDeletion is that of the Manager that runs. See [KeyService].
func (s *ServiceManager) CancelKeyDeletion(ctx context.Context, req *CancelKeyDeletionRequest) (*CancelKeyDeletionResponse, error) {
	return through(ctx, s, "CancelKeyDeletion", req, (*Manager).CancelKeyDeletion)
}

// GenerateDataKey is that of the Manager that runs. See [KeyService].
func (s *ServiceManager) GenerateDataKey(ctx context.Context, req *GenerateDataKeyRequest) (*GenerateDataKeyResponse, error) {
	return through(ctx, s, opGenerateDataKey, req, (*Manager).GenerateDataKey)
}

// AuthorizeDataKey is that of the Manager that runs. See [Manager.AuthorizeDataKey].
func (s *ServiceManager) AuthorizeDataKey(ctx context.Context, req *GenerateDataKeyRequest) (*DescribeKeyResponse, error) {
	return through(ctx, s, opGenerateDataKey, req, (*Manager).AuthorizeDataKey)
}

// KeysMade is a number that changes with every key that is made through this ServiceManager, or may have been, and with every
// generation: then a key id may mean another key. It never falls. See [Manager.KeysMade].
func (s *ServiceManager) KeysMade() uint64 {
	const keysPerGeneration = 1 << 40
	current := s.serving.Load()
	if current == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		current = s.serving.Load() // it may have been started meanwhile
	}
	if current == nil {
		return s.generation*keysPerGeneration + keysPerGeneration - 1
	}
	return current.generation*keysPerGeneration + current.KeysMade()
}

// Encrypt is that of the Manager that runs. See [KeyService].
func (s *ServiceManager) Encrypt(ctx context.Context, req *EncryptRequest) (*EncryptResponse, error) {
	return through(ctx, s, "Encrypt", req, (*Manager).Encrypt)
}

// Decrypt is that of the Manager that runs. See [Manager.Decrypt].
func (s *ServiceManager) Decrypt(ctx context.Context, req *DecryptRequest) (*DecryptResponse, error) {
	return through(ctx, s, opDecrypt, req, (*Manager).Decrypt)
}

// RewrapDataKeys is that of the Manager that runs. See [Manager.RewrapDataKeys].
func (s *ServiceManager) RewrapDataKeys(ctx context.Context, req *RewrapDataKeysRequest) (*RewrapDataKeysResponse, error) {
	return through(ctx, s, opRewrapDataKeys, req, (*Manager).RewrapDataKeys)
}

// EnableKey is that of the Manager that runs. See [KeyStateChanger].
func (s *ServiceManager) EnableKey(ctx context.Context, req *EnableKeyRequest) (*EnableKeyResponse, error) {
	return through(ctx, s, "EnableKey", req, (*Manager).EnableKey)
}

// DisableKey is that of the Manager that runs. See [KeyStateChanger].
func (s *ServiceManager) DisableKey(ctx context.Context, req *DisableKeyRequest) (*DisableKeyResponse, error) {
	return through(ctx, s, "DisableKey", req, (*Manager).DisableKey)
}

// RotateKey is that of the Manager that runs. See [KeyRotator].
func (s *ServiceManager) RotateKey(ctx context.Context, req *RotateKeyRequest) (*RotateKeyResponse, error) {
	return through(ctx, s, "RotateKey", req, (*Manager).RotateKey)
}

// ImportKey is that of the Manager that runs. See [KeyImporter].
func (s *ServiceManager) ImportKey(ctx context.Context, req *ImportKeyRequest) (*ImportKeyResponse, error) {
	return through(ctx, s, "ImportKey", req, (*Manager).ImportKey)
}

// UpdateKeyDescription is that of the Manager that runs. See [KeyUpdater].
func (s *ServiceManager) UpdateKeyDescription(ctx context.Context, req *UpdateKeyDescriptionRequest) (*UpdateKeyDescriptionResponse, error) {
	return through(ctx, s, "UpdateKeyDescription", req, (*Manager).UpdateKeyDescription)
}

// TagKey is that of the Manager that runs. See [KeyUpdater].
func (s *ServiceManager) TagKey(ctx context.Context, req *TagKeyRequest) (*TagKeyResponse, error) {
	return through(ctx, s, "TagKey", req, (*Manager).TagKey)
}

// UntagKey is that of the Manager that runs. See [KeyUpdater].
func (s *ServiceManager) UntagKey(ctx context.Context, req *UntagKeyRequest) (*UntagKeyResponse, error) {
	return through(ctx, s, "UntagKey", req, (*Manager).UntagKey)
}

// RemoveExpiredKeys is that of the Manager that runs: what has expired goes, by the clock of this machine and with no further
// question. [ServiceManager.SweepExpiredKeys] is the careful way. See [Manager.RemoveExpiredKeys].
func (s *ServiceManager) RemoveExpiredKeys(ctx context.Context, now time.Time) ([]string, error) {
	return through(ctx, s, "RemoveExpiredKeys", now, (*Manager).RemoveExpiredKeys)
}

// HealthCheck is that of the Manager that runs. See [KeyService].
func (s *ServiceManager) HealthCheck(ctx context.Context) error {
	_, err := through(ctx, s, "HealthCheck", noKey{}, func(m *Manager, ctx context.Context, _ noKey) (*struct{}, error) {
		return nil, m.HealthCheck(ctx)
	})
	return err
}

// Capabilities says which optional operations the backend that runs has; none where nothing runs.
func (s *ServiceManager) Capabilities() Capabilities {
	current := s.serving.Load()
	if current == nil {
		return Capabilities{}
	}
	return current.Capabilities()
}

// ClearCache drops and wipes all that the caches of the Manager that runs hold.
func (s *ServiceManager) ClearCache() {
	if current := s.serving.Load(); current != nil {
		current.ClearCache()
	}
}
