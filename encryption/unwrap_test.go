package encryption_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

func TestChangedWrappedDataKeysAreNotAuthentic(t *testing.T) {
	backend := newMock(t)
	for name, keys := range map[string]kms.KeyService{"backend": backend, "Manager": newManager(t, backend)} {
		svc := encryption.NewService(keys, encryption.Options{})
		env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3, KeyID: "default"}, []byte("meow"))
		parts := env.Parts()
		for bit := range 8 * len(parts.Wrapped) {
			changed := parts
			changed.Wrapped = bytes.Clone(parts.Wrapped)
			changed.Wrapped[bit/8] ^= 1 << (bit % 8)
			_, err := get(t.Context(), svc, photo, changed.Envelope(), nil, bytes.NewReader(body))
			require.ErrorIs(t, err, kms.ErrDecrypt, "%s: bit %d", name, bit)
			require.Equal(t, http.StatusInternalServerError, encryption.S3Error(err).Status)
		}
	}
}

func TestKeysThatAreGoneAreNotFound(t *testing.T) {
	backend := newMock(t)
	for name, keys := range map[string]kms.KeyService{"backend": backend, "Manager": newManager(t, backend)} {
		_, err := keys.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "gone"})
		require.NoError(t, err)
		svc := encryption.NewService(keys, encryption.Options{})
		env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "gone"}, []byte("meow"))
		_, err = backend.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "gone", Immediate: true, ConfirmKeyID: "gone"})
		require.NoError(t, err)
		_, err = get(t.Context(), svc, photo, env, nil, bytes.NewReader(body))
		require.ErrorIs(t, err, kms.ErrKeyNotFound, name)
		require.NotErrorIs(t, err, kms.ErrDecrypt, name)
	}
}

// A refuser answers errors that tell more than one thing.
type refuser struct {
	kms.Backend
	err     error
	created int
}

func (r *refuser) GenerateDataKey(context.Context, *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	return nil, r.err
}

func (r *refuser) Decrypt(context.Context, *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	return nil, r.err
}

func (r *refuser) CreateKey(ctx context.Context, req *kms.CreateKeyRequest) (*kms.CreateKeyResponse, error) {
	r.created++
	return r.Backend.CreateKey(ctx, req)
}

func TestRefusalsCreateNoDefaultKey(t *testing.T) {
	refused := fmt.Errorf("%w: %w", kms.ErrPermission, kms.ErrKeyNotFound)
	keys := &refuser{Backend: newMock(t), err: &kms.Error{Op: "GenerateDataKey", KeyID: "missing", Err: refused}}
	svc := encryption.NewService(keys, encryption.Options{CreateDefaultKey: true})
	_, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3}, strings.NewReader("meow"))
	require.Equal(t, keys.err, err)
	require.Zero(t, keys.created)

	keys.err = &kms.Error{Op: "GenerateDataKey", KeyID: "missing", Err: kms.ErrKeyNotFound}
	_, err = svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3}, strings.NewReader("meow"))
	require.Equal(t, keys.err, err)
	require.Equal(t, 1, keys.created)
}

func TestNoAnswerOfTheKeyServiceIsAnError(t *testing.T) {
	backend := newMock(t)
	env, body := put(t, encryption.NewService(backend, encryption.Options{}), photo, &encryption.Request{Mode: encryption.SSES3, KeyID: "default"}, []byte("meow"))
	for _, bucketKey := range []bool{false, true} {
		svc := encryption.NewService(&refuser{Backend: backend}, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: time.Minute}})
		_, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3, BucketKey: bucketKey}, strings.NewReader("meow"))
		require.ErrorIs(t, err, kms.ErrKeyMaterial)
		_, err = get(t.Context(), svc, photo, env, nil, bytes.NewReader(body))
		require.ErrorIs(t, err, kms.ErrKeyMaterial)
	}
}
