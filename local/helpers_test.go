//go:build unix

package local_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// rootKey returns a root key that is the same in every test.
func rootKey() *kms.Secret { return kms.NewSecret(bytes.Repeat([]byte{7}, 32)) }

// config returns the configuration of a directory that need not exist.
func config(dir string) local.Config {
	return local.Config{Dir: dir, RootKey: rootKey(), AllowUnlockedMemory: true}
}

func newDir(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "kms")
}

// open opens a backend, and closes it when the test ends.
func open(t testing.TB, c local.Config) *local.Backend {
	t.Helper()
	b, err := local.New(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// mustFail opens a backend, which must fail with want and leave the directory as it is, to the last byte.
func mustFail(t testing.TB, c local.Config, want error) {
	t.Helper()
	before := fingerprint(t, c.Dir)
	b, err := c.Open(t.Context())
	require.ErrorIs(t, err, want)
	require.Nil(t, b)
	require.Equal(t, before, fingerprint(t, c.Dir))
}

// fingerprint describes every file of a directory: its name, mode, time and content.
func fingerprint(t testing.TB, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := e.Info()
		require.NoError(t, err)
		var sum [sha256.Size]byte
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			sum = sha256.Sum256(content)
		}
		files = append(files, fmt.Sprintf("%s %v %v %x", path, info.Mode(), info.ModTime().UnixNano(), sum))
		return nil
	})
	require.NoError(t, err)
	return files
}

func create(t testing.TB, b kms.Backend, id string) {
	t.Helper()
	_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
	require.NoError(t, err)
}

// wrap returns a wrapped text, which unwrap opens.
func wrap(t testing.TB, b kms.Backend, id string) []byte {
	t.Helper()
	resp, err := b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: id, Plaintext: []byte("text of " + id), Context: ec(id)})
	require.NoError(t, err)
	return resp.Ciphertext
}

func ec(id string) kms.EncryptionContext { return kms.EncryptionContext{"key": id} }

// unwrap returns the error of opening what wrap made, and the version that it was wrapped under.
func unwrap(t testing.TB, b kms.Backend, id string, blob []byte) (version uint32, err error) {
	t.Helper()
	resp, err := b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob, Context: ec(id)})
	if err != nil {
		return 0, err
	}
	defer resp.Plaintext.Destroy()
	require.Equal(t, "text of "+id, string(resp.Plaintext.Bytes()))
	return resp.KeyVersion, nil
}

func recordPath(dir, id string) string { return filepath.Join(dir, "keys", id+".json") }
func rootPath(dir string) string       { return filepath.Join(dir, "root.json") }
