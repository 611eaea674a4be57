//go:build unix

package keydir_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

// batchDir returns a directory with two records and root.json, which runBatch changes, and one that it does not touch.
func batchDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "kms")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "keys"), 0o700))
	for path, text := range map[string]string{
		recordPath(dir, "a"): "old", recordPath(dir, "b"): "old", recordPath(dir, "other"): "untouched", filepath.Join(dir, "root.json"): "old",
		lockPath(dir): string(lockBytes(1000)),
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return dir
}

// runBatch replaces two records and root.json, and makes one record.
func runBatch(t testing.TB, d *keydir.Dir) error {
	t.Helper()
	return d.Batch(t.Context(), func(b *keydir.Batch) error {
		for _, id := range []string{"a", "b", "c"} {
			if err := b.Put(id, []byte("new")); err != nil {
				return err
			}
		}
		return b.PutFile("root.json", []byte("new"))
	})
}

// batchState returns "old" or "new" for a directory in which everything is so, and describes any other.
func batchState(t testing.TB, d *keydir.Dir) string {
	t.Helper()
	root, err := d.ReadFile(t.Context(), "root.json")
	require.NoError(t, err)
	require.Equal(t, "untouched", content(t, d, "other"))
	state := fmt.Sprint(content(t, d, "a"), " ", content(t, d, "b"), " ", content(t, d, "c"), " ", string(root))
	switch state {
	case "old old  old":
		return "old"
	case "new new new new":
		return "new"
	}
	return state
}

func TestBatchStoresAllAtOnce(t *testing.T) {
	dir := batchDir(t)
	d, other := open(t, dir), open(t, dir)
	require.Equal(t, "old", batchState(t, other))
	before, _, err := other.Stamp(t.Context())
	require.NoError(t, err)
	require.NoError(t, runBatch(t, d))
	after, stable, err := other.Stamp(t.Context())
	require.NoError(t, err)
	require.True(t, stable)
	require.Greater(t, after, before)
	for _, d := range []*keydir.Dir{d, other, open(t, dir)} {
		require.Equal(t, "new", batchState(t, d))
		ids, err := d.List(t.Context(), "", 10)
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b", "c", "other"}, ids)
	}
	require.Empty(t, strays(t, dir))
	require.NoFileExists(t, filepath.Join(dir, "batch"))
}

func TestBatchSeesTheRecordsBeforeIt(t *testing.T) {
	d := open(t, batchDir(t))
	last := generation(t, d)
	require.NoError(t, d.Batch(t.Context(), func(b *keydir.Batch) error {
		require.Greater(t, b.Generation(), last)
		require.NoError(t, b.Put("a", []byte("new")))
		got, err := b.Get("a")
		require.NoError(t, err)
		require.Equal(t, "old", string(got))
		got, err = b.Get("c")
		require.NoError(t, err)
		require.Nil(t, got)
		ids, err := b.IDs()
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b", "other"}, ids)
		last = b.Generation()
		return nil
	}))
	require.Greater(t, generation(t, d), last)
}

func TestBatchThatIsRefusedChangesNothing(t *testing.T) {
	dir := batchDir(t)
	d := open(t, dir)
	refused := errors.New("refused")
	for name, change := range map[string]func(b *keydir.Batch) error{
		"nothing put": func(b *keydir.Batch) error { return refused },
		"some put": func(b *keydir.Batch) error {
			return errors.Join(b.Put("a", []byte("new")), b.PutFile("root.json", []byte("new")), refused)
		},
		"twice":     func(b *keydir.Batch) error { return errors.Join(b.Put("a", nil), b.Put("a", nil)) },
		"an id":     func(b *keydir.Batch) error { return errors.Join(b.Put("a", nil), b.Put("../a", nil)) },
		"a name":    func(b *keydir.Batch) error { return b.PutFile("lock", nil) },
		"its name":  func(b *keydir.Batch) error { return b.PutFile("batch", nil) },
		"too large": func(b *keydir.Batch) error { return b.Put("a", make([]byte, 1<<20+1)) },
		"a read": func(b *keydir.Batch) error {
			_, err := b.Get("../a")
			return err
		},
	} {
		err := d.Batch(t.Context(), change)
		require.Error(t, err, name)
		if strings.HasSuffix(name, "put") {
			require.ErrorIs(t, err, refused)
		}
		require.Equal(t, "old", batchState(t, d), name)
		require.Empty(t, strays(t, dir), name)
	}
	require.NoError(t, runBatch(t, d))
	require.Equal(t, "new", batchState(t, d))
}

// The name of a staged file is longer than an id may be.
func TestBatchLeavesNothingOfTheLongestIDs(t *testing.T) {
	dir := batchDir(t)
	d := open(t, dir)
	refused, longest := errors.New("refused"), strings.Repeat("k", 128)
	require.ErrorIs(t, d.Batch(t.Context(), func(b *keydir.Batch) error {
		return errors.Join(b.Put(longest, []byte("new")), refused)
	}), refused)
	require.Empty(t, strays(t, dir))
	word := strings.Repeat("A", 26)
	killed := filepath.Join(dir, "keys", ".objectkms-set-"+word+"-"+longest+".json")
	require.NoError(t, os.WriteFile(killed, []byte("new"), 0o600))
	require.NoError(t, d.Recover(t.Context()))
	require.Empty(t, strays(t, dir))
	foreign := filepath.Join(dir, "keys", ".objectkms-set-"+word+"-"+longest+"k.json")
	require.NoError(t, os.WriteFile(foreign, []byte("new"), 0o600))
	require.NoError(t, d.Recover(t.Context()))
	require.FileExists(t, foreign, "no batch has made it")
}

// No file can be renamed to the name of a directory: once the batch had happened, nobody could finish it.
func TestBatchInThePlaceOfADirectoryIsRefused(t *testing.T) {
	dir := batchDir(t)
	d := open(t, dir)
	require.NoError(t, os.Mkdir(recordPath(dir, "c"), 0o700))
	require.ErrorIs(t, runBatch(t, d), kms.ErrKeyMaterial)
	require.Equal(t, "old", content(t, d, "a"))
	require.Empty(t, strays(t, dir))
	require.NoFileExists(t, filepath.Join(dir, "batch"))
	require.NoError(t, os.Remove(recordPath(dir, "c")))
	require.NoError(t, runBatch(t, d))
	require.Equal(t, "new", batchState(t, d))
}

func TestEmptyBatchWritesNothing(t *testing.T) {
	tp := &tape{}
	d := openTaped(t, batchDir(t), tp, keydir.Options{})
	tp.reset(nil)
	require.NoError(t, d.Batch(t.Context(), func(*keydir.Batch) error { return nil }))
	require.Empty(t, tp.changes())
}

// Each file is durable before its name in the batch is, those names before the batch file is, that before a record is replaced, and
// the records before the batch file goes.
func TestBatchIsSyncedInOrder(t *testing.T) {
	tp := &tape{}
	d := openTaped(t, batchDir(t), tp, keydir.Options{})
	tp.reset(nil)
	require.NoError(t, d.Batch(t.Context(), func(b *keydir.Batch) error {
		return errors.Join(b.Put("a", []byte("new")), b.PutFile("root.json", []byte("new")))
	}))
	require.Equal(t, []string{
		"writeat lock 10",
		"create keys/.set-a.json", "chmod keys/.set-a.json", "write keys/.set-a.json", "sync keys/.set-a.json",
		"create .set-root.json", "chmod .set-root.json", "write .set-root.json", "sync .set-root.json",
		"sync keys/.", "sync .",
		"create .new", "chmod .new", "write .new", "sync .new",
		"writeat lock 11",
		"link .new batch", "sync .",
		"sync .", // the one that finishes it need not be the one that began
		"rename keys/.set-a.json keys/a.json", "sync keys/.",
		"rename .set-root.json root.json", "sync .",
		"remove batch", "sync .",
		"remove .new",
		"writeat lock 0",
	}, tp.changes())
}
