package decryptor_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/local"
)

// What this library writes today, the second implementation reads, from the root key file to the plaintext.
func TestTheSecondImplementationDecryptsANewObject(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("key directories are not supported on Windows")
	}
	node := needsNode(t)
	dir := t.TempDir()
	plain := make([]byte, 40_000)
	rand.Read(plain)
	args := []string{"decrypt.mjs", filepath.Join(dir, "keys"), filepath.Join(dir, "root.key"), filepath.Join(dir, "envelope"), filepath.Join(dir, "body"), "bucket"}
	for _, request := range []encryption.Request{
		{Mode: encryption.SSES3},
		{Mode: encryption.SSEKMS, KeyID: "k", BucketKey: true},
		{Mode: encryption.SSEKMS, KeyID: "k", Context: kms.EncryptionContext{"ü": "<&>", "": "x"}},
	} {
		store(t, dir, &request, plain)
		out, err := node(append(args, "a/größe")...)
		require.NoError(t, err, out)
		require.True(t, out == string(plain))
	}
	_, err := node(append(args, "another")...)
	require.Error(t, err)
}

// store writes an object under the second version of a key with a description and tags.
func store(t *testing.T, dir string, request *encryption.Request, plain []byte) {
	t.Helper()
	keys, err := kms.Open(t.Context(), kms.Config{
		Backend: local.Config{Dir: filepath.Join(dir, "keys"), RootKeyFile: filepath.Join(dir, "root.key")},
		Options: kms.Options{DefaultKeyID: "k"},
	})
	require.NoError(t, err)
	defer keys.Close()
	_, err = keys.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k", Description: "größe </script> \u2028", Tags: map[string]string{"seal": `","seal":"`}})
	if err == nil {
		_, err = keys.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
		require.NoError(t, err)
	} else {
		require.ErrorIs(t, err, kms.ErrKeyExists, "an earlier object has made it")
	}
	service := encryption.NewService(keys, encryption.Options{})
	object, err := service.EncryptStream(t.Context(), encryption.ObjectID{Bucket: "bucket", Key: "a/größe"}, request, bytes.NewReader(plain))
	require.NoError(t, err)
	body, err := io.ReadAll(object)
	require.NoError(t, err)
	envelope, err := object.Envelope()
	require.NoError(t, err)
	text, err := envelope.MarshalText()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "body"), body, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "envelope"), text, 0o600))
}
