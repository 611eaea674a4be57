// Package decryptor_test runs the second implementation of the formats on the golden files, and checks the worked
// example of FORMAT.md against them.
package decryptor_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const objects = "../../encryption/testdata/v1"

type manifest struct {
	Objects []goldenObject `json:"objects"`
}

type goldenObject struct {
	Name     string `json:"name"`
	Envelope string `json:"envelope"`
	Body     string `json:"body"`
	Sum      string `json:"plain_sha256"`
}

func readManifest(t *testing.T) (m manifest) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(objects, "manifest.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &m))
	return m
}

// needsNode returns what runs a script of this directory, or skips the test where there is no Node.js of version 18 or later.
func needsNode(t *testing.T) func(args ...string) (string, error) {
	t.Helper()
	version, err := exec.CommandContext(t.Context(), "node", "--version").Output()
	if err != nil {
		t.Skip("needs node")
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(version), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < 18 {
		t.Skipf("needs node 18 or later, have %s", bytes.TrimSpace(version))
	}
	return func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), "node", args...).CombinedOutput()
		return string(out), err
	}
}

func TestTheSecondImplementationOpensTheGoldenObjects(t *testing.T) {
	out, err := needsNode(t)("golden.mjs", objects)
	require.NoError(t, err, out)
	for _, object := range readManifest(t).Objects {
		require.Contains(t, out, "ok "+object.Name+"\n")
	}
	for _, attribute := range []string{"sse-s3-1 größe", "sse-kms-bucket-key-1 x-amz-checksum-crc32c", "sse-c-parts größe"} {
		require.Contains(t, out, "ok "+attribute+"\n")
	}
}

func TestTheSecondImplementationNoticesAChange(t *testing.T) {
	node := needsNode(t)
	var object goldenObject
	for _, object = range readManifest(t).Objects {
		if object.Name == "sse-kms-parts" {
			break
		}
	}
	for name, change := range map[string]func(t *testing.T, dir string, object goldenObject){
		"body":      changeBody,
		"SHA-256":   changeSum,
		"attribute": changeAttribute,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(objects)))
			change(t, dir, object)
			out, err := node("golden.mjs", dir, object.Name)
			require.Error(t, err)
			require.NotContains(t, out, "ok "+object.Name+"\n")
		})
	}
}

// changeBody flips a bit in the middle of the stored body.
func changeBody(t *testing.T, dir string, object goldenObject) {
	t.Helper()
	path := filepath.Join(dir, object.Body)
	body, err := os.ReadFile(path)
	require.NoError(t, err)
	body[len(body)/2] ^= 1
	require.NoError(t, os.WriteFile(path, body, 0o600))
}

// changeSum expects another plaintext.
func changeSum(t *testing.T, dir string, object goldenObject) {
	t.Helper()
	path := filepath.Join(dir, "manifest.json")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), object.Sum)
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(text, []byte(object.Sum), []byte(strings.Repeat("0", 64))), 0o600))
}

// changeAttribute puts the attributes of one name in the place of those of another.
func changeAttribute(t *testing.T, dir string, _ goldenObject) {
	t.Helper()
	path := filepath.Join(dir, "attributes.json")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(text, []byte("größe"), []byte("Größe")), 0o600))
}

// The dumps in FORMAT.md have an offset, up to 16 bytes in hex, and what they are.
func TestTheWorkedExampleIsAGoldenObject(t *testing.T) {
	text, err := os.ReadFile("../FORMAT.md")
	require.NoError(t, err)
	_, example, found := strings.Cut(string(text), "\n## 6. ")
	require.True(t, found)
	var want goldenObject
	for _, object := range readManifest(t).Objects {
		if strings.Contains(example, "`"+object.Name+"`") {
			want = object
		}
	}
	envelope, err := base64.RawURLEncoding.DecodeString(want.Envelope)
	require.NoError(t, err)
	body, err := os.ReadFile(filepath.Join(objects, want.Body))
	require.NoError(t, err)

	dumps := readDumps(t, example)
	require.Len(t, dumps, 5, "envelope, canonical form, two contexts, body")
	require.Equal(t, envelope, dumps[0])
	require.Equal(t, body, dumps[4])
	context := []byte("objectkms/v1/data-key\x00")
	require.True(t, bytes.HasPrefix(dumps[2], context))
	require.True(t, bytes.HasSuffix(dumps[2], dumps[1]))
	require.True(t, bytes.HasSuffix(dumps[3], envelope[:30]))
}

// readDumps returns the bytes of all dumps in a text. A new one begins at offset 0.
func readDumps(t *testing.T, text string) (dumps [][]byte) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^ {4} *(\d+)  ((?:[0-9a-f]{2} ?){1,16})(?:  .*| .*)?$`)
	for _, match := range line.FindAllStringSubmatch(text, -1) {
		offset, err := strconv.Atoi(match[1])
		require.NoError(t, err)
		if offset == 0 {
			dumps = append(dumps, nil)
		}
		last := &dumps[len(dumps)-1]
		require.Len(t, *last, offset)
		row, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(match[2]), " ", ""))
		require.NoError(t, err)
		*last = append(*last, row...)
	}
	return dumps
}

const directories = "../../local/testdata/"

// goldenSecrets writes what the golden key directories were made with to files: the bytes 0 to 31, and a passphrase.
func goldenSecrets(t *testing.T) (raw, passphrase string) {
	t.Helper()
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	dir := t.TempDir()
	raw, passphrase = filepath.Join(dir, "raw"), filepath.Join(dir, "passphrase")
	require.NoError(t, os.WriteFile(raw, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600))
	require.NoError(t, os.WriteFile(passphrase, []byte("correct horse battery staple"), 0o600))
	return raw, passphrase
}

func TestTheSecondImplementationOpensTheGoldenKeys(t *testing.T) {
	raw, _ := goldenSecrets(t)
	out, err := needsNode(t)("golden-keys.mjs", directories+"v1", raw)
	require.NoError(t, err, out)
	for _, line := range []string{"ok plain 1\n", "ok rotated 1\n", "ok rotated 3\n", "ok imported 1\n", "ok tagged.key_1-x 1\n"} {
		require.Contains(t, out, line)
	}
}

func TestTheSecondImplementationOpensTheGoldenKeysOfAPassphrase(t *testing.T) {
	_, passphrase := goldenSecrets(t)
	out, err := needsNode(t)("golden-keys.mjs", directories+"v1-passphrase", passphrase)
	if strings.Contains(out, "no Argon2id") {
		t.Skip("needs node with Argon2id, 24.7 or later")
	}
	require.NoError(t, err, out)
	require.Contains(t, out, "ok ")
}

func TestTheSecondImplementationRefusesKeysThatWereChanged(t *testing.T) {
	node := needsNode(t)
	raw, passphrase := goldenSecrets(t)
	_, err := node("golden-keys.mjs", directories+"v1", passphrase)
	require.Error(t, err, "another secret")

	for name, change := range map[string]struct{ file, old, new string }{
		"state":   {"keys/disabled.json", `"Disabled"`, `"Enabled"`},
		"version": {"root.json", `"version":1`, `"version":2`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(directories+"v1")))
			path := filepath.Join(dir, change.file)
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Contains(t, string(text), change.old)
			require.NoError(t, os.WriteFile(path, bytes.Replace(text, []byte(change.old), []byte(change.new), 1), 0o600))
			out, err := node("golden-keys.mjs", dir, raw)
			require.Error(t, err)
			require.NotContains(t, out, "ok ")
		})
	}
}
