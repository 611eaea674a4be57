package keyring_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

func TestDataKeyOpensAgain(t *testing.T) {
	ring := openRing(t, newStore())
	createKey(t, ring, "k")
	for spec, size := range map[kms.KeySpec]int{"": 32, kms.AES256: 32, kms.AES128: 16} {
		ec := kms.EncryptionContext{"bucket": "b", "": ""}
		made, err := ring.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k", Spec: spec, Context: ec})
		require.NoError(t, err)
		require.Equal(t, size, made.Plaintext.Len())
		require.Equal(t, "k", made.KeyID)
		require.Equal(t, uint32(1), made.KeyVersion)

		got, err := ring.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: made.Ciphertext, Context: ec, KeyID: "k"})
		require.NoError(t, err)
		require.Equal(t, made.Plaintext.Bytes(), got.Plaintext.Bytes())
		require.Equal(t, "k", got.KeyID)
		require.Equal(t, uint32(1), got.KeyVersion)
	}
}

func TestDataKeysDiffer(t *testing.T) {
	ring := openRing(t, newStore())
	createKey(t, ring, "k")
	req := &kms.GenerateDataKeyRequest{KeyID: "k"}
	one, err := ring.GenerateDataKey(t.Context(), req)
	require.NoError(t, err)
	two, err := ring.GenerateDataKey(t.Context(), req)
	require.NoError(t, err)
	require.NotEqual(t, one.Plaintext.Bytes(), two.Plaintext.Bytes())
	require.NotEqual(t, one.Ciphertext, two.Ciphertext)
	require.False(t, bytes.Contains(one.Ciphertext, one.Plaintext.Bytes()))
	require.NotEqual(t, make([]byte, 32), one.Plaintext.Bytes())
}

func TestDataKeyWithoutPlaintext(t *testing.T) {
	ring := openRing(t, newStore())
	createKey(t, ring, "k")
	made, err := ring.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k", WithoutPlaintext: true})
	require.NoError(t, err)
	require.Nil(t, made.Plaintext)
	got, err := ring.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: made.Ciphertext})
	require.NoError(t, err)
	require.Equal(t, 32, got.Plaintext.Len())
	require.NotEqual(t, make([]byte, 32), got.Plaintext.Bytes())
}

func TestRotationKeepsOldVersions(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	blobs := [][]byte{encrypt(t, ring, "k", nil)}
	for range 4 {
		rotateKey(t, ring, "k")
		blobs = append(blobs, encrypt(t, ring, "k", nil))
	}
	for _, opener := range []*keyring.Ring{ring, openRing(t, store)} {
		for i, blob := range blobs {
			parsed, err := keyring.ParseBlob(blob)
			require.NoError(t, err)
			require.Equal(t, uint32(i+1), parsed.Version)
			require.NoError(t, decrypt(t, opener, blob, nil))
		}
	}
}

func TestDecryptRefuses(t *testing.T) {
	ring := openRing(t, newStore())
	createKey(t, ring, "k")
	createKey(t, ring, "other")
	rotateKey(t, ring, "other")
	ec := kms.EncryptionContext{"a": "1", "b": "2"}
	blob := encrypt(t, ring, "k", ec)
	require.NoError(t, decrypt(t, ring, blob, kms.EncryptionContext{"b": "2", "a": "1"}))

	contexts := []kms.EncryptionContext{nil, {"a": "1"}, {"a": "1", "b": "3"}, {"a": "2", "b": "1"}, {"a": "1", "b": "2", "c": ""}}
	for _, wrong := range contexts {
		require.Equal(t, kms.ErrDecrypt, decrypt(t, ring, blob, wrong))
	}
	rename := func(id string, version uint32) []byte {
		parsed, err := keyring.ParseBlob(blob)
		require.NoError(t, err)
		parsed.KeyID, parsed.Version = id, version
		return append(parsed.AppendHeader(nil), parsed.Payload...)
	}
	require.Equal(t, kms.ErrDecrypt, decrypt(t, ring, rename("other", 1), ec))
	require.Equal(t, kms.ErrDecrypt, decrypt(t, ring, rename("other", 2), ec))
	require.ErrorIs(t, decrypt(t, ring, rename("k", 2), ec), kms.ErrDecrypt)
	require.ErrorIs(t, decrypt(t, ring, rename("gone", 1), ec), kms.ErrKeyNotFound)

	_, err := ring.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob, Context: ec, KeyID: "other"})
	require.ErrorIs(t, err, kms.ErrDecrypt)
	require.ErrorContains(t, err, `ciphertext is of key "k", want "other"`)
}

func TestDecryptRefusesEveryFlippedByte(t *testing.T) {
	ring := openRing(t, newStore())
	createKey(t, ring, "k")
	blob := encrypt(t, ring, "k", nil)
	for i := range blob {
		for _, bit := range []byte{0x01, 0x80} {
			bad := bytes.Clone(blob)
			bad[i] ^= bit
			_, err := ring.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: bad, KeyID: "k"})
			require.ErrorIs(t, err, kms.ErrDecrypt, "byte %d", i)
		}
	}
	for n := 1; n < len(blob); n++ {
		require.ErrorIs(t, decrypt(t, ring, blob[:n], nil), kms.ErrDecrypt, "cut to %d", n)
	}
	require.ErrorIs(t, decrypt(t, ring, append(bytes.Clone(blob), 0), nil), kms.ErrDecrypt)
}

func TestForeignKindsAreRefused(t *testing.T) {
	ring := openRing(t, newStore())
	createKey(t, ring, "k")
	for _, kind := range []keyring.Kind{keyring.KindTransitDerived, keyring.KindTransitAssociated} {
		blob := keyring.Blob{Kind: kind, KeyID: "k", Version: 1}
		err := decrypt(t, ring, append(blob.AppendHeader(nil), make([]byte, 100)...), nil)
		require.ErrorIs(t, err, kms.ErrDecrypt)
		require.ErrorContains(t, err, "kind")
	}
}
