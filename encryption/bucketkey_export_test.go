package encryption

import "github.com/objectkms/kms"

// SharedDataKeys returns the secrets that a Service holds for objects to share.
func SharedDataKeys(s *Service) []*kms.Secret {
	var secrets []*kms.Secret
	s.bucketKeys.entries.DeleteFunc(func(_ bucketKeyName, k bucketKey) bool {
		secrets = append(secrets, k.dk.Plaintext)
		return false
	})
	return secrets
}
