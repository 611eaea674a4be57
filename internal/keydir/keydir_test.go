//go:build unix

package keydir_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

func TestRecordIsCreatedReadReplacedAndDeleted(t *testing.T) {
	dir := newDir(t)
	d := open(t, dir)
	require.Empty(t, content(t, d, "a"))
	for _, data := range []string{"one", "a longer record", "3"} {
		store(t, d, "a", data)
		require.Equal(t, data, content(t, d, "a"))
		require.Equal(t, data, content(t, open(t, dir), "a"))
		raw, err := os.ReadFile(recordPath(dir, "a"))
		require.NoError(t, err)
		require.Equal(t, data, string(raw))
	}
	require.NoError(t, d.Mutate(t.Context(), "a", set(nil)))
	require.Empty(t, content(t, d, "a"))
	require.NoFileExists(t, recordPath(dir, "a"))
	require.NoError(t, d.Mutate(t.Context(), "a", set(nil)), "deleting nothing")
	require.Empty(t, strays(t, dir))
}

func TestChangeSeesTheRecordAndItsErrorChangesNothing(t *testing.T) {
	d := open(t, newDir(t))
	store(t, d, "a", "first")
	before, _, err := d.Stamp(t.Context())
	require.NoError(t, err)
	own := errors.New("no")
	err = d.Mutate(t.Context(), "a", func(old []byte, _ uint64) ([]byte, error) {
		require.Equal(t, "first", string(old))
		return []byte("second"), own
	})
	require.Equal(t, own, err)
	require.Equal(t, "first", content(t, d, "a"))
	after, stable, err := d.Stamp(t.Context())
	require.NoError(t, err)
	require.True(t, stable)
	require.Equal(t, before, after)
	err = d.Mutate(t.Context(), "b", func(old []byte, _ uint64) ([]byte, error) {
		require.Nil(t, old)
		return []byte{}, nil
	})
	require.NoError(t, err)
	err = d.Mutate(t.Context(), "b", func(old []byte, _ uint64) ([]byte, error) {
		require.NotNil(t, old, "an empty record is one")
		return nil, nil
	})
	require.NoError(t, err)
}

func TestMalformedIDsAreRefused(t *testing.T) {
	d := open(t, newDir(t))
	for _, id := range []string{"", ".", "..", ".new-A", "a/b", "../root", "a\x00", "é"} {
		_, err := d.Get(t.Context(), id)
		require.ErrorIs(t, err, kms.ErrInvalidRequest, id)
		require.ErrorIs(t, d.Mutate(t.Context(), id, set([]byte("x"))), kms.ErrInvalidRequest, id)
	}
	for _, name := range []string{"", "keys", "lock", ".new-A", "keys/a.json", "../x"} {
		_, err := d.ReadFile(t.Context(), name)
		require.ErrorIs(t, err, kms.ErrInvalidRequest, name)
		require.ErrorIs(t, d.CreateFile(t.Context(), name, nil), kms.ErrInvalidRequest, name)
	}
}

func TestRecordsHaveABound(t *testing.T) {
	dir := newDir(t)
	d := open(t, dir)
	large := make([]byte, 1<<20)
	require.NoError(t, d.Mutate(t.Context(), "a", set(large)))
	require.Len(t, content(t, d, "a"), len(large))
	require.ErrorIs(t, d.Mutate(t.Context(), "a", set(append(large, 0))), kms.ErrInvalidRequest)
	require.Len(t, content(t, d, "a"), len(large))
	require.Empty(t, strays(t, dir))
}

func TestFileBesideTheRecordsIsCreatedOnce(t *testing.T) {
	dir := newDir(t)
	d := open(t, dir)
	_, err := d.ReadFile(t.Context(), "root.json")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, d.CreateFile(t.Context(), "root.json", []byte("first")))
	err = open(t, dir).CreateFile(t.Context(), "root.json", []byte("second"))
	require.ErrorIs(t, err, fs.ErrExist)
	require.ErrorIs(t, err, kms.ErrKeyExists)
	data, err := d.ReadFile(t.Context(), "root.json")
	require.NoError(t, err)
	require.Equal(t, "first", string(data))
	require.Empty(t, strays(t, dir))
}

func TestListPages(t *testing.T) {
	dir := newDir(t)
	d := open(t, dir)
	for _, id := range []string{"b", "a-1", "a", "a.b", "C"} {
		store(t, d, id, id)
	}
	for _, name := range []string{"x.txt", ".hidden.json", "-bad.json", "é.json", ".json"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "keys", name), nil, 0o600))
	}
	tests := []struct {
		after string
		n     int
		want  []string
	}{
		{"", 10, []string{"C", "a", "a-1", "a.b", "b"}},
		{"", 2, []string{"C", "a"}},
		{"a", 2, []string{"a-1", "a.b"}},
		{"a-0", 1, []string{"a-1"}},
		{"b", 3, []string{}},
		{"zzz", 3, []string{}},
		{"", 0, []string{}},
		{"", -1, []string{}},
	}
	for range 2 { // the second time from memory
		for _, tt := range tests {
			ids, err := d.List(t.Context(), tt.after, tt.n)
			require.NoError(t, err)
			require.Equal(t, tt.want, append([]string{}, ids...), "%q %d", tt.after, tt.n)
		}
	}
}

func TestListOfAnotherIsSeenAtOnce(t *testing.T) {
	dir := newDir(t)
	a, b := open(t, dir), open(t, dir)
	for i := range 5 {
		store(t, a, fmt.Sprint("k", i), "x")
		ids, err := b.List(t.Context(), "", 100)
		require.NoError(t, err)
		require.Len(t, ids, i+1)
		ids[0] = "scribbled" // the receiver's
	}
	require.NoError(t, a.Mutate(t.Context(), "k0", set(nil)))
	ids, err := b.List(t.Context(), "", 100)
	require.NoError(t, err)
	require.Equal(t, []string{"k1", "k2", "k3", "k4"}, ids)
}

func TestModesAreNarrowWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0, 0o077, 0o277, 0o777} {
		t.Run(fmt.Sprintf("%#o", umask), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "above", "kms")
			old := unix.Umask(umask)
			defer unix.Umask(old)
			d, err := keydir.Open(dir, keydir.Options{})
			require.NoError(t, err)
			defer d.Close()
			store(t, d, "a", "one")
			store(t, d, "a", "two")
			require.NoError(t, d.CreateFile(t.Context(), "root.json", []byte("root")))
			want := map[string]fs.FileMode{
				filepath.Dir(dir): 0o700, dir: 0o700, filepath.Join(dir, "keys"): 0o700,
				recordPath(dir, "a"): 0o600, lockPath(dir): 0o600, filepath.Join(dir, "root.json"): 0o600,
			}
			for path, mode := range want {
				info, err := os.Lstat(path)
				require.NoError(t, err)
				require.Equal(t, mode, info.Mode().Perm(), path)
			}
		})
	}
}

func TestOpenWritesNothingWhereItMust(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kms")
	_, err := keydir.Open(dir, keydir.Options{MustExist: true})
	require.ErrorIs(t, err, kms.ErrInvalidConfig)
	require.NoDirExists(t, dir)
	require.NoError(t, os.Mkdir(dir, 0o700))
	_, err = keydir.Open(dir, keydir.Options{MustExist: true})
	require.ErrorIs(t, err, kms.ErrInvalidConfig)
	require.NoDirExists(t, filepath.Join(dir, "keys"))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "keys"), 0o700))
	d, err := keydir.Open(dir, keydir.Options{MustExist: true})
	require.NoError(t, err)
	defer d.Close()
	require.NoError(t, d.HealthCheck(t.Context()))
	_, err = d.List(t.Context(), "", 10)
	require.NoError(t, err)
	require.Empty(t, content(t, d, "a"))
	require.NoFileExists(t, lockPath(dir))
}

func TestClosedDirRefusesEverything(t *testing.T) {
	dir := newDir(t)
	d := open(t, dir)
	store(t, d, "a", "one")
	_, err := d.List(t.Context(), "", 10)
	require.NoError(t, err)
	require.NoError(t, d.Close())
	require.NoError(t, d.Close())
	ctx := t.Context()
	calls := map[string]func() error{
		"Stamp":       func() error { _, _, err := d.Stamp(ctx); return err },
		"Get":         func() error { _, err := d.Get(ctx, "a"); return err },
		"List":        func() error { _, err := d.List(ctx, "", 1); return err },
		"ReadFile":    func() error { _, err := d.ReadFile(ctx, "root.json"); return err },
		"Mutate":      func() error { return d.Mutate(ctx, "a", set(nil)) },
		"CreateFile":  func() error { return d.CreateFile(ctx, "root.json", nil) },
		"Recover":     func() error { return d.Recover(ctx) },
		"HealthCheck": func() error { return d.HealthCheck(ctx) },
	}
	for name, call := range calls {
		require.ErrorIs(t, call(), kms.ErrClosed, name)
	}
	require.FileExists(t, recordPath(dir, "a"))
}

func TestHealthCheckSeesThatTheDirectoryIsGone(t *testing.T) {
	dir := newDir(t)
	d := open(t, dir)
	require.NoError(t, d.HealthCheck(t.Context()))
	require.NoError(t, os.Rename(filepath.Join(dir, "keys"), filepath.Join(dir, "moved")))
	require.ErrorIs(t, d.HealthCheck(t.Context()), kms.ErrUnavailable)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "keys"), 0o700))
	require.ErrorIs(t, d.HealthCheck(t.Context()), kms.ErrUnavailable)
}

func TestManyKeysAreListedQuickly(t *testing.T) {
	dir := newDir(t)
	for i := range 10_000 {
		require.NoError(t, os.WriteFile(recordPath(dir, fmt.Sprintf("key-%05d", i)), nil, 0o600))
	}
	d := open(t, dir)
	start, marker, n := time.Now(), "", 0
	for {
		page, err := d.List(t.Context(), marker, 1000)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		marker, n = page[len(page)-1], n+len(page)
	}
	require.Equal(t, 10_000, n)
	require.Less(t, time.Since(start), 5*time.Second)
	t.Logf("11 pages of 10,000 keys took %v", time.Since(start))
}
