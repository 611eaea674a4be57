package encryption

import (
	"context"

	"github.com/objectkms/kms"
)

// keys returns the KeyService, or one that is not configured where there is none.
func (s *Service) keys() kms.KeyService {
	if s.KeyService == nil {
		return new(kms.ServiceManager)
	}
	return s.KeyService
}

// CreateKey is that of the KeyService.
func (s *Service) CreateKey(ctx context.Context, req *kms.CreateKeyRequest) (*kms.CreateKeyResponse, error) {
	return s.keys().CreateKey(ctx, req)
}

// DescribeKey is that of the KeyService.
func (s *Service) DescribeKey(ctx context.Context, req *kms.DescribeKeyRequest) (*kms.DescribeKeyResponse, error) {
	return s.keys().DescribeKey(ctx, req)
}

// ListKeys is that of the KeyService.
func (s *Service) ListKeys(ctx context.Context, req *kms.ListKeysRequest) (*kms.ListKeysResponse, error) {
	return s.keys().ListKeys(ctx, req)
}

// GenerateDataKey is that of the KeyService.
func (s *Service) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	return s.keys().GenerateDataKey(ctx, req)
}

// Encrypt is that of the KeyService.
func (s *Service) Encrypt(ctx context.Context, req *kms.EncryptRequest) (*kms.EncryptResponse, error) {
	return s.keys().Encrypt(ctx, req)
}

// Decrypt is that of the KeyService.
func (s *Service) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	return s.keys().Decrypt(ctx, req)
}

// HealthCheck is that of the KeyService.
func (s *Service) HealthCheck(ctx context.Context) error { return s.keys().HealthCheck(ctx) }
