package local_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// Nobody who keeps no notes can tell an older copy from the newest one: docs/SECURITY.md says so. What a process has seen, it remembers.
func TestAnOlderFileIsAcceptedWhereNothingRuns(t *testing.T) {
	c, blobs := threeKeys(t)
	old, err := os.ReadFile(recordPath(c.Dir, "b"))
	require.NoError(t, err)
	b := open(t, c)
	_, err = b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "b"})
	require.NoError(t, err)
	later := wrap(t, b, "b")
	_, err = b.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "b"})
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(recordPath(c.Dir, "b"), old, 0o600))
	touch(t, c.Dir)
	_, err = b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "b"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial, "this process has seen a newer one")
	require.NoError(t, b.Close())

	b = open(t, c)
	requireDamaged(t, b, blobs)
	resp, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "b"})
	require.NoError(t, err)
	require.Equal(t, kms.KeyEnabled, resp.Key.State)
	require.Equal(t, uint32(1), resp.Key.Version)
	_, err = unwrap(t, b, "b", later)
	require.ErrorIs(t, err, kms.ErrDecrypt, "its version is lost")
}

func TestAnOlderDirectoryIsAcceptedWhereNothingRuns(t *testing.T) {
	c, blobs := threeKeys(t)
	backup := filepath.Join(t.TempDir(), "backup")
	require.NoError(t, os.CopyFS(backup, os.DirFS(c.Dir)))
	b := open(t, c)
	_, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "b", Immediate: true, ConfirmKeyID: "b"})
	require.NoError(t, err)

	putBack(t, backup, c.Dir)
	_, err = b.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.ErrorIs(t, err, kms.ErrKeyMaterial, "the counter has gone back")
	create := &kms.CreateKeyRequest{KeyID: "new"}
	_, err = b.CreateKey(t.Context(), create)
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	require.NoError(t, b.Close())

	requireDamaged(t, open(t, c), blobs)
}

// putBack overwrites the files of a directory, in place, with those of a backup.
func putBack(t *testing.T, backup, dir string) {
	for _, name := range []string{"lock", "root.json", "keys/a.json", "keys/b.json", "keys/c.json"} {
		text, err := os.ReadFile(filepath.Join(backup, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
}

// A file that claims to be huge is refused by its size, and not read to its end.
func TestHugeFilesTakeNoMemory(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "root.key")
	byFile := func(c local.Config) local.Config {
		return local.Config{Dir: c.Dir, RootKeyFile: keyFile, AllowUnlockedMemory: true}
	}
	for name, tt := range map[string]struct {
		path   func(dir string) string
		config func(c local.Config) local.Config
		opens  bool
	}{
		"key file":      {func(dir string) string { return recordPath(dir, "b") }, nil, true},
		"root.json":     {rootPath, nil, false},
		"lock":          {func(dir string) string { return filepath.Join(dir, "lock") }, nil, true},
		"batch":         {func(dir string) string { return filepath.Join(dir, "batch") }, nil, false},
		"root key file": {func(string) string { return keyFile }, byFile, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, blobs := threeKeys(t)
			f, err := os.OpenFile(tt.path(c.Dir), os.O_WRONLY|os.O_CREATE, 0o600)
			require.NoError(t, err)
			require.NoError(t, f.Truncate(1<<30))
			require.NoError(t, f.Close())
			if tt.config != nil {
				c = tt.config(c)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b, err := local.New(t.Context(), c)
			if tt.opens {
				require.NoError(t, err)
				list, listErr := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
				require.NoError(t, listErr)
				require.Len(t, list.Keys, len(blobs)-len(list.Damaged))
				require.NoError(t, b.Close())
			} else {
				require.ErrorIs(t, err, kms.ErrKeyMaterial)
			}
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
		})
	}
}

// Files that are no records are passed over, whatever they are called and however many there are.
func TestJunkBesideTheRecordsIsPassedOver(t *testing.T) {
	c, blobs := threeKeys(t)
	keys := filepath.Join(c.Dir, "keys")
	names := []string{
		"a\nb.json", "b.json\n", "\x01.json", "\x7f.json", "größe.json", "\u202ejson.a", "\xff\xfe.json", " b.json", "b .json", ".json", "..json", ".b.json",
		"-b.json", "_.json", "$(b).json", "b.JSON", "b.json~", "b.json.tmp", "b", "b\\c.json", "%62.json", "*.json", "b.json;", "b\t.json",
		strings.Repeat("x", 255), strings.Repeat("x", 129) + ".json", strings.Repeat("x", 250) + ".json", "lock", "root.json\t", "batch",
	}
	for _, name := range names {
		require.NoError(t, os.WriteFile(filepath.Join(keys, name), []byte(name), 0o600), "%q", name)
	}
	for i := range size(1000, 5000, 100_000) {
		require.NoError(t, os.WriteFile(filepath.Join(keys, fmt.Sprint("junk ", i, ".json")), nil, 0o644))
	}
	require.NoError(t, os.WriteFile(filepath.Join(c.Dir, "notes\n"), nil, 0o644))
	b := open(t, c)
	requireDamaged(t, b, blobs)
	create(t, b, "d")
	blobs["d"] = wrap(t, b, "d")
	requireDamaged(t, b, blobs)
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(keys, name))
		require.NoError(t, err)
		require.Equal(t, name, string(text))
	}
}

// A name that is an id is a record, and a damaged one where nobody has sealed it. The longest id has a file too.
func TestEveryNameThatIsAnIDIsListed(t *testing.T) {
	c, blobs := threeKeys(t)
	longest := strings.Repeat("x", 128)
	b := open(t, c)
	create(t, b, longest)
	blobs[longest] = wrap(t, b, longest)
	damaged := []string{"0", "A", "b.json", "z..z", "z_-."}
	for _, id := range damaged {
		require.NoError(t, os.WriteFile(recordPath(c.Dir, id), []byte("{}"), 0o600))
		blobs[id] = nil
	}
	for _, id := range damaged {
		_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
		require.ErrorIs(t, err, kms.ErrKeyExists, "nobody's file is overwritten")
		text, err := os.ReadFile(recordPath(c.Dir, id))
		require.NoError(t, err)
		require.Equal(t, "{}", string(text))
	}
	list, err := open(t, c).ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	require.Equal(t, damaged, list.Damaged)
	require.Len(t, list.Keys, 4)
}

// A record that is a second name of another one's file is not that other one, and changing it changes one of the names only.
func TestAHardLinkIsNoSecondKey(t *testing.T) {
	c, blobs := threeKeys(t)
	before, err := os.ReadFile(recordPath(c.Dir, "a"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(recordPath(c.Dir, "b")))
	require.NoError(t, os.Link(recordPath(c.Dir, "a"), recordPath(c.Dir, "b")))
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.Link(recordPath(c.Dir, "a"), outside))
	b := open(t, c)
	requireDamaged(t, b, blobs, "b")
	_, err = b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "a"})
	require.NoError(t, err)
	for _, path := range []string{outside, recordPath(c.Dir, "b")} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(before, text), "what is linked is replaced, and not written to")
	}
}
