//go:build unix

package keydir_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

// What can become of a directory while a process has it open.
func displacements() map[string]func(t *testing.T, dir string) {
	return map[string]func(t *testing.T, dir string){
		"directory moved": func(t *testing.T, dir string) { require.NoError(t, os.Rename(dir, dir+".moved")) },
		"directory replaced": func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(dir, dir+".moved"))
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "keys"), 0o700))
		},
		"directory deleted": func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(dir)) },
		"keys moved": func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, "keys"), filepath.Join(dir, "moved")))
		},
		"keys replaced": func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, "keys"), filepath.Join(dir, "moved")))
			require.NoError(t, os.Mkdir(filepath.Join(dir, "keys"), 0o700))
		},
		"keys deleted": func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "keys"))) },
	}
}

func TestDirectoryThatIsNoLongerInItsPlaceIsUnavailable(t *testing.T) {
	for name, displace := range displacements() {
		t.Run(name, func(t *testing.T) {
			dir := newDir(t)
			d := open(t, dir)
			store(t, d, "a", "one")
			require.NoError(t, d.HealthCheck(t.Context()))
			displace(t, dir)
			require.ErrorIs(t, d.HealthCheck(t.Context()), kms.ErrUnavailable)
			require.ErrorIs(t, d.Mutate(t.Context(), "a", set([]byte("two"))), kms.ErrUnavailable)
			require.ErrorIs(t, d.Mutate(t.Context(), "b", set([]byte("two"))), kms.ErrUnavailable)
			require.ErrorIs(t, d.CreateFile(t.Context(), "root.json", nil), kms.ErrUnavailable)
			require.ErrorIs(t, runBatch(t, d), kms.ErrUnavailable)
			_, err := d.Get(t.Context(), "b")
			require.ErrorIs(t, err, kms.ErrUnavailable, "it may be missing here only")
			_, err = d.List(t.Context(), "", 10)
			require.ErrorIs(t, err, kms.ErrUnavailable)
			if record, err := d.Get(t.Context(), "a"); err != nil {
				require.ErrorIs(t, err, kms.ErrUnavailable)
			} else {
				require.Equal(t, "one", string(record))
			}
		})
	}
}

func TestDirectoryThatIsPutBackIsInItsPlace(t *testing.T) {
	dir := newDir(t)
	d := open(t, dir)
	require.NoError(t, os.Rename(dir, dir+".moved"))
	require.Error(t, d.HealthCheck(t.Context()))
	require.NoError(t, os.Rename(dir+".moved", dir))
	require.NoError(t, d.HealthCheck(t.Context()))
	store(t, d, "a", "one")
	require.Equal(t, "one", content(t, open(t, dir), "a"))
}

func TestNothingIsChangedUnlessTheRequiredFileIsTheSame(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"changed": func(path string) error { return os.WriteFile(path, []byte("new"), 0o600) },
		"missing": os.Remove,
		"refused": func(path string) error { return os.Chmod(path, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := batchDir(t)
			d := open(t, dir)
			d.Require("root.json", []byte("old"))
			store(t, d, "a", "one")
			require.NoError(t, d.HealthCheck(t.Context()))
			require.NoError(t, change(filepath.Join(dir, "root.json")))
			want := kms.ErrKeyMaterial
			if name == "refused" {
				want = kms.ErrPermission
			}
			require.ErrorIs(t, d.HealthCheck(t.Context()), want)
			require.ErrorIs(t, d.Mutate(t.Context(), "a", set([]byte("two"))), want)
			require.ErrorIs(t, runBatch(t, d), want)
			_, err := d.List(t.Context(), "", 10)
			require.ErrorIs(t, err, want)
			require.Equal(t, "one", content(t, d, "a"), "reading goes on")
			other := open(t, dir)
			store(t, other, "a", "three")
		})
	}
}

// A batch may change the file that its own Dir requires: that is the last that this Dir changes.
func TestBatchMayReplaceTheRequiredFile(t *testing.T) {
	d := open(t, batchDir(t))
	d.Require("root.json", []byte("old"))
	require.NoError(t, runBatch(t, d))
	require.Equal(t, "new", batchState(t, d))
	require.ErrorIs(t, d.Mutate(t.Context(), "a", set(nil)), kms.ErrKeyMaterial)
	d.Require("root.json", []byte("new"))
	require.NoError(t, d.Mutate(t.Context(), "a", set(nil)))
}

func TestWithoutDescriptorsWhatIsKnownIsKnown(t *testing.T) {
	tp := &tape{}
	d := openTaped(t, newDir(t), tp, keydir.Options{})
	store(t, d, "a", "one")
	tp.reset(func(_ int, call string) error {
		if strings.HasPrefix(call, "open") {
			return syscall.EMFILE
		}
		return nil
	})
	for range 200 {
		_, stable, err := d.Stamp(t.Context())
		require.NoError(t, err)
		require.True(t, stable)
	}
	_, err := d.Get(t.Context(), "a")
	require.ErrorIs(t, err, kms.ErrUnavailable)
}

// A readOnlyFS is on media that cannot be written to.
type readOnlyFS struct{ keydir.FS }

func (f readOnlyFS) Open(name string, flag int, perm fs.FileMode) (keydir.File, error) {
	if flag&(os.O_WRONLY|os.O_RDWR|os.O_CREATE) != 0 {
		return nil, syscall.EROFS
	}
	return f.FS.Open(name, flag, perm)
}

func (f readOnlyFS) Sub(name string) (keydir.FS, error) {
	sub, err := f.FS.Sub(name)
	return readOnlyFS{sub}, err
}

func (readOnlyFS) Mkdir(string, fs.FileMode) error { return syscall.EROFS }
func (readOnlyFS) Chmod(string, fs.FileMode) error { return syscall.EROFS }
func (readOnlyFS) Link(string, string) error       { return syscall.EROFS }
func (readOnlyFS) Rename(string, string) error     { return syscall.EROFS }
func (readOnlyFS) Remove(string) error             { return syscall.EROFS }

func openReadOnly(t *testing.T, dir string) *keydir.Dir {
	t.Helper()
	fsys, err := keydir.OpenFS(dir)
	require.NoError(t, err)
	d, err := keydir.New(readOnlyFS{fsys}, keydir.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

// Media that cannot be written to are read as they are, with or without what a killed process has left.
func TestRecoverLeavesReadOnlyMediaAlone(t *testing.T) {
	litter := func(dir string) error { return os.WriteFile(filepath.Join(dir, "keys", tempName), nil, 0o600) }
	for name, prepare := range map[string]func(dir string) error{
		"in good order":       func(string) error { return nil },
		"without a lock file": func(dir string) error { return os.Remove(lockPath(dir)) },
		"with litter":         litter,
		"with dirt":           func(dir string) error { return os.WriteFile(lockPath(dir), dirtyBytes(1000), 0o600) },
		"in doubt":            func(dir string) error { return os.WriteFile(lockPath(dir), lockBytes(1001), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := batchDir(t)
			require.NoError(t, prepare(dir))
			d := openReadOnly(t, dir)
			require.NoError(t, d.Complete(t.Context()))
			require.NoError(t, d.Recover(t.Context()))
			require.Equal(t, "old", batchState(t, d))
			require.ErrorIs(t, d.Mutate(t.Context(), "a", set(nil)), kms.ErrUnavailable)
		})
	}
}

func TestBatchOnReadOnlyMediaIsUnavailable(t *testing.T) {
	dir := batchDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "batch"), []byte(strings.Repeat("A", 26)+"\n"), 0o600))
	d := openReadOnly(t, dir)
	require.ErrorIs(t, d.Complete(t.Context()), kms.ErrUnavailable)
	require.ErrorIs(t, d.Recover(t.Context()), kms.ErrUnavailable)
}

func TestRefusalsNameTheFullPath(t *testing.T) {
	dir := batchDir(t)
	require.NoError(t, os.Chmod(recordPath(dir, "a"), 0o644))
	require.NoError(t, os.Truncate(recordPath(dir, "b"), 2<<20))
	d := open(t, dir)
	_, err := d.Get(t.Context(), "a")
	require.ErrorContains(t, err, recordPath(dir, "a")+" has mode 0644")
	_, err = d.Get(t.Context(), "b")
	require.ErrorContains(t, err, recordPath(dir, "b")+" has 2097152 bytes")
	require.NoError(t, os.Chmod(filepath.Join(dir, "root.json"), 0o640))
	_, err = d.ReadFile(t.Context(), "root.json")
	require.ErrorContains(t, err, filepath.Join(dir, "root.json")+" has mode 0640")
	require.NoError(t, os.Chmod(lockPath(dir), 0o640))
	_, err = open(t, dir).Get(t.Context(), "other")
	require.ErrorContains(t, err, lockPath(dir)+" has mode 0640")
	require.NoError(t, os.Chmod(filepath.Join(dir, "keys"), 0o750))
	_, err = keydir.Open(dir, keydir.Options{})
	require.ErrorContains(t, err, filepath.Join(dir, "keys")+" has mode 0750")
}

func TestLockFileThatOthersMayReadIsNoticedByReaders(t *testing.T) {
	dir := batchDir(t)
	d := open(t, dir)
	require.Equal(t, "old", batchState(t, d))
	require.NoError(t, os.Chmod(lockPath(dir), 0o644))
	var err error
	for range 100 {
		if _, _, err = d.Stamp(t.Context()); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, kms.ErrPermission)
}
