package keyring

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
)

// GenerateDataKey makes a random data key and wraps it under the newest version of an Enabled
// key. The request must name the key.
func (r *Ring) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	rec, err := r.loadEnabled(ctx, req.KeyID)
	if err != nil {
		return nil, err
	}
	plaintext := make([]byte, req.Spec.Size())
	rand.Read(plaintext)
	ciphertext, version, err := r.wrap(rec, req.Context, plaintext)
	if err != nil {
		clear(plaintext)
		return nil, err
	}
	resp := &kms.GenerateDataKeyResponse{KeyID: req.KeyID, KeyVersion: version, Ciphertext: ciphertext}
	if req.WithoutPlaintext {
		clear(plaintext)
		return resp, nil
	}
	resp.Plaintext = kms.NewSecret(plaintext)
	return resp, nil
}

// Encrypt wraps a small secret of the caller's. The request must name the key.
func (r *Ring) Encrypt(ctx context.Context, req *kms.EncryptRequest) (*kms.EncryptResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	rec, err := r.loadEnabled(ctx, req.KeyID)
	if err != nil {
		return nil, err
	}
	ciphertext, version, err := r.wrap(rec, req.Context, req.Plaintext)
	if err != nil {
		return nil, err
	}
	return &kms.EncryptResponse{Ciphertext: ciphertext, KeyID: req.KeyID, KeyVersion: version}, nil
}

// Decrypt unwraps what GenerateDataKey or Encrypt answered, in every state of the key until its
// deletion date. A ciphertext of a version that the key does not have is ErrDecrypt.
func (r *Ring) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	blob, err := parseOwnBlob(req.Ciphertext)
	if err != nil {
		return nil, err
	}
	if req.KeyID != "" && req.KeyID != blob.KeyID {
		return nil, fmt.Errorf("%w: ciphertext is of key %q, want %q", kms.ErrDecrypt, blob.KeyID, req.KeyID)
	}
	plaintext, err := r.unwrap(ctx, blob, req.Context)
	if err != nil {
		return nil, err
	}
	return &kms.DecryptResponse{Plaintext: kms.NewSecret(plaintext), KeyID: blob.KeyID, KeyVersion: blob.Version}, nil
}

// loadEnabled returns the record of a key that may wrap now.
func (r *Ring) loadEnabled(ctx context.Context, keyID string) (*record, error) {
	rec, err := r.load(ctx, keyID)
	if err != nil {
		return nil, err
	}
	if err := rec.standing().MustBeEnabled(); err != nil {
		return nil, err
	}
	return rec, nil
}

// wrap wraps plaintext under the newest version of the key.
func (r *Ring) wrap(rec *record, ec kms.EncryptionContext, plaintext []byte) (ciphertext []byte, number uint32, err error) {
	newest := rec.newest()
	blob := Blob{Kind: KindKeyring, KeyID: rec.ID, Version: newest.Version}
	header := blob.AppendHeader(make([]byte, 0, blobFixedSize+len(rec.ID)+minMessageSize+len(plaintext)))
	useErr := r.keys.use(rec.ID, newest, func(key []byte) {
		ciphertext, err = cobblestone.Seal(header, key, dataKeyContext(header, ec), plaintext)
	})
	return ciphertext, newest.Version, cmp.Or(useErr, err)
}

// unwrap opens a blob of this package's kind. Before it says that the blob does not open, it reads the record again: another process may have
// rotated the key a moment ago, or made it anew.
func (r *Ring) unwrap(ctx context.Context, blob Blob, ec kms.EncryptionContext) (plaintext []byte, err error) {
	rec, err := r.load(ctx, blob.KeyID)
	if err != nil {
		return nil, err
	}
	plaintext, err = r.unwrapWith(rec, blob, ec)
	if !errors.Is(err, kms.ErrDecrypt) {
		return plaintext, err
	}
	now, reloadErr := r.reload(ctx, blob.KeyID)
	if reloadErr != nil {
		return nil, reloadErr
	}
	if now.Generation == rec.Generation {
		return nil, err
	}
	return r.unwrapWith(now, blob, ec)
}

// unwrapWith opens a blob with the key of a record.
func (r *Ring) unwrapWith(rec *record, blob Blob, ec kms.EncryptionContext) (plaintext []byte, err error) {
	if rec.standing().Expired(time.Now()) {
		return nil, rec.standing().MustStay()
	}
	v := rec.version(blob.Version)
	if v == nil {
		return nil, fmt.Errorf("%w: ciphertext is of version %d, the newest is %d", kms.ErrDecrypt, blob.Version, len(rec.Versions))
	}
	header := blob.AppendHeader(nil)
	useErr := r.keys.use(rec.ID, v, func(key []byte) {
		plaintext, err = cobblestone.Open(nil, key, dataKeyContext(header, ec), blob.Payload)
	})
	if errors.Is(err, cobblestone.ErrOpen) {
		err = kms.ErrDecrypt
	}
	return plaintext, cmp.Or(useErr, err)
}

// parseOwnBlob parses a wrapped data key and refuses those of other backends.
func parseOwnBlob(ciphertext []byte) (Blob, error) {
	blob, err := ParseBlob(ciphertext)
	if err == nil && blob.Kind != KindKeyring {
		err = fmt.Errorf("%w: ciphertext is of kind %d, want %d", kms.ErrDecrypt, blob.Kind, KindKeyring)
	}
	return blob, err
}

func dataKeyContext(header []byte, ec kms.EncryptionContext) []byte {
	const labelRoom = 64 // for the label and the lengths
	form := encctx.Append(make([]byte, 0, encctx.Size(ec)), ec)
	return encctx.Bind(make([]byte, 0, labelRoom+len(header)+len(form)), "data-key", header, form)
}
