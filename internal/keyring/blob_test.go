package keyring_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

func TestBlobFormIsExact(t *testing.T) {
	blob := keyring.Blob{Kind: keyring.KindTransitDerived, KeyID: "key", Version: 0x01020304}
	require.Equal(t, []byte("dst\x01\x02\x03key\x01\x02\x03\x04"), blob.AppendHeader([]byte("dst")))
	parsed, err := keyring.ParseBlob([]byte("\x01\x03\x03key\x01\x02\x03\x04vault:v1:text"))
	require.NoError(t, err)
	require.Equal(t, keyring.Blob{Kind: keyring.KindTransitAssociated, KeyID: "key", Version: 0x01020304, Payload: []byte("vault:v1:text")}, parsed)
}

func TestAMalformedBlobIsErrDecrypt(t *testing.T) {
	payload := strings.Repeat("p", 72)
	longID := strings.Repeat("k", 128)
	for _, good := range []string{
		"\x01\x01\x01k\x00\x00\x00\x01" + payload,
		"\x01\x01\x01k\xff\xff\xff\xff" + payload,
		"\x01\x01\x80" + longID + "\x00\x00\x00\x01" + payload,
		"\x01\x02\x01k\x00\x00\x00\x01p",
		"\x01\x03\x01k\x00\x00\x00\x01p",
		"\x01\x03\x01k\x00\x00\x00\x01" + strings.Repeat("p", keyring.MaxBlobSize-8),
	} {
		_, err := keyring.ParseBlob([]byte(good))
		require.NoError(t, err)
	}
	for detail, bad := range map[string]string{
		"has 0 bytes, want more than 7":              "",
		"has 6 bytes, want more than 7":              "\x01\x01\x01k\x00\x00",
		"ends within its header of 8 bytes":          "\x01\x01\x01k\x00\x00\x01",
		"ends within its header of 262 bytes":        "\x01\x01\xff" + strings.Repeat("k", 255) + "\x00\x00\x01",
		"has format 0, want 1":                       "\x00\x01\x01k\x00\x00\x00\x01" + payload,
		"has format 2, want 1":                       "\x02\x01\x01k\x00\x00\x00\x01" + payload,
		"is of kind 0, want 1 to 3":                  "\x01\x00\x01k\x00\x00\x00\x01" + payload,
		"is of kind 4, want 1 to 3":                  "\x01\x04\x01k\x00\x00\x00\x01" + payload,
		"names a malformed key id of 0 bytes":        "\x01\x01\x00\x00\x00\x00\x01" + payload,
		"names a malformed key id of 2 bytes":        "\x01\x01\x02.k\x00\x00\x00\x01" + payload,
		"names a malformed key id of 129 bytes":      "\x01\x01\x81k" + longID + "\x00\x00\x00\x01" + payload,
		"has key version 0, want 1 or more":          "\x01\x01\x01k\x00\x00\x00\x00" + payload,
		"has a payload of 71 bytes, want 72 or more": "\x01\x01\x01k\x00\x00\x00\x01" + payload[1:],
		"has a payload of 0 bytes, want 72 or more":  "\x01\x01\x01k\x00\x00\x00\x01",
		"has a payload of 0 bytes, want 1 or more":   "\x01\x02\x01k\x00\x00\x00\x01",
		"has 16385 bytes, want at most 16384":        "\x01\x02\x01k\x00\x00\x00\x01" + strings.Repeat("p", keyring.MaxBlobSize-7),
	} {
		blob, err := keyring.ParseBlob([]byte(bad))
		require.ErrorIs(t, err, kms.ErrDecrypt, detail)
		require.NotErrorIs(t, err, kms.ErrInvalidRequest, detail)
		require.ErrorContains(t, err, detail)
		require.Zero(t, blob)
	}
}

func TestEveryBlobIsParsedBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blob := keyring.Blob{
			Kind:    keyring.Kind(rapid.IntRange(1, 3).Draw(t, "kind")),
			KeyID:   rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,127}`).Draw(t, "id"),
			Version: rapid.Uint32Min(1).Draw(t, "version"),
			Payload: rapid.SliceOfN(rapid.Byte(), 72, 200).Draw(t, "payload"),
		}
		parsed, err := keyring.ParseBlob(append(blob.AppendHeader(nil), blob.Payload...))
		require.NoError(t, err)
		require.Equal(t, blob, parsed)
	})
}

func FuzzParseBlob(f *testing.F) {
	f.Add([]byte("\x01\x01\x01k\x00\x00\x00\x01" + strings.Repeat("p", 72)))
	f.Add([]byte("\x01\x02\x03key\x00\x00\x00\x07vault:v7:AAAA"))
	f.Add([]byte("\x01\x01\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		blob, err := keyring.ParseBlob(text)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrDecrypt)
			return
		}
		require.NoError(t, kms.ValidateKeyID(blob.KeyID))
		require.NotZero(t, blob.Version)
		require.True(t, bytes.Equal(text, append(blob.AppendHeader(nil), blob.Payload...)))
	})
}
