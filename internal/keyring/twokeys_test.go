package keyring_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/secret"
	"github.com/objectkms/kms/internal/twokeys"
)

// ringWith returns a keyring whose key "k" has this material.
func ringWith(t *testing.T, material []byte) *keyring.Ring {
	ring := openRing(t, newStore())
	_, err := ring.ImportKey(t.Context(), &kms.ImportKeyRequest{KeyID: "k", Material: kms.NewSecret(bytes.Clone(material))})
	require.NoError(t, err)
	return ring
}

// Two owners have imported master keys of their own under one id, and somebody knows both: no wrapped data key is two.
func TestAWrappedDataKeyOpensUnderOneMasterKeyOnly(t *testing.T) {
	materials := [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)}
	rings := []*keyring.Ring{ringWith(t, materials[0]), ringWith(t, materials[1])}
	blob := keyring.Blob{Kind: keyring.KindKeyring, KeyID: "k", Version: 1}
	header := blob.AppendHeader(nil)
	context := encctx.Bind(nil, "data-key", header, encctx.Append(nil, nil))
	first, second, err := twokeys.Messages(materials[0], context, materials[1], context, 2)
	require.NoError(t, err)
	messages := [][]byte{first, second}
	for i, ring := range rings {
		resp, err := ring.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: append(bytes.Clone(header), messages[i]...)})
		require.NoError(t, err)
		require.Equal(t, 32, resp.Plaintext.Len())
		_, err = ring.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: append(bytes.Clone(header), messages[1-i]...)})
		require.ErrorIs(t, err, kms.ErrDecrypt)
	}
}

// Somebody who knows two root keys seals a record under each, and in both the master key that is open to both roots.
func TestAMasterKeyOpensUnderOneRootKeyOnly(t *testing.T) {
	roots := []keyring.Root{testRoot(), testRoot()}
	roots[1].Key = bytes.Repeat([]byte{9}, 32)
	context := encctx.Bind(nil, "master-key", []byte("k"), encctx.Uint32(1))
	first, second, err := twokeys.Messages(roots[0].Key, context, roots[1].Key, context, 2)
	require.NoError(t, err)
	messages := [][]byte{first, second}
	for root := range roots {
		for message := range messages {
			ring, err := keyring.Open(recordOf(t, roots[root], messages[message]), roots[root], keyring.Options{Memory: secret.Plain})
			require.NoError(t, err)
			require.NoError(t, describeErr(t, ring, "k"), "the record is authentic")
			_, err = ring.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
			if root == message {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, kms.ErrKeyMaterial)
			}
		}
	}
}

// recordOf returns a store with the key "k", of one version that is this message, sealed under root.
func recordOf(t *testing.T, root keyring.Root, message []byte) *memStore {
	store := newStore()
	createKey(t, openRing(t, store), "k")
	before, rest, ok := strings.Cut(recordText(t, store.raw("k")), `"sealed":"`)
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, `"`)
	require.True(t, ok)
	text := before + `"sealed":"` + base64.StdEncoding.EncodeToString(message) + `"` + after
	seal, err := cobblestone.Seal(nil, root.Key, encctx.Bind(nil, "record", []byte(text)), nil)
	require.NoError(t, err)
	store.put("k", []byte(`{"record":`+text+`,"seal":"`+base64.StdEncoding.EncodeToString(seal)+"\"}\n"))
	return store
}
