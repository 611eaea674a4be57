//go:build unix

package keydir_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

// In the calls below "writeat lock" is followed by the counter's lowest bit and, in the second
// digit, whether temporary files may lie about.

func TestCreateIsSyncedBeforeItIsSeenAndBeforeItIsAnswered(t *testing.T) {
	tp := &tape{}
	d := openTaped(t, newDir(t), tp, keydir.Options{})
	tp.reset(nil)
	store(t, d, "a", "one")
	require.Equal(t, []string{
		"writeat lock 10",
		"create keys/.new", "chmod keys/.new", "write keys/.new", "sync keys/.new",
		"writeat lock 11",
		"link keys/.new keys/a.json",
		"sync keys/.",
		"remove keys/.new",
		"writeat lock 0",
	}, tp.changes())
}

func TestUpdateIsSyncedBeforeItIsSeenAndBeforeItIsAnswered(t *testing.T) {
	tp := &tape{}
	d := openTaped(t, newDir(t), tp, keydir.Options{})
	store(t, d, "a", "one")
	tp.reset(nil)
	store(t, d, "a", "two")
	require.Equal(t, []string{
		"writeat lock 10",
		"create keys/.new", "chmod keys/.new", "write keys/.new", "sync keys/.new",
		"link keys/a.json keys/.old",
		"writeat lock 11",
		"rename keys/.new keys/a.json",
		"sync keys/.",
		"remove keys/.old",
		"writeat lock 0",
	}, tp.changes())
}

func TestDeletionIsSyncedBeforeItIsAnswered(t *testing.T) {
	tp := &tape{}
	d := openTaped(t, newDir(t), tp, keydir.Options{})
	store(t, d, "a", "one")
	tp.reset(nil)
	require.NoError(t, d.Mutate(t.Context(), "a", set(nil)))
	require.Equal(t, []string{
		"writeat lock 10",
		"writeat lock 11",
		"rename keys/a.json keys/.old",
		"sync keys/.",
		"remove keys/.old",
		"writeat lock 0",
	}, tp.changes())
}

func TestFileBesideTheRecordsIsSyncedToo(t *testing.T) {
	tp := &tape{}
	d := openTaped(t, newDir(t), tp, keydir.Options{})
	tp.reset(nil)
	require.NoError(t, d.CreateFile(t.Context(), "root.json", []byte("root")))
	require.Equal(t, []string{
		"writeat lock 10",
		"create .new", "chmod .new", "write .new", "sync .new",
		"writeat lock 11",
		"link .new root.json",
		"sync .",
		"remove .new",
		"writeat lock 0",
	}, tp.changes())
}

func TestNewDirectoryIsSynced(t *testing.T) {
	tp := &tape{}
	openTaped(t, t.TempDir(), tp, keydir.Options{})
	require.Equal(t, []string{"mkdir keys", "chmod keys", "sync ."}, tp.changes())
}

func TestChangesHappenUnderTheLock(t *testing.T) {
	tp := &tape{}
	d := openTaped(t, newDir(t), tp, keydir.Options{})
	tp.reset(nil)
	store(t, d, "a", "one")
	locked := false
	for _, call := range tp.calls {
		switch call {
		case "lock lock":
			locked = true
		case "unlock lock":
			locked = false
		case "lstat keys/a.json", "link keys/.new keys/a.json", "sync keys/.", "writeat lock 0":
			require.True(t, locked, call)
		}
	}
	require.Equal(t, []string{"unlock lock", "close lock"}, tp.calls[len(tp.calls)-2:])
}

func TestStampCostsOneRead(t *testing.T) {
	tp := &tape{}
	d := openTaped(t, newDir(t), tp, keydir.Options{})
	store(t, d, "a", "one")
	tp.reset(nil)
	for range 10 {
		_, stable, err := d.Stamp(t.Context())
		require.NoError(t, err)
		require.True(t, stable)
	}
	require.Len(t, tp.calls, 10)
	require.Equal(t, "readat lock", tp.calls[0])
}

// A change that is visible but not committed must not be acted on: it may be taken back.
func TestUncommittedChangeIsNotRead(t *testing.T) {
	dir, tp := newDir(t), &tape{}
	d, other := openTaped(t, dir, tp, keydir.Options{}), open(t, dir)
	store(t, d, "a", "one")
	_, err := other.List(t.Context(), "", 10)
	require.NoError(t, err)
	looked := 0
	tp.reset(func(_ int, call string) error {
		if call != "sync keys/." || looked > 0 {
			return nil
		}
		looked++
		_, stable, err := other.Stamp(t.Context())
		require.NoError(t, err)
		require.False(t, stable)
		for _, d := range []*keydir.Dir{d, other} {
			require.ErrorIs(t, getBriefly(t, d, "a"), kms.ErrUnavailable)
			require.ErrorIs(t, getBriefly(t, d, "b"), kms.ErrUnavailable)
		}
		return kms.ErrUnavailable
	})
	require.ErrorIs(t, d.Mutate(t.Context(), "a", set([]byte("two"))), kms.ErrUnavailable)
	require.Equal(t, 1, looked)
	require.Equal(t, "one", content(t, other, "a"))
	require.Equal(t, "one", content(t, d, "a"))
}
