//go:build linux || darwin

package clients

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/objectkms/kms/e2e/clients/s3client"
	"github.com/objectkms/kms/e2e/clients/server"
)

// A secret is something that must not be on the disk, by what it is called.
type secret struct {
	name  string
	bytes []byte
}

// secretsOf returns a customer key in all forms in which somebody could keep it.
func secretsOf(key string) []secret {
	sum := md5.Sum([]byte(key))
	return []secret{
		{"the customer key", []byte(key)},
		{"the customer key in base64", []byte(base64.StdEncoding.EncodeToString([]byte(key)))},
		{"the customer key in hex", []byte(hex.EncodeToString([]byte(key)))},
		{"the MD5 of the customer key", sum[:]},
		{"the MD5 of the customer key in base64", []byte(s3client.KeyMD5(key))},
		{"the MD5 of the customer key in hex", []byte(hex.EncodeToString(sum[:]))},
	}
}

// search looks for secrets in the contents and the extended attributes of all files below a directory, and returns where they are.
func search(t *testing.T, dir string, secrets []secret) (found []string) {
	t.Helper()
	files := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		places, err := attributesOf(path)
		if err != nil {
			return err
		}
		if entry.Type().IsRegular() {
			files++
			if places["content"], err = os.ReadFile(path); err != nil {
				return err
			}
		}
		for place, content := range places {
			for _, s := range secrets {
				if bytes.Contains(content, s.bytes) {
					found = append(found, fmt.Sprintf("%s in the %s of %s", s.name, place, path))
				}
			}
		}
		return nil
	}))
	require.NotZero(t, files)
	return found
}

// attributesOf returns the extended attributes of a file.
func attributesOf(path string) (map[string][]byte, error) {
	places := make(map[string][]byte)
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, err
		}
		places["attribute "+name] = value[:n]
	}
	return places, nil
}

const marker = "the marker of a plaintext that must not be found "

// marked returns a body of a size that is full of markers.
func marked(size int) []byte { return bytes.Repeat([]byte(marker), size/len(marker)+1)[:size] }

// storeMarked stores marked bodies of several sizes in a mode, in all ways that there are. An upload is left open.
func storeMarked(t *testing.T, s *server.Server, bucket string, enc s3client.Encryption) {
	t.Helper()
	c := awsSDK(t, s)
	at := func(name string) s3client.Object {
		return s3client.Object{Bucket: bucket, Key: string(enc.Mode) + "-" + name}
	}
	for _, size := range []int{100, 64<<10 + 1, 1<<20 + 3} {
		require.NoError(t, c.Put(t.Context(), at(fmt.Sprint(size)), marked(size), enc))
	}
	require.NoError(t, c.PutParts(t.Context(), at("parts"), marked(6<<20), enc))
	require.NoError(t, c.Copy(t.Context(), at("parts"), enc, at("copy"), enc))
	upload, err := c.BeginUpload(t.Context(), at("upload"), enc)
	require.NoError(t, err)
	_, err = c.UploadPart(t.Context(), at("upload"), upload, 1, marked(5<<20), enc)
	require.NoError(t, err)
	got, header := post(t, s, at("form"), marked(70_000), formOf(enc))
	require.Less(t, got.Status, 300, "%+v", got)
	for name := range customer(hCustomer, enc.CustomerKey) {
		if enc.Mode == s3client.SSEC && name != hCustomer+"key" {
			require.NotEmpty(t, header.Get(name), "the answer to a form has the headers of the answer to a PUT")
		}
	}
	readsAs(t, c, kept{at("form"), enc, marked(70_000)})
	readsAs(t, c, kept{at("copy"), enc, marked(6 << 20)})
}

// formOf returns the fields of a form.
func formOf(enc s3client.Encryption) headers {
	switch enc.Mode {
	case s3client.SSES3:
		return headers{hSSE: "AES256"}
	case s3client.SSEKMS:
		return headers{hSSE: "aws:kms"}
	case s3client.SSEC:
		return customer(hCustomer, enc.CustomerKey)
	}
	return headers{}
}

// Of what clients store in any mode and in any way nothing is on the disk, and nothing of a customer's key.
func TestNoPlaintextOnDisk(t *testing.T) {
	s := startLocal(t)
	makeBucket(t, s, "marked")
	key := newCustomerKey()
	for _, enc := range []s3client.Encryption{{}, {Mode: s3client.SSES3}, {Mode: s3client.SSEKMS}, {Mode: s3client.SSEC, CustomerKey: key}} {
		storeMarked(t, s, "marked", enc)
	}
	secrets := append(secretsOf(key), secret{"the plaintext", []byte(marker)})
	require.Empty(t, search(t, s.Dir, secrets))
	s.Terminate(t)
	require.Empty(t, search(t, s.Dir, secrets), "after the end of the server")
	require.NotContains(t, s.Log(), key)
	require.NotContains(t, s.Log(), marker)
}

// The search above finds what is there: plaintext, where a server does not encrypt.
func TestPlaintextOnDiskIsFound(t *testing.T) {
	s := startLocal(t, "-encryption=off")
	makeBucket(t, s, "marked")
	storeMarked(t, s, "marked", s3client.Encryption{})
	found := strings.Join(search(t, s.Dir, []secret{{"the plaintext", []byte(marker)}}), "\n")
	for _, name := range []string{"-100", "-65537", "-1048579", "-parts", "-copy", "-form"} {
		require.Contains(t, found, "the plaintext in the content of "+s.ObjectFile("marked", name))
	}
	require.Contains(t, found, ".sgwtmp", "the upload that was left open")
}

// The search finds every form of a customer's key, in a file and in an attribute.
func TestCustomerKeysOnDiskAreFound(t *testing.T) {
	dir := t.TempDir()
	key := newCustomerKey()
	secrets := secretsOf(key)
	for i, s := range secrets {
		file := filepath.Join(dir, fmt.Sprint(i))
		require.NoError(t, os.WriteFile(file, append([]byte("before"), s.bytes...), 0o600))
		if err := unix.Setxattr(file, "user.test", s.bytes, 0); err != nil {
			t.Skipf("wants a directory with extended attributes: %v", err)
		}
	}
	require.Len(t, search(t, dir, secrets), 2*len(secrets))
	require.Empty(t, search(t, dir, secretsOf(newCustomerKey())))
}
