//go:build unix

package keydir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

// A mutation is one change whose every step is made to fail.
type mutation struct {
	name          string
	before, after string // the content of record "a"; "": none
}

func mutations() []mutation {
	return []mutation{{"create", "", "the new record"}, {"update", "the former record", "the new record"}, {"delete", "the former record", ""}}
}

func (m mutation) run(t testing.TB, d *keydir.Dir) error {
	t.Helper()
	var data []byte
	if m.after != "" {
		data = []byte(m.after)
	}
	return d.Mutate(t.Context(), "a", set(data))
}

// prepare returns a directory in the state before the mutation, with another record in it.
func (m mutation) prepare(t testing.TB, tp *tape) (string, *keydir.Dir) {
	t.Helper()
	dir := newDir(t)
	d := openTaped(t, dir, tp, keydir.Options{})
	store(t, d, "other", "untouched")
	if m.before != "" {
		store(t, d, "a", m.before)
	}
	return dir, d
}

// steps returns how many calls the mutation makes when none fails.
func (m mutation) steps(t testing.TB) int {
	tp := &tape{}
	_, d := m.prepare(t, tp)
	tp.reset(nil)
	require.NoError(t, m.run(t, d))
	return len(tp.calls)
}

func errnos() []syscall.Errno { return []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EROFS} }

func TestOneFailureLeavesTheFormerRecord(t *testing.T) {
	for _, m := range mutations() {
		for _, half := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, half writes %t", m.name, half), func(t *testing.T) {
				for n := range m.steps(t) {
					m.failOnce(t, n, errnos()[n%3], half)
				}
			})
		}
	}
}

func TestEveryErrorNumberIsHandled(t *testing.T) {
	for _, m := range mutations() {
		for i := range 3 {
			for _, call := range []string{"write keys/.new", "sync keys/.new", "sync keys/.", "writeat lock 11", "rename", "link"} {
				m.fail(t, errnos()[i], false, func(_ int, c string) bool { return strings.HasPrefix(c, call) })
			}
		}
	}
}

func (m mutation) failOnce(t *testing.T, n int, errno syscall.Errno, half bool) {
	t.Helper()
	m.fail(t, errno, half, func(i int, _ string) bool { return i == n })
}

// fail lets the first call fail for which where answers true, and checks all that must hold then.
func (m mutation) fail(t *testing.T, errno syscall.Errno, half bool, where func(n int, call string) bool) {
	t.Helper()
	tp := &tape{half: half}
	dir, d := m.prepare(t, tp)
	before := descriptors(t)
	failed := ""
	tp.reset(func(n int, call string) error {
		if failed == "" && where(n, call) {
			failed = call
			return errno
		}
		return nil
	})
	err := m.run(t, d)
	tp.reset(nil)
	want := m.before
	if err == nil {
		want = m.after
	} else {
		require.ErrorIs(t, err, kms.ErrUnavailable, failed)
		require.ErrorIs(t, err, errno, failed)
	}
	require.Equal(t, before, descriptors(t), failed)
	for _, reader := range []*keydir.Dir{d, open(t, dir)} {
		require.Equal(t, want, content(t, reader, "a"), failed)
		require.Equal(t, "untouched", content(t, reader, "other"), failed)
	}
	require.NoError(t, m.run(t, d), failed)
	require.Equal(t, m.after, content(t, open(t, dir), "a"), failed)
	store(t, d, "other", "untouched")
	require.Empty(t, strays(t, dir), failed)
}

func TestFailureOfTheDirectorySyncIsNoSuccess(t *testing.T) {
	for _, m := range mutations() {
		for _, call := range []string{"sync keys/.new", "sync keys/.", "write keys/.new", "chmod keys/.new", "close keys/.new", "close keys/."} {
			tp := &tape{}
			_, d := m.prepare(t, tp)
			hit := false
			tp.reset(func(_ int, c string) error {
				if c == call && !hit {
					hit = true
					return syscall.EIO
				}
				return nil
			})
			if err := m.run(t, d); hit {
				require.ErrorIs(t, err, syscall.EIO, call)
			}
			require.True(t, hit || m.after == "", call)
		}
	}
}

func TestFailureThatStaysLeavesAWholeRecord(t *testing.T) {
	for _, m := range mutations() {
		t.Run(m.name, func(t *testing.T) {
			for n := range m.steps(t) {
				tp := &tape{half: n%2 == 0}
				dir, d := m.prepare(t, tp)
				tp.reset(func(i int, _ string) error {
					if i < n {
						return nil
					}
					return errnos()[n%3]
				})
				err := m.run(t, d)
				tp.reset(nil)
				m.checkOldOrNew(t, dir, d, err)
			}
		})
	}
}

// Not even the retreat succeeds: every rename, link or sync after the change has become visible fails.
func TestFailedRetreatIsNotBelievedUntilItIsSynced(t *testing.T) {
	for _, m := range mutations() {
		tp := &tape{}
		dir, d := m.prepare(t, tp)
		other := openTaped(t, dir, tp, keydir.Options{})
		visible := false
		tp.reset(func(_ int, call string) error {
			if visible && !strings.Contains(call, " lock") {
				return syscall.EIO
			}
			visible = visible || call == "writeat lock 11"
			return nil
		})
		// The step itself works, and what follows does not.
		steps := 0
		fault := tp.fault
		tp.fault = func(n int, call string) error {
			err := fault(n, call)
			if err != nil && steps == 0 {
				steps++
				return nil
			}
			return err
		}
		err := m.run(t, d)
		require.ErrorIs(t, err, syscall.EIO)
		tp.reset(func(_ int, call string) error {
			if strings.HasPrefix(call, "sync") {
				return syscall.EIO
			}
			return nil
		})
		for _, reader := range []*keydir.Dir{d, other} {
			_, stable, err := reader.Stamp(t.Context())
			require.NoError(t, err)
			require.False(t, stable, m.name)
			_, err = reader.Get(t.Context(), "a")
			require.ErrorIs(t, err, kms.ErrUnavailable, m.name)
		}
		tp.reset(nil)
		m.checkOldOrNew(t, dir, other, err)
		require.Contains(t, tp.changes(), "sync keys/.")
	}
}

// The former record is back under its name, but nobody knows which one a power cut would leave.
func TestRetreatThatCannotBeSyncedIsNotBelieved(t *testing.T) {
	for _, m := range mutations() {
		tp := &tape{}
		dir, d := m.prepare(t, tp)
		tp.reset(func(_ int, call string) error {
			if call == "sync keys/." {
				return syscall.EIO
			}
			return nil
		})
		require.ErrorIs(t, m.run(t, d), syscall.EIO)
		_, stable, err := d.Stamp(t.Context())
		require.NoError(t, err)
		require.False(t, stable, m.name)
		_, err = d.Get(t.Context(), "a")
		require.ErrorIs(t, err, kms.ErrUnavailable, m.name)
		tp.reset(nil)
		require.Equal(t, m.before, content(t, open(t, dir), "a"))
	}
}

func (m mutation) checkOldOrNew(t *testing.T, dir string, d *keydir.Dir, err error) {
	t.Helper()
	got := content(t, d, "a")
	require.Contains(t, []string{m.before, m.after}, got)
	if err == nil {
		require.Equal(t, m.after, got)
	}
	require.Equal(t, got, content(t, open(t, dir), "a"))
	require.Equal(t, "untouched", content(t, d, "other"))
	store(t, d, "other", "untouched")
	_, stable, err := d.Stamp(t.Context())
	require.NoError(t, err)
	require.True(t, stable)
	require.Empty(t, strays(t, dir))
	require.NoError(t, m.run(t, d))
	require.Equal(t, m.after, content(t, d, "a"))
}

func TestDeniedAccessIsAPermissionError(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EACCES, syscall.EPERM} {
		tp := &tape{}
		dir := newDir(t)
		d := openTaped(t, dir, tp, keydir.Options{})
		store(t, d, "a", "one")
		tp.reset(func(_ int, call string) error {
			if strings.HasPrefix(call, "create") || call == "open keys/a.json" {
				return errno
			}
			return nil
		})
		require.ErrorIs(t, d.Mutate(t.Context(), "b", set([]byte("x"))), kms.ErrPermission)
		_, err := d.Get(t.Context(), "a")
		require.ErrorIs(t, err, kms.ErrPermission)
		require.ErrorIs(t, err, kms.ErrKeyMaterial, "one damaged record that hides no other")
	}
}

func TestReadingSurvivesAReadOnlyFileSystem(t *testing.T) {
	for _, counter := range []uint64{1000, 1001} {
		tp := &tape{}
		dir := newDir(t)
		store(t, open(t, dir), "a", "one")
		writeLock(t, dir, lockBytes(counter))
		opens := 0
		d := openTaped(t, dir, tp, keydir.Options{})
		tp.reset(func(_ int, call string) error {
			if call == "open lock" {
				opens++
				if opens == 2 && counter%2 == 1 {
					return syscall.EROFS
				}
			}
			for _, verb := range []string{"create", "writeat", "remove", "rename", "link"} {
				if strings.HasPrefix(call, verb) {
					return syscall.EROFS
				}
			}
			return nil
		})
		require.Equal(t, "one", content(t, d, "a"))
		ids, err := d.List(t.Context(), "", 10)
		require.NoError(t, err)
		require.Equal(t, []string{"a"}, ids)
		require.ErrorIs(t, d.Mutate(t.Context(), "a", set([]byte("two"))), kms.ErrUnavailable)
		require.Equal(t, "one", content(t, d, "a"))
	}
}

func TestOpenLeaksNoDescriptorWhereItFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kms")
	before := descriptors(t)
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "keys"), nil, 0o600))
	_, err := keydir.Open(dir, keydir.Options{})
	require.ErrorIs(t, err, kms.ErrInvalidConfig)
	require.Equal(t, before, descriptors(t))
}
