package reconfigure

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/internal/sample"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

func TestKeysGoFromADirectoryToVaultAndBack(t *testing.T) {
	directory := open(t, testenv.Local(t).Backend)
	_, err := directory.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k", Description: "of the photos"})
	require.NoError(t, err)
	first := dataKey(t, directory)

	inVault := open(t, testenv.NewMounts(t).Config(vault.KV2))
	require.ErrorIs(t, first.Open(t.Context(), inVault), kms.ErrKeyNotFound)
	move(t, directory, inVault)
	require.NoError(t, first.Open(t.Context(), inVault))
	_, err = inVault.(kms.KeyRotator).RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	second := dataKey(t, inVault)

	require.ErrorIs(t, second.Open(t.Context(), directory), kms.ErrDecrypt)
	another := open(t, testenv.Local(t).Backend)
	for _, back := range []kms.Backend{directory, another} {
		move(t, inVault, back)
		require.NoError(t, first.Open(t.Context(), back))
		require.NoError(t, second.Open(t.Context(), back))
	}
}

func TestTransitGivesNoKeyAway(t *testing.T) {
	b := open(t, testenv.Vault(t).Backend)
	_, err := b.(kms.KeyBundler).Export(t.Context(), new(bytes.Buffer), kms.ExportOptions{Key: bundleKey()})
	require.ErrorIs(t, err, kms.ErrUnsupported)
}

func open(t *testing.T, config kms.BackendConfig) kms.Backend {
	t.Helper()
	b, err := config.Open(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func dataKey(t *testing.T, b kms.Backend) sample.DataKey {
	t.Helper()
	made, err := sample.New(t.Context(), b, "k", kms.EncryptionContext{"bucket": "photos"})
	require.NoError(t, err)
	return made
}

// move carries all keys from one backend to another, in a bundle.
func move(t *testing.T, from, to kms.Backend) {
	t.Helper()
	key := bundleKey()
	var bundle bytes.Buffer
	_, err := from.(kms.KeyBundler).Export(t.Context(), &bundle, kms.ExportOptions{Key: key})
	require.NoError(t, err)
	_, err = to.(kms.KeyBundler).Import(t.Context(), &bundle, kms.ImportOptions{Key: key})
	require.NoError(t, err)
}

func bundleKey() *kms.Secret {
	key := make([]byte, 32)
	rand.Read(key)
	return kms.NewSecret(key)
}
