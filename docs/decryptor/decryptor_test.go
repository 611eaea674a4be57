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

// node runs a script of this directory, or skips the test where there is no Node.js of version 18 or later.
func node(t *testing.T, args ...string) (string, error) {
	t.Helper()
	version, err := exec.CommandContext(t.Context(), "node", "--version").Output()
	if err != nil {
		t.Skip("needs node")
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(version), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < 18 {
		t.Skipf("needs node 18 or later, have %s", bytes.TrimSpace(version))
	}
	out, err := exec.CommandContext(t.Context(), "node", args...).CombinedOutput()
	return string(out), err
}

func TestTheSecondImplementationOpensTheGoldenObjects(t *testing.T) {
	out, err := node(t, "golden.mjs", objects)
	require.NoError(t, err, out)
	for _, object := range readManifest(t).Objects {
		require.Contains(t, out, "ok "+object.Name+"\n")
	}
}

func TestTheSecondImplementationNoticesAChange(t *testing.T) {
	for _, object := range readManifest(t).Objects[:3] {
		for name, change := range map[string]func(t *testing.T, dir string, object goldenObject){
			"body":    changeBody,
			"SHA-256": changeSum,
		} {
			t.Run(object.Name+" "+name, func(t *testing.T) {
				dir := t.TempDir()
				require.NoError(t, os.CopyFS(dir, os.DirFS(objects)))
				change(t, dir, object)
				out, err := node(t, "golden.mjs", dir, object.Name)
				require.Error(t, err)
				require.NotContains(t, out, "ok ")
			})
		}
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
