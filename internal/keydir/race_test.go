//go:build unix

package keydir_test

import (
	"context"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

// once returns a fault that runs do at the first call of that name, and lets nothing fail.
func once(name string, do func()) func(int, string) error {
	return func(_ int, call string) error {
		if call == name && do != nil {
			run := do
			do = nil
			run()
		}
		return nil
	}
}

func TestChangeInTheMiddleOfAReadIsNoticed(t *testing.T) {
	for _, lockFile := range []string{"there", "missing"} {
		for _, call := range []string{"lstat keys/a.json", "read keys/a.json", "close keys/a.json"} {
			t.Run(lockFile+" "+call, func(t *testing.T) {
				dir, tp := newDir(t), &tape{}
				other := open(t, dir)
				store(t, other, "a", "former")
				if lockFile == "missing" {
					require.NoError(t, os.Remove(lockPath(dir)))
				}
				d := openTaped(t, dir, tp, keydir.Options{})
				tp.reset(once(call, func() { store(t, other, "a", "latest") }))
				require.Equal(t, "latest", content(t, d, "a"))
				reads := 0
				for _, c := range tp.calls {
					if c == "read keys/a.json" {
						reads++
					}
				}
				require.Equal(t, 2, reads)
			})
		}
	}
}

func TestListIsNotRememberedUnderTheWrongStamp(t *testing.T) {
	dir, tp := newDir(t), &tape{}
	other := open(t, dir)
	store(t, other, "a", "x")
	d := openTaped(t, dir, tp, keydir.Options{})
	for _, id := range []string{"b", "c"} {
		tp.reset(once("readdir keys/.", func() { store(t, other, id, "x") }))
		_, err := d.List(t.Context(), "", 10)
		require.NoError(t, err)
		store(t, other, id+id, "x")
		ids, err := d.List(t.Context(), "", 10)
		require.NoError(t, err)
		require.True(t, slices.Contains(ids, id) && slices.Contains(ids, id+id), ids)
	}
}

// While a change is under way, what is read must not be remembered.
func TestListIsNotRememberedWhileUnstable(t *testing.T) {
	dir, tp := newDir(t), &tape{}
	other := open(t, dir)
	store(t, other, "a", "x")
	writeLock(t, dir, lockBytes(generation(t, other)+1001))
	d := openTaped(t, dir, tp, keydir.Options{})
	tp.reset(func(_ int, call string) error {
		if call == "writeat lock 0" {
			return syscall.EIO // it stays unstable
		}
		return nil
	})
	for range 2 {
		ids, err := d.List(t.Context(), "", 10)
		require.NoError(t, err)
		require.Equal(t, []string{"a"}, ids)
		require.Contains(t, tp.calls, "readdir keys/.")
		tp.reset(tp.fault)
	}
}

func TestLockOfAReplacedFileIsNoLock(t *testing.T) {
	dir, tp := newDir(t), &tape{}
	d := openTaped(t, dir, tp, keydir.Options{})
	release := takeLock(t, dir)
	defer release()
	tp.reset(once("lock lock", func() {
		// Another process has the lock of the new file, and what d waits for is worth nothing.
		require.NoError(t, os.Rename(lockPath(dir), lockPath(dir)+".old"))
		writeLock(t, dir, lockBytes(generationOfClock()))
		t.Cleanup(takeLock(t, dir))
		release()
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, d.Mutate(ctx, "a", set([]byte("x"))), context.DeadlineExceeded)
	require.NoFileExists(t, recordPath(dir, "a"))
}

func TestReadersThatWaitForOneWriterTakeOneLock(t *testing.T) {
	dir, tp := newDir(t), &tape{}
	d := openTaped(t, dir, tp, keydir.Options{})
	store(t, d, "a", "one")
	release, counter := takeLock(t, dir), generationOfClock()
	defer release()
	writeLock(t, dir, dirtyBytes(counter+1))
	const readers = 20
	looked, looks := make(chan bool), 0
	tp.reset(func(_ int, call string) error {
		if call == "readat lock" {
			tp.mu.Lock()
			defer tp.mu.Unlock()
			if looks++; looks == readers {
				close(looked)
			}
		}
		return nil
	})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			if _, err := d.Get(t.Context(), "a"); err != nil {
				t.Error(err)
			}
		})
	}
	<-looked
	writeLock(t, dir, lockBytes(counter+2))
	release()
	wg.Wait()
	locks := 0
	for _, call := range tp.calls {
		if call == "unlock lock" {
			locks++
		}
	}
	require.LessOrEqual(t, locks, 1)
}

func generationOfClock() uint64 { return uint64(time.Now().Add(time.Hour).UnixMicro()) / 2 * 2 }

func TestLockFileThatIsClosedWhileItIsReadIsUnstable(t *testing.T) {
	tp := &tape{}
	d := openTaped(t, newDir(t), tp, keydir.Options{})
	store(t, d, "a", "one")
	failed := false
	tp.reset(func(_ int, call string) error {
		if call == "readat lock" && !failed {
			failed = true
			return fs.ErrClosed
		}
		return nil
	})
	_, stable, err := d.Stamp(t.Context())
	require.NoError(t, err)
	require.False(t, stable)
	require.Equal(t, "one", content(t, d, "a"))
}

func TestReadFailuresAreUnavailable(t *testing.T) {
	dir, tp := newDir(t), &tape{}
	d := openTaped(t, dir, tp, keydir.Options{})
	store(t, d, "a", "one")
	require.NoError(t, d.CreateFile(t.Context(), "root.json", []byte("root")))
	reads := map[string]func() error{
		"Stamp":    func() error { _, _, err := d.Stamp(t.Context()); return err },
		"Get":      func() error { _, err := d.Get(t.Context(), "a"); return err },
		"ReadFile": func() error { _, err := d.ReadFile(t.Context(), "root.json"); return err },
		"List":     func() error { _, err := d.List(t.Context(), "", 1); return err },
		"Recover":  func() error { return d.Recover(t.Context()) },
		"Health":   func() error { return d.HealthCheck(t.Context()) },
	}
	for name, read := range reads {
		tp.reset(nil)
		require.NoError(t, read())
		store(t, d, "a", "one")
		before, calls, failures := descriptors(t), len(tp.calls), 0
		for n := range calls {
			tp.reset(func(i int, call string) error {
				if i == n && call != "close keys/." {
					return syscall.EIO
				}
				return nil
			})
			if err := read(); err != nil {
				require.ErrorIs(t, err, kms.ErrUnavailable, name)
				require.ErrorIs(t, err, syscall.EIO, name)
				failures++
			}
			require.Equal(t, before, descriptors(t), name)
		}
		require.Positive(t, failures, name)
	}
}
