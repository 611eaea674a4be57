//go:build unix

package keydir_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

// batchCalls returns the calls that a batch makes when none fails.
func batchCalls(t testing.TB) []string {
	tp := &tape{}
	d := openTaped(t, batchDir(t), tp, keydir.Options{})
	tp.reset(nil)
	require.NoError(t, runBatch(t, d))
	return tp.calls
}

// batchKills returns the numbers of those calls that write, and the one behind the last: whether a process is killed at
// one of them or at a read before it makes no difference to the disk.
func batchKills(t testing.TB) (kills []int) {
	calls := batchCalls(t)
	for n, call := range calls {
		if isChange(call) {
			kills = append(kills, n)
		}
	}
	return append(kills, len(calls))
}

// The ways in which a directory is found again by whoever opens it.
func finders() map[string]func(t *testing.T, dir string) {
	return map[string]func(t *testing.T, dir string){
		"as it was left":         func(*testing.T, string) {},
		"without the lock file":  func(t *testing.T, dir string) { require.NoError(t, os.Remove(lockPath(dir))) },
		"with an old lock file":  func(t *testing.T, dir string) { writeLock(t, dir, lockBytes(1000)) },
		"with a torn lock file":  func(t *testing.T, dir string) { writeLock(t, dir, lockBytes(1000)[:9]) },
		"with a dirty lock file": func(t *testing.T, dir string) { writeLock(t, dir, dirtyBytes(1000)) },
	}
}

// A process that is killed at a call does nothing more: neither that call, nor any later one.
func TestBatchKilledAtAnyCallLeavesTheOldOrTheNewState(t *testing.T) {
	kills := batchKills(t)
	for name, find := range finders() {
		t.Run(name, func(t *testing.T) {
			seen := map[string]int{}
			for _, n := range kills {
				tp := &tape{half: n%2 == 0}
				dir := batchDir(t)
				d := openTaped(t, dir, tp, keydir.Options{})
				tp.reset(func(i int, _ string) error {
					if i < n {
						return nil
					}
					return syscall.EIO
				})
				err := runBatch(t, d)
				tp.reset(nil)
				require.NoError(t, d.Close())
				find(t, dir)
				state := findState(t, dir)
				if err == nil {
					require.Equal(t, "new", state)
				}
				seen[state]++
			}
			require.Len(t, seen, 2, "%v", seen)
			require.Greater(t, seen["old"], 20)
			require.Greater(t, seen["new"], 9)
		})
	}
}

// findState opens a directory as local does, and checks that it is in order from then on.
func findState(t *testing.T, dir string) string {
	t.Helper()
	d := open(t, dir)
	require.NoError(t, d.Complete(t.Context()))
	state := batchState(t, d)
	require.Contains(t, []string{"old", "new"}, state)
	require.NoError(t, d.Recover(t.Context()))
	require.Empty(t, strays(t, dir))
	require.NoFileExists(t, filepath.Join(dir, "batch"))
	require.Equal(t, state, batchState(t, d))
	_, stable, err := d.Stamp(t.Context())
	require.NoError(t, err)
	require.True(t, stable)
	require.NoError(t, runBatch(t, d))
	require.Equal(t, "new", batchState(t, open(t, dir)))
	require.NoError(t, d.Close())
	return state
}

// Those who had the directory open all the while find the same, without opening anything.
func TestBatchKilledAtAnyCallIsFinishedByThoseWhoRead(t *testing.T) {
	for _, n := range batchKills(t) {
		tp := &tape{}
		dir := batchDir(t)
		d, other := openTaped(t, dir, tp, keydir.Options{}), open(t, dir)
		require.Equal(t, "old", batchState(t, other))
		tp.reset(func(i int, _ string) error {
			if i < n {
				return nil
			}
			return syscall.EIO
		})
		err := runBatch(t, d)
		tp.reset(nil)
		require.NoError(t, d.Close())
		state := batchState(t, other)
		require.Contains(t, []string{"old", "new"}, state)
		if err == nil {
			require.Equal(t, "new", state)
		}
		require.Equal(t, state, batchState(t, open(t, dir)))
		store(t, other, "other", "untouched")
		require.Empty(t, strays(t, dir))
	}
}

func TestOneFailureInABatchLeavesTheOldOrTheNewState(t *testing.T) {
	for _, half := range []bool{false, true} {
		for n, call := range batchCalls(t) {
			if half && !strings.HasPrefix(call, "write") {
				continue
			}
			tp := &tape{half: half}
			dir := batchDir(t)
			d := openTaped(t, dir, tp, keydir.Options{})
			require.Equal(t, "old", batchState(t, d))
			before, failed := descriptors(t), ""
			tp.reset(func(i int, call string) error {
				if i != n {
					return nil
				}
				failed = call
				return errnos()[n%3]
			})
			err := runBatch(t, d)
			tp.reset(nil)
			want := "new"
			if err != nil {
				require.ErrorIs(t, err, kms.ErrUnavailable, failed)
				if !strings.Contains(err.Error(), "the batch is stored") {
					want = "old"
				}
			}
			require.Equal(t, before, descriptors(t), failed)
			require.Equal(t, want, batchState(t, d), failed)
			require.Equal(t, want, batchState(t, open(t, dir)), failed)
			require.NoError(t, runBatch(t, d), failed)
			require.Equal(t, "new", batchState(t, open(t, dir)))
			require.Empty(t, strays(t, dir), failed)
		}
	}
}

// The batch file is visible, but cannot be made durable, and taking it away cannot be made durable either: until that is known nobody touches
// the files that it names, and whichever way it turns out, the directory is whole.
func TestBatchInDoubtIsLeftForTheNext(t *testing.T) {
	for name, comesBack := range map[string]bool{"the batch file is gone": false, "a power cut brings it back": true} {
		for _, failing := range []string{"sync .", "remove batch"} {
			t.Run(name+", "+failing, func(t *testing.T) {
				dir, tp, word := batchDir(t), &tape{}, ""
				d, linked := openTaped(t, dir, tp, keydir.Options{}), false
				tp.reset(func(_ int, call string) error {
					linked = linked || strings.HasPrefix(call, "link .new batch")
					if linked && (call == "sync ." || call == failing) {
						text, err := os.ReadFile(filepath.Join(dir, "batch"))
						if err == nil {
							word = string(text)
						}
						return syscall.EIO
					}
					return nil
				})
				require.ErrorIs(t, runBatch(t, d), syscall.EIO)
				require.NotContains(t, tp.changes(), "remove keys/.set-a.json")
				_, stable, err := d.Stamp(t.Context())
				require.NoError(t, err)
				require.False(t, stable)
				_, err = d.Get(t.Context(), "a")
				require.ErrorIs(t, err, kms.ErrUnavailable)
				require.Len(t, word, 27)
				tp.reset(nil)
				require.NoError(t, d.Close())
				want := "new"
				if comesBack {
					require.NoError(t, os.WriteFile(filepath.Join(dir, "batch"), []byte(word), 0o600))
				} else if failing == "sync ." {
					want = "old"
				}
				require.Equal(t, want, findState(t, dir))
			})
		}
	}
}

// A batch file that a power cut has brought back, although it was removed, must not take a part of a later batch with it.
func TestABatchFileThatComesBackChangesNothing(t *testing.T) {
	dir, word := batchDir(t), ""
	tp := &tape{}
	d := openTaped(t, dir, tp, keydir.Options{})
	tp.reset(func(_ int, call string) error {
		if call == "remove batch" {
			text, err := os.ReadFile(filepath.Join(dir, "batch"))
			require.NoError(t, err)
			word = string(text)
		}
		return nil
	})
	require.NoError(t, runBatch(t, d))
	require.Len(t, word, 27)
	tp.reset(func(_ int, call string) error {
		if call == "create .set-root.json" {
			return syscall.EIO
		}
		if strings.HasPrefix(call, "remove") {
			return syscall.EIO // killed
		}
		return nil
	})
	require.ErrorIs(t, d.Batch(t.Context(), func(b *keydir.Batch) error {
		return errors.Join(b.Put("a", []byte("third")), b.PutFile("root.json", []byte("third")))
	}), syscall.EIO)
	require.NoError(t, d.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "batch"), []byte(word), 0o600))
	require.Equal(t, "new", findState(t, dir))
}

// Somebody has brought a directory in which a batch was cut off, without its lock file, under a process that runs.
func TestReadersFinishABatchWithoutALockFile(t *testing.T) {
	dir, word := batchDir(t), strings.Repeat("A", 26)
	require.NoError(t, os.Remove(lockPath(dir)))
	d := open(t, dir)
	require.Equal(t, "old", batchState(t, d))
	for _, path := range []string{"keys/.objectkms-set-" + word + "-a.json", "keys/.objectkms-set-" + word + "-b.json", "keys/.objectkms-set-" + word + "-c.json", ".objectkms-set-" + word + "-root.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte("new"), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "batch"), []byte(word+"\n"), 0o600))
	require.Equal(t, "new", batchState(t, d))
}

func TestMalformedBatchFileIsRefused(t *testing.T) {
	word := strings.Repeat("A", 26)
	for _, text := range []string{"", "\n", word, word[1:] + "\n", word + "A\n", word[1:] + "1\n", "../" + word[3:] + "\n", word + "\n\n"} {
		dir := batchDir(t)
		staged := filepath.Join(dir, "keys", ".objectkms-set-"+word+"-a.json")
		require.NoError(t, os.WriteFile(staged, []byte("new"), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "batch"), []byte(text), 0o600))
		require.ErrorIs(t, open(t, dir).Complete(t.Context()), kms.ErrKeyMaterial, text)
		require.FileExists(t, staged)
	}
	dir := batchDir(t)
	require.NoError(t, os.Symlink("root.json", filepath.Join(dir, "batch")))
	require.ErrorIs(t, open(t, dir).Complete(t.Context()), kms.ErrPermission)
}

// Only files whose names the batch can have made are touched.
func TestBatchPutsNoOtherFilesInPlace(t *testing.T) {
	dir, word := batchDir(t), strings.Repeat("A", 26)
	other := strings.Repeat("B", 26)
	for _, name := range []string{".objectkms-set-" + other + "-a.json", ".objectkms-set-" + word + "a.json", ".objectkms-new-" + word, "set-" + word + "-a.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "keys", name), []byte("new"), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "batch"), []byte(word+"\n"), 0o600))
	d := open(t, dir)
	require.NoError(t, d.Complete(t.Context()))
	require.Equal(t, "old", batchState(t, d))
}

func TestChangesWaitForABatchAndSeeIt(t *testing.T) {
	dir := batchDir(t)
	d, other := open(t, dir), open(t, dir)
	done := make(chan error, 1)
	require.NoError(t, d.Batch(t.Context(), func(b *keydir.Batch) error {
		go func() {
			done <- other.Mutate(t.Context(), "a", func(old []byte, _ uint64) ([]byte, error) { return append(old, '+'), nil })
		}()
		require.ErrorIs(t, getBriefly(t, other, "none"), kms.ErrKeyNotFound, "readers do not wait")
		return b.Put("a", []byte("new"))
	}))
	require.NoError(t, <-done)
	require.Equal(t, "new+", content(t, d, "a"))
}

func TestDirWithABatchAndWithoutKeysIsNotMadeAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kms")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "batch"), nil, 0o600))
	_, err := keydir.Open(dir, keydir.Options{})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
}
