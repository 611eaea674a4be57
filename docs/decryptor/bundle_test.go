package decryptor_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const bundles = directories + "v1-bundle/"

// writeBundleKey writes the key of the golden bundle to a file: the bytes 32 to 63.
func writeBundleKey(t *testing.T) string {
	t.Helper()
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(32 + i)
	}
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600))
	return path
}

func TestTheSecondImplementationOpensTheGoldenBundle(t *testing.T) {
	out, err := needsNode(t)("golden-bundle.mjs", bundles+"key.bundle", writeBundleKey(t), directories+"v1/blobs.json")
	require.NoError(t, err, out)
	for _, line := range []string{"ok plain 1\n", "ok rotated 1\n", "ok rotated 3\n", "ok imported 1\n", "ok pending 1\n"} {
		require.Contains(t, out, line)
	}
}

func TestTheSecondImplementationOpensTheGoldenBundleOfAPassphrase(t *testing.T) {
	_, passphrase := goldenSecrets(t)
	out, err := needsNode(t)("golden-bundle.mjs", bundles+"passphrase.bundle", passphrase, directories+"v1/blobs.json")
	if strings.Contains(out, "no Argon2id") {
		t.Skip("needs node with Argon2id, 24.7 or later")
	}
	require.NoError(t, err, out)
	require.Contains(t, out, "ok rotated 3\n")
}

func TestTheSecondImplementationRefusesABundleThatWasChanged(t *testing.T) {
	node := needsNode(t)
	bundle, err := os.ReadFile(bundles + "key.bundle")
	require.NoError(t, err)
	for _, at := range []int{60, 110, 200, len(bundle) - 1} {
		changed := append([]byte(nil), bundle...)
		changed[at] ^= 1
		path := filepath.Join(t.TempDir(), "bundle")
		require.NoError(t, os.WriteFile(path, changed, 0o600))
		out, err := node("golden-bundle.mjs", path, writeBundleKey(t), directories+"v1/blobs.json")
		require.Error(t, err)
		require.NotContains(t, out, "ok ")
	}
}

// A directory in which a change of many files was cut off is read as if the change had been finished.
func TestTheSecondImplementationFinishesABatch(t *testing.T) {
	node := needsNode(t)
	raw, _ := goldenSecrets(t)
	dir, word := t.TempDir(), strings.Repeat("A", 26)
	require.NoError(t, os.CopyFS(dir, os.DirFS(directories+"v1")))
	for folder, name := range map[string]string{"keys": "rotated.json", ".": "root.json"} {
		path := filepath.Join(dir, folder, name)
		require.NoError(t, os.Rename(path, filepath.Join(dir, folder, ".objectkms-set-"+word+"-"+name)))
		require.NoError(t, os.WriteFile(path, []byte("{}"), 0o600))
	}
	out, err := node("golden-keys.mjs", dir, raw)
	require.Error(t, err, "without the file batch there is no change")
	require.NotContains(t, out, "ok ")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "batch"), []byte(word+"\n"), 0o600))
	out, err = node("golden-keys.mjs", dir, raw)
	require.NoError(t, err, out)
	require.Contains(t, out, "ok rotated 3\n")
}
