package main

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/objectkms/kms"
)

// StaticKey configures a backend with one master key that somebody else keeps.
//
// Its limits: the key has one version for ever and is not rotated; Go's memory holds it until the
// process ends; and since nonces are random, it must not wrap more than 2^32 data keys.
type StaticKey struct {
	ID       string
	Material *kms.Secret // 32 random bytes
}

func (StaticKey) BackendType() string { return "static" }

func (k StaticKey) Validate() error {
	if err := kms.ValidateKeyID(k.ID); err != nil {
		return fmt.Errorf("%w: %w", kms.ErrInvalidConfig, err)
	}
	if n := k.Material.Len(); n != 32 {
		return fmt.Errorf("%w: static key has %d bytes, want 32", kms.ErrInvalidConfig, n)
	}
	return nil
}

func (k StaticKey) Open(context.Context) (kms.Backend, error) {
	if err := k.Validate(); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k.Material.Bytes())
	if err != nil {
		return nil, err
	}
	// This AEAD draws every nonce itself and puts it before the ciphertext.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &staticBackend{id: k.ID, aead: aead}, nil
}

// staticBackend does the work. It may be shared between goroutines.
type staticBackend struct {
	id     string
	aead   cipher.AEAD
	closed atomic.Bool
}

var _ kms.Backend = (*staticBackend)(nil)

// begin makes the checks of every operation. Requests check themselves, nil ones too.
func (b *staticBackend) begin(ctx context.Context, req interface{ Validate() error }) error {
	if b.closed.Load() {
		return kms.ErrClosed
	}
	return cmp.Or(ctx.Err(), req.Validate())
}

// checkKeyID finds out whether an id is that of the one key. An empty one is no id: default keys are the Manager's.
func (b *staticBackend) checkKeyID(id string) error {
	if err := kms.ValidateKeyID(id); err != nil || id == b.id {
		return err
	}
	return fmt.Errorf("%w: %q", kms.ErrKeyNotFound, id)
}

// aad is what a ciphertext is bound to, whatever the order of the map: the key's id and the entries sorted by
// name, each text behind its length, so that no two contexts have the same form.
func (b *staticBackend) aad(ec kms.EncryptionContext) []byte {
	texts := []string{b.id}
	for _, name := range slices.Sorted(maps.Keys(ec)) {
		texts = append(texts, name, ec[name])
	}
	var form []byte
	for _, text := range texts {
		form = append(binary.BigEndian.AppendUint32(form, uint32(len(text))), text...)
	}
	return form
}

func (b *staticBackend) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	dataKey := make([]byte, req.Spec.Size())
	rand.Read(dataKey)
	wrapped, err := b.Encrypt(ctx, &kms.EncryptRequest{KeyID: req.KeyID, Plaintext: dataKey, Context: req.Context})
	if err != nil {
		return nil, err
	}
	resp := &kms.GenerateDataKeyResponse{KeyID: b.id, KeyVersion: 1, Ciphertext: wrapped.Ciphertext}
	if !req.WithoutPlaintext {
		resp.Plaintext = kms.NewSecret(dataKey)
	}
	return resp, nil
}

func (b *staticBackend) Encrypt(ctx context.Context, req *kms.EncryptRequest) (*kms.EncryptResponse, error) {
	if err := b.begin(ctx, req); err != nil {
		return nil, err
	}
	if err := b.checkKeyID(req.KeyID); err != nil {
		return nil, err
	}
	return &kms.EncryptResponse{KeyID: b.id, KeyVersion: 1, Ciphertext: b.aead.Seal(nil, nil, req.Plaintext, b.aad(req.Context))}, nil
}

func (b *staticBackend) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	if err := b.begin(ctx, req); err != nil {
		return nil, err
	}
	plaintext, err := b.aead.Open(nil, nil, req.Ciphertext, b.aad(req.Context))
	// Another key, another context and a changed ciphertext must look alike.
	if err != nil || req.KeyID != "" && req.KeyID != b.id {
		clear(plaintext)
		return nil, kms.ErrDecrypt
	}
	return &kms.DecryptResponse{KeyID: b.id, KeyVersion: 1, Plaintext: kms.NewSecret(plaintext)}, nil
}

func (b *staticBackend) Close() error {
	b.closed.Store(true)
	return nil
}

// key describes the one key. When it was made, nobody told us.
func (b *staticBackend) key() kms.Key {
	return kms.Key{ID: b.id, State: kms.KeyEnabled, Usage: kms.EncryptDecrypt, Origin: kms.OriginExternal, Version: 1}
}

func (b *staticBackend) DescribeKey(ctx context.Context, req *kms.DescribeKeyRequest) (*kms.DescribeKeyResponse, error) {
	if err := b.begin(ctx, req); err != nil {
		return nil, err
	}
	if err := b.checkKeyID(req.KeyID); err != nil {
		return nil, err
	}
	return &kms.DescribeKeyResponse{Key: b.key()}, nil
}

func (b *staticBackend) ListKeys(ctx context.Context, req *kms.ListKeysRequest) (*kms.ListKeysResponse, error) {
	if err := b.begin(ctx, req); err != nil {
		return nil, err
	}
	if req.Marker >= b.id || req.State != "" && req.State != kms.KeyEnabled {
		return &kms.ListKeysResponse{}, nil
	}
	return &kms.ListKeysResponse{Keys: []kms.Key{b.key()}}, nil
}

func (b *staticBackend) HealthCheck(ctx context.Context) error {
	return b.begin(ctx, &kms.ListKeysRequest{})
}

// The key is not ours to make or to delete.

func (*staticBackend) CreateKey(context.Context, *kms.CreateKeyRequest) (*kms.CreateKeyResponse, error) {
	return nil, kms.ErrUnsupported
}

func (*staticBackend) DeleteKey(context.Context, *kms.DeleteKeyRequest) (*kms.DeleteKeyResponse, error) {
	return nil, kms.ErrUnsupported
}

func (*staticBackend) CancelKeyDeletion(context.Context, *kms.CancelKeyDeletionRequest) (*kms.CancelKeyDeletionResponse, error) {
	return nil, kms.ErrUnsupported
}
