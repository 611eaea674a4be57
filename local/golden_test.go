//go:build unix

package local_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// The golden directories are frozen. They were made at the time at which the clock of a synctest bubble
// starts, so that in a bubble the deletion date of the pending key is always a month ahead.

// goldenRootKey is the root key of testdata/v1: the bytes 0 to 31.
func goldenRootKey() *kms.Secret {
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = byte(i)
	}
	return kms.NewSecret(raw)
}

// A goldenBlob is a wrapped text, and what it was made of.
type goldenBlob struct {
	KeyID      string                `json:"key_id"`
	Version    uint32                `json:"version"`
	Context    kms.EncryptionContext `json:"context"`
	Plaintext  string                `json:"plaintext"`
	Ciphertext []byte                `json:"ciphertext"`
}

func readBlobs(t testing.TB, golden string) (blobs []goldenBlob) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", golden, "blobs.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &blobs))
	return blobs
}

// copyGolden copies a golden directory with the modes that a checkout does not keep.
func copyGolden(t testing.TB, golden string) string {
	t.Helper()
	source, dir := filepath.Join("testdata", golden), newDir(t)
	err := filepath.WalkDir(source, func(path string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		rel, err := filepath.Rel(source, path)
		require.NoError(t, err)
		if e.IsDir() {
			return os.Mkdir(filepath.Join(dir, rel), 0o700)
		}
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return os.WriteFile(filepath.Join(dir, rel), content, 0o600)
	})
	require.NoError(t, err)
	return dir
}

func checkBlobs(t *testing.T, b kms.Backend, blobs []goldenBlob) {
	t.Helper()
	require.NotEmpty(t, blobs)
	for _, blob := range blobs {
		resp, err := b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob.Ciphertext, Context: blob.Context})
		require.NoError(t, err, blob.KeyID)
		require.Equal(t, blob.Plaintext, hex.EncodeToString(resp.Plaintext.Bytes()))
		require.Equal(t, blob.KeyID, resp.KeyID)
		require.Equal(t, blob.Version, resp.KeyVersion)
		_, err = b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob.Ciphertext, Context: kms.EncryptionContext{"other": ""}})
		require.ErrorIs(t, err, kms.ErrDecrypt)
	}
}

func TestGoldenDirectoryOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, local.Config{Dir: copyGolden(t, "v1"), RootKey: goldenRootKey(), AllowUnlockedMemory: true})
		defer b.Close()
		blobs := readBlobs(t, "v1")
		checkBlobs(t, b, blobs)
		list, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
		require.NoError(t, err)
		require.Empty(t, list.Damaged)
		made := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		rotated := made.Add(48 * time.Hour)
		require.Equal(t, []kms.Key{
			{ID: "disabled", State: kms.KeyDisabled, Usage: kms.EncryptDecrypt, Origin: kms.OriginKMS, Version: 1, CreatedAt: made},
			{ID: "imported", State: kms.KeyEnabled, Usage: kms.EncryptDecrypt, Origin: kms.OriginExternal, Version: 1, CreatedAt: made},
			{ID: "pending", State: kms.KeyPendingDeletion, Usage: kms.EncryptDecrypt, Origin: kms.OriginKMS, Version: 1, CreatedAt: made, DeletionDate: rotated.AddDate(0, 0, 30)},
			{ID: "plain", State: kms.KeyEnabled, Usage: kms.EncryptDecrypt, Origin: kms.OriginKMS, Version: 1, CreatedAt: made},
			{ID: "rotated", State: kms.KeyEnabled, Usage: kms.EncryptDecrypt, Origin: kms.OriginKMS, Version: 3, CreatedAt: made, RotatedAt: rotated},
			{ID: "tagged.key_1-x", Description: "Schlüssel <&> \"für\" Bilder\n\u2028", State: kms.KeyEnabled, Usage: kms.EncryptDecrypt, Origin: kms.OriginKMS, Version: 1,
				Tags: map[string]string{"team": "images", "<b>": "ü"}, CreatedAt: made},
		}, list.Keys)

		time.Sleep(40 * 24 * time.Hour)
		removed, err := b.RemoveExpiredKeys(t.Context(), time.Now())
		require.NoError(t, err)
		require.Equal(t, []string{"pending"}, removed)
	})
}

func TestGoldenPassphraseDirectoryOpens(t *testing.T) {
	b := open(t, local.Config{Dir: copyGolden(t, "v1-passphrase"), Passphrase: passphrase("correct horse battery staple"), AllowUnlockedMemory: true})
	checkBlobs(t, b, readBlobs(t, "v1-passphrase"))
}

// An imported key has the material that was given, and nothing else makes its blobs.
func TestGoldenImportedKeyIsTheOwnersMaterial(t *testing.T) {
	b := open(t, config(newDir(t)))
	_, err := b.ImportKey(t.Context(), &kms.ImportKeyRequest{KeyID: "imported", Material: kms.NewSecret(bytes.Repeat([]byte{0x42}, 32))})
	require.NoError(t, err)
	for _, blob := range readBlobs(t, "v1") {
		if blob.KeyID == "imported" {
			checkBlobs(t, b, []goldenBlob{blob})
		}
	}
}
