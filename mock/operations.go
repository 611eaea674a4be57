package mock

import (
	"context"
	"time"

	"github.com/objectkms/kms"
)

// call runs one operation of the ring as the script wants it.
func call[Req, Resp any](ctx context.Context, b *Backend, op string, req Req, do func(context.Context, Req) (Resp, error)) (resp Resp, err error) {
	if err := b.shared.script.begin(ctx, op); err != nil {
		return resp, err
	}
	return do(ctx, req)
}

// CreateKey implements [kms.KeyService].
func (b *Backend) CreateKey(ctx context.Context, req *kms.CreateKeyRequest) (*kms.CreateKeyResponse, error) {
	return call(ctx, b, "CreateKey", req, b.ring.CreateKey)
}

// DescribeKey implements [kms.KeyService].
func (b *Backend) DescribeKey(ctx context.Context, req *kms.DescribeKeyRequest) (*kms.DescribeKeyResponse, error) {
	return call(ctx, b, "DescribeKey", req, b.ring.DescribeKey)
}

// ListKeys implements [kms.KeyService].
func (b *Backend) ListKeys(ctx context.Context, req *kms.ListKeysRequest) (*kms.ListKeysResponse, error) {
	return call(ctx, b, "ListKeys", req, b.ring.ListKeys)
}

// DeleteKey implements [kms.KeyService].
func (b *Backend) DeleteKey(ctx context.Context, req *kms.DeleteKeyRequest) (*kms.DeleteKeyResponse, error) {
	return call(ctx, b, "DeleteKey", req, b.ring.DeleteKey)
}

// CancelKeyDeletion implements [kms.KeyService].
func (b *Backend) CancelKeyDeletion(ctx context.Context, req *kms.CancelKeyDeletionRequest) (*kms.CancelKeyDeletionResponse, error) {
	return call(ctx, b, "CancelKeyDeletion", req, b.ring.CancelKeyDeletion)
}

// GenerateDataKey implements [kms.KeyService].
func (b *Backend) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	return call(ctx, b, "GenerateDataKey", req, b.ring.GenerateDataKey)
}

// Encrypt implements [kms.KeyService].
func (b *Backend) Encrypt(ctx context.Context, req *kms.EncryptRequest) (*kms.EncryptResponse, error) {
	return call(ctx, b, "Encrypt", req, b.ring.Encrypt)
}

// Decrypt implements [kms.KeyService].
func (b *Backend) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	return call(ctx, b, "Decrypt", req, b.ring.Decrypt)
}

// EnableKey implements [kms.KeyStateChanger].
func (b *Backend) EnableKey(ctx context.Context, req *kms.EnableKeyRequest) (*kms.EnableKeyResponse, error) {
	return call(ctx, b, "EnableKey", req, b.ring.EnableKey)
}

// DisableKey implements [kms.KeyStateChanger].
func (b *Backend) DisableKey(ctx context.Context, req *kms.DisableKeyRequest) (*kms.DisableKeyResponse, error) {
	return call(ctx, b, "DisableKey", req, b.ring.DisableKey)
}

// RotateKey implements [kms.KeyRotator].
func (b *Backend) RotateKey(ctx context.Context, req *kms.RotateKeyRequest) (*kms.RotateKeyResponse, error) {
	return call(ctx, b, "RotateKey", req, b.ring.RotateKey)
}

// ImportKey implements [kms.KeyImporter].
func (b *Backend) ImportKey(ctx context.Context, req *kms.ImportKeyRequest) (*kms.ImportKeyResponse, error) {
	return call(ctx, b, "ImportKey", req, b.ring.ImportKey)
}

// UpdateKeyDescription implements [kms.KeyUpdater].
func (b *Backend) UpdateKeyDescription(ctx context.Context, req *kms.UpdateKeyDescriptionRequest) (*kms.UpdateKeyDescriptionResponse, error) {
	return call(ctx, b, "UpdateKeyDescription", req, b.ring.UpdateKeyDescription)
}

// TagKey implements [kms.KeyUpdater].
func (b *Backend) TagKey(ctx context.Context, req *kms.TagKeyRequest) (*kms.TagKeyResponse, error) {
	return call(ctx, b, "TagKey", req, b.ring.TagKey)
}

// UntagKey implements [kms.KeyUpdater].
func (b *Backend) UntagKey(ctx context.Context, req *kms.UntagKeyRequest) (*kms.UntagKeyResponse, error) {
	return call(ctx, b, "UntagKey", req, b.ring.UntagKey)
}

// RewrapDataKeys implements [kms.DataKeyRewrapper].
func (b *Backend) RewrapDataKeys(ctx context.Context, req *kms.RewrapDataKeysRequest) (*kms.RewrapDataKeysResponse, error) {
	return call(ctx, b, "RewrapDataKeys", req, b.ring.RewrapDataKeys)
}

// RemoveExpiredKeys implements [kms.ExpiredKeyRemover].
func (b *Backend) RemoveExpiredKeys(ctx context.Context, now time.Time) ([]string, error) {
	return call(ctx, b, "RemoveExpiredKeys", now, b.ring.RemoveExpiredKeys)
}

// HealthCheck implements [kms.KeyService].
func (b *Backend) HealthCheck(ctx context.Context) error {
	if err := b.shared.script.begin(ctx, "HealthCheck"); err != nil {
		return err
	}
	return b.ring.HealthCheck(ctx)
}
