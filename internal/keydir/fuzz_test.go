//go:build unix

package keydir_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// A file is removed unasked where its name is one that only this package gives, and is a record where its name is an id: nothing else decides.
func FuzzFileNames(f *testing.F) {
	for _, name := range []string{"a.json", ".json", tempName, tempName + "A", setName + "-a.json", setName + "-", setName + "-a b", "größe.json", "a\nb.json", strings.Repeat("x", 255)} {
		f.Add(name)
	}
	const id = `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`
	ours := regexp.MustCompile(`\A\.objectkms-((new|old)-[A-Z2-7]{26}|set-[A-Z2-7]{26}-` + id + `(\.json)?)\z`)
	record := regexp.MustCompile(`\A` + id + `\.json\z`)
	dir := newDir(f)
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\x00") {
			return
		}
		path := filepath.Join(dir, "keys", name)
		if os.WriteFile(path, []byte("x"), 0o600) != nil {
			return // no name on this system
		}
		defer os.Remove(path)
		d := open(t, dir)
		require.NoError(t, d.Recover(t.Context()))
		_, err := os.Lstat(path)
		require.Equal(t, ours.MatchString(name), os.IsNotExist(err), "%q", name)
		ids, err := d.List(t.Context(), "", 10)
		require.NoError(t, err)
		if record.MatchString(name) {
			require.Equal(t, []string{strings.TrimSuffix(name, ".json")}, ids)
		} else {
			require.Empty(t, ids)
		}
		require.NoError(t, d.Close())
	})
}

// The file of a cut-off batch is a word, or it is refused and nothing is put anywhere.
func FuzzBatchFile(f *testing.F) {
	word := strings.Repeat("A", 26)
	for _, text := range []string{"", word, word + "\n", word + "\n\n", strings.Repeat("B", 26) + "\n", word[1:] + "1\n", "../" + word[3:] + "\n"} {
		f.Add([]byte(text))
	}
	good := regexp.MustCompile(`\A[A-Z2-7]{26}\n\z`)
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := batchDir(t)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "keys", ".objectkms-set-"+word+"-other.json"), []byte("placed"), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "batch"), text, 0o600))
		d := open(t, dir)
		err := d.Complete(t.Context())
		require.Equal(t, good.Match(text), err == nil)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
			return
		}
		require.NoFileExists(t, filepath.Join(dir, "batch"))
		want := "untouched"
		if string(text) == word+"\n" {
			want = "placed"
		}
		require.Equal(t, want, content(t, d, "other"))
	})
}
