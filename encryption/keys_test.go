package encryption_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

func TestDataKeysAreBoundToTheObjectOrTheBucket(t *testing.T) {
	id := encryption.ObjectID{Bucket: "photos", Key: "2024/a b.jpg", Version: "v1"}
	for _, tt := range []struct {
		name string
		req  *encryption.Request
		want kms.EncryptionContext
	}{
		{"SSE-S3", &encryption.Request{Mode: encryption.SSES3}, kms.EncryptionContext{"aws:s3:arn": "arn:aws:s3:::photos/2024/a b.jpg"}},
		{"SSE-S3 bucket key", &encryption.Request{Mode: encryption.SSES3, BucketKey: true}, kms.EncryptionContext{"aws:s3:arn": "arn:aws:s3:::photos"}},
		{"SSE-KMS", &encryption.Request{Mode: encryption.SSEKMS, KeyID: "other", Context: kms.EncryptionContext{"a": "b"}},
			kms.EncryptionContext{"a": "b", "aws:s3:arn": "arn:aws:s3:::photos/2024/a b.jpg"}},
		{"SSE-KMS bucket key", &encryption.Request{Mode: encryption.SSEKMS, KeyID: "other", Context: kms.EncryptionContext{"a": "b"}, BucketKey: true},
			kms.EncryptionContext{"a": "b", "aws:s3:arn": "arn:aws:s3:::photos"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ring := newRing("default", "other")
			svc := encryption.NewService(ring, encryption.Options{})
			given := len(tt.req.Context)
			env, body := put(t, svc, id, tt.req, random(5))
			require.Equal(t, []*kms.GenerateDataKeyRequest{{KeyID: tt.req.KeyID, Spec: kms.AES256, Context: tt.want}}, ring.requests)
			require.Len(t, tt.req.Context, given, "the caller's map is left alone")
			require.Equal(t, map[bool]string{true: "default", false: tt.req.KeyID}[tt.req.KeyID == ""], env.KeyID())

			_, err := get(t.Context(), svc, id, env, nil, bytes.NewReader(body))
			require.NoError(t, err)
			require.Equal(t, []*kms.DecryptRequest{{Ciphertext: env.Parts().Wrapped, Context: tt.want}}, ring.unwraps)
		})
	}
}

func TestCustomerKeysNeedNoKeyService(t *testing.T) {
	svc := encryption.NewService(nil, encryption.Options{})
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEC, CustomerKey: customerKey()}, []byte("abc"))
	got, err := get(t.Context(), svc, photo, env, &encryption.Request{CustomerKey: customerKey()}, bytes.NewReader(body))
	require.NoError(t, err)
	require.Equal(t, "abc", string(got))
}

func TestImpossibleAnswersToGenerateDataKeyAreRefused(t *testing.T) {
	for name, change := range map[string]func(*kms.GenerateDataKeyResponse){
		"16 bytes":             func(r *kms.GenerateDataKeyResponse) { r.Plaintext = kms.NewSecret(random(16)) },
		"33 bytes":             func(r *kms.GenerateDataKeyResponse) { r.Plaintext = kms.NewSecret(random(33)) },
		"no plaintext":         func(r *kms.GenerateDataKeyResponse) { r.Plaintext = nil },
		"no wrapped key":       func(r *kms.GenerateDataKeyResponse) { r.Ciphertext = nil },
		"wrapped key too long": func(r *kms.GenerateDataKeyResponse) { r.Ciphertext = make([]byte, 16<<10+1) },
		"no key id":            func(r *kms.GenerateDataKeyResponse) { r.KeyID = "" },
		"key id too long":      func(r *kms.GenerateDataKeyResponse) { r.KeyID = strings.Repeat("k", 2049) },
		"key id is not UTF-8":  func(r *kms.GenerateDataKeyResponse) { r.KeyID = "\xff" },
	} {
		ring := newRing("default")
		ring.generate = change
		svc := encryption.NewService(ring, encryption.Options{})
		_, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3}, strings.NewReader("abc"))
		require.ErrorIs(t, err, kms.ErrKeyMaterial, name)
		require.Zero(t, ring.plaintexts[0].Len(), "destroyed")
	}
}

func TestLongestAnswersToGenerateDataKeyAreRight(t *testing.T) {
	ring := newRing("default")
	ring.generate = func(r *kms.GenerateDataKeyResponse) {
		r.KeyID, r.Ciphertext = strings.Repeat("k", 2048), make([]byte, 16<<10)
	}
	svc := encryption.NewService(ring, encryption.Options{})
	req := &encryption.Request{Mode: encryption.SSEKMS, Context: kms.EncryptionContext{"a": strings.Repeat("x", 2048-9)}}
	env, _ := put(t, svc, photo, req, nil)
	_, err := encryption.ParseEnvelope(env.Map())
	require.NoError(t, err)
}

func TestOtherAnswersToDecryptAreRefused(t *testing.T) {
	for name, change := range map[string]func(*kms.DecryptResponse){
		"another key id": func(r *kms.DecryptResponse) { r.KeyID = "other" },
		"no key id":      func(r *kms.DecryptResponse) { r.KeyID = "" },
		"16 bytes":       func(r *kms.DecryptResponse) { r.Plaintext = kms.NewSecret(random(16)) },
		"another key":    func(r *kms.DecryptResponse) { r.Plaintext = kms.NewSecret(random(32)) },
		"no plaintext":   func(r *kms.DecryptResponse) { r.Plaintext = nil },
	} {
		ring := newRing("default")
		svc := encryption.NewService(ring, encryption.Options{})
		env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, random(5))
		ring.decrypt = change
		_, err := get(t.Context(), svc, photo, env, nil, bytes.NewReader(body))
		require.Equal(t, kms.ErrDecrypt, err, name)
		require.Zero(t, ring.plaintexts[1].Len(), "destroyed")
	}
}

func TestDataKeysAreDestroyed(t *testing.T) {
	ring := newRing("default")
	svc := encryption.NewService(ring, encryption.Options{})
	allDestroyed := func() {
		t.Helper()
		require.NotEmpty(t, ring.plaintexts)
		for _, key := range ring.plaintexts {
			require.Zero(t, key.Len())
		}
	}
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, random(5))
	allDestroyed()
	r, err := svc.DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(body))
	require.NoError(t, err)
	allDestroyed()
	require.NoError(t, r.Close())
	_, err = svc.OpenObject(t.Context(), photo, env, nil, int64(len(body)))
	require.NoError(t, err)
	_, err = svc.OpenObject(t.Context(), photo, env, nil, 0)
	require.Error(t, err)
	_, err = svc.Rewrap(t.Context(), photo, env, nil, photo, &encryption.Request{Mode: encryption.SSES3})
	require.NoError(t, err)
	_, err = svc.Rewrap(t.Context(), encryption.ObjectID{Bucket: "b", Key: "k"}, env, nil, photo, &encryption.Request{Mode: encryption.SSES3})
	require.Error(t, err)
	allDestroyed()
}
