//go:build unix

package vault_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/vault"
)

func bundleKey() *kms.Secret { return kms.NewSecret(bytes.Repeat([]byte{0x42}, 32)) }

// copyKeys brings all keys of one backend to another, and returns the outcome for the key "k".
func copyKeys(t *testing.T, from, to kms.KeyBundler) kms.ImportOutcome {
	t.Helper()
	var bundle bytes.Buffer
	_, err := from.Export(t.Context(), &bundle, kms.ExportOptions{Key: bundleKey()})
	require.NoError(t, err)
	report, err := to.Import(t.Context(), &bundle, kms.ImportOptions{Key: bundleKey()})
	require.NoError(t, err)
	require.Len(t, report.Keys, 1)
	return report.Keys[0].Outcome
}

func TestKeysGoFromADirectoryToKV2AndBack(t *testing.T) {
	base := t.TempDir()
	config := local.Config{Dir: filepath.Join(base, "keys"), RootKey: bundleKey(), AllowUnlockedMemory: true}
	directory, err := local.New(t.Context(), config)
	require.NoError(t, err)
	defer directory.Close()
	kv := newFakeVault().open(t, vault.KV2)

	_, err = directory.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	wrap := func(b kms.KeyService) []byte {
		resp, err := b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "k", Plaintext: []byte("text")})
		require.NoError(t, err)
		return resp.Ciphertext
	}
	opens := func(b kms.KeyService, blob []byte) {
		resp, err := b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob})
		require.NoError(t, err)
		require.Equal(t, "text", string(resp.Plaintext.Bytes()))
	}
	first := wrap(directory)
	require.Equal(t, kms.ImportAdded, copyKeys(t, directory, kv))
	opens(kv, first)

	_, err = kv.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	second := wrap(kv)
	require.Equal(t, kms.ImportUpdated, copyKeys(t, kv, directory))
	opens(directory, second)
	require.Equal(t, kms.ImportUnchanged, copyKeys(t, directory, kv))

	// The generations of the two cannot be compared, so that nothing present is replaced.
	_, err = directory.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	require.Equal(t, kms.ImportKept, copyKeys(t, directory, kv))
	require.Equal(t, kms.ImportKept, copyKeys(t, kv, directory))
}

func TestTransitHasNoBundles(t *testing.T) {
	b := newFakeVault().open(t, vault.Transit)
	var bundle bytes.Buffer
	_, err := b.Export(t.Context(), &bundle, kms.ExportOptions{Key: bundleKey()})
	require.ErrorIs(t, err, kms.ErrUnsupported)
	require.Zero(t, bundle.Len())
	_, err = b.Import(t.Context(), strings.NewReader("x"), kms.ImportOptions{Key: bundleKey()})
	require.ErrorIs(t, err, kms.ErrUnsupported)
}
