package main

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend/backendtest"
)

func testConfig(id string, fill byte) StaticKey {
	return StaticKey{ID: id, Material: kms.NewSecret(bytes.Repeat([]byte{fill}, 32))}
}

func openKey(t *testing.T, config StaticKey) kms.Backend {
	t.Helper()
	b, err := config.Open(t.Context())
	require.NoError(t, err)
	return b
}

func TestConformance(t *testing.T) {
	config := testConfig("static", 7)
	backendtest.Run(t, backendtest.Harness{
		KeyID: config.ID,
		Open:  func(t *testing.T) kms.Backend { return openKey(t, config) },
		Reopen: func(t *testing.T, b kms.Backend) kms.Backend {
			require.NoError(t, b.Close())
			return openKey(t, config)
		},
	})
}

func TestAnotherKeyOpensNothing(t *testing.T) {
	wrapped, err := openKey(t, testConfig("static", 7)).Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "static", Plaintext: []byte("x")})
	require.NoError(t, err)
	for name, other := range map[string]StaticKey{
		"other material":          testConfig("static", 8),
		"same material, other id": testConfig("elsewhere", 7),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := openKey(t, other).Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: wrapped.Ciphertext})
			require.ErrorIs(t, err, kms.ErrDecrypt)
		})
	}
}

func TestContextsThatLookAlikeAreDifferent(t *testing.T) {
	b := openKey(t, testConfig("static", 7))
	for _, pair := range [][2]kms.EncryptionContext{
		{{"ab": "c"}, nil},
		{{"ab": "c"}, {"a": "bc"}},
		{{"ab": "c"}, {"abc": ""}},
		{{"ab": "c"}, {"ab": "c", "": ""}},
		{{"ab": "c"}, {"c": "ab"}},
		{{"a": "b", "c": "d"}, {"a": "b\x00\x00\x00\x00c\x00\x00\x00\x00d"}},
	} {
		wrapped, err := b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "static", Plaintext: []byte("x"), Context: pair[0]})
		require.NoError(t, err)
		_, err = b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: wrapped.Ciphertext, Context: pair[1]})
		require.ErrorIs(t, err, kms.ErrDecrypt)
	}
}

func TestTheKeyIsListedAndDescribed(t *testing.T) {
	b := openKey(t, testConfig("static", 7))
	described, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "static"})
	require.NoError(t, err)
	require.Equal(t, kms.Key{ID: "static", State: kms.KeyEnabled, Usage: kms.EncryptDecrypt, Origin: kms.OriginExternal, Version: 1}, described.Key)
	_, err = b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "other"})
	require.ErrorIs(t, err, kms.ErrKeyNotFound)

	for req, want := range map[kms.ListKeysRequest]int{
		{}:                       1,
		{State: kms.KeyEnabled}:  1,
		{Marker: "a"}:            1,
		{Marker: "static"}:       0,
		{Marker: "t"}:            0,
		{State: kms.KeyDisabled}: 0,
	} {
		list, err := b.ListKeys(t.Context(), &req)
		require.NoError(t, err)
		require.Len(t, list.Keys, want)
	}
}

func TestTheKeyIsNotOursToChange(t *testing.T) {
	b := openKey(t, testConfig("static", 7))
	_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{})
	require.ErrorIs(t, err, kms.ErrUnsupported)
	_, err = b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "static"})
	require.ErrorIs(t, err, kms.ErrUnsupported)
	_, err = b.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionRequest{KeyID: "static"})
	require.ErrorIs(t, err, kms.ErrUnsupported)
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for name, config := range map[string]StaticKey{
		"no id":       testConfig("", 7),
		"a bad id":    testConfig("../x", 7),
		"no material": {ID: "static"},
		"short":       {ID: "static", Material: kms.NewSecret(make([]byte, 31))},
		"for AES-128": {ID: "static", Material: kms.NewSecret(make([]byte, 16))},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, config.Validate(), kms.ErrInvalidConfig)
			_, err := config.Open(t.Context())
			require.ErrorIs(t, err, kms.ErrInvalidConfig)
		})
	}
}

func TestProgram(t *testing.T) {
	var out strings.Builder
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))
	require.NoError(t, run(t.Context(), &out, "demo:"+key))
	require.Contains(t, out.String(), `key "demo" wrapped a data key of 32 bytes`)
	require.Contains(t, out.String(), "unwrapped again: 32 bytes")
	require.Contains(t, out.String(), "another context is refused: ")
}

func TestProgramWithoutAKey(t *testing.T) {
	short := base64.StdEncoding.EncodeToString(make([]byte, 16))
	for _, setting := range []string{"", "demo", "demo:", "demo:" + short, "demo:!!!", ":" + short} {
		var out strings.Builder
		err := run(t.Context(), &out, setting)
		require.ErrorIs(t, err, kms.ErrInvalidConfig)
		require.NotContains(t, err.Error(), short)
		require.Empty(t, out.String())
	}
}
