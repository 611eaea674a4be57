// Package sample makes data keys whose plaintext is remembered, so that it can be told later whether they were lost.
package sample

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/objectkms/kms"
)

// ErrWrong says that a data key was opened, and was another one. Nothing is worse.
var ErrWrong = errors.New("another data key was opened")

// DataKey is a wrapped data key. It holds a hash of its plaintext.
type DataKey struct {
	KeyID      string
	KeyVersion uint32
	Context    kms.EncryptionContext
	Ciphertext []byte
	Sum        [sha256.Size]byte
}

// New makes a data key under a master key.
func New(ctx context.Context, keys kms.KeyService, keyID string, ec kms.EncryptionContext) (DataKey, error) {
	made, err := keys.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: keyID, Context: ec})
	if err != nil {
		return DataKey{}, err
	}
	defer made.Plaintext.Destroy()
	if made.KeyID != keyID {
		return DataKey{}, fmt.Errorf("%w: it is of key %q, want %q", ErrWrong, made.KeyID, keyID)
	}
	return DataKey{
		KeyID: keyID, KeyVersion: made.KeyVersion, Context: ec,
		Ciphertext: made.Ciphertext, Sum: sha256.Sum256(made.Plaintext.Bytes()),
	}, nil
}

// Open opens the data key. The error wraps ErrWrong where what comes out is not what went in.
func (d DataKey) Open(ctx context.Context, keys kms.KeyService) error {
	opened, err := keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: d.Ciphertext, Context: d.Context})
	if err != nil {
		return err
	}
	defer opened.Plaintext.Destroy()
	if opened.KeyID != d.KeyID || opened.KeyVersion != d.KeyVersion || sha256.Sum256(opened.Plaintext.Bytes()) != d.Sum {
		return fmt.Errorf("%w: of key %q, version %d", ErrWrong, opened.KeyID, opened.KeyVersion)
	}
	return nil
}
