//go:build unix

package keydir_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

// takeLock takes the lock as another process would, and returns what gives it back.
func takeLock(t testing.TB, dir string) (release func()) {
	t.Helper()
	f, err := os.OpenFile(lockPath(dir), os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	return sync.OnceFunc(func() { f.Close() })
}

func TestWaitingForTheLockObeysTheContext(t *testing.T) {
	dir := newDir(t)
	d := open(t, dir)
	release := takeLock(t, dir)
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	called := func([]byte, uint64) ([]byte, error) { t.Error("change was called"); return nil, nil }
	require.ErrorIs(t, d.Mutate(ctx, "a", called), context.DeadlineExceeded)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, d.Mutate(canceled, "a", called), context.Canceled)
	require.ErrorIs(t, d.CreateFile(canceled, "root.json", nil), context.Canceled)
	require.ErrorIs(t, d.Recover(canceled), context.Canceled)
	require.ErrorIs(t, d.HealthCheck(canceled), context.Canceled)
	_, err := d.List(canceled, "", 1)
	require.ErrorIs(t, err, context.Canceled)
	_, err = d.Get(canceled, "a")
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, content(t, d, "a"), "reading waits for no lock")
	release()
	store(t, d, "a", "one")
}

func TestLockIsTakenSoonAfterItIsFree(t *testing.T) {
	dir := newDir(t)
	d := open(t, dir)
	for range 5 {
		release := takeLock(t, dir)
		result := make(chan time.Time)
		go func() {
			_ = d.Mutate(t.Context(), "a", func([]byte, uint64) ([]byte, error) { result <- time.Now(); return nil, nil })
		}()
		select {
		case <-result:
			t.Fatal("the lock was not respected")
		case <-time.After(5 * time.Millisecond):
		}
		freed := time.Now()
		release()
		require.Less(t, (<-result).Sub(freed), time.Second)
	}
}

func TestGoroutinesQueueAndObeyTheContext(t *testing.T) {
	d := open(t, newDir(t))
	inside, finish := make(chan bool), make(chan bool)
	done := make(chan error)
	go func() {
		done <- d.Mutate(t.Context(), "a", func([]byte, uint64) ([]byte, error) {
			inside <- true
			<-finish
			return []byte("slow"), nil
		})
	}()
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, d.Mutate(ctx, "a", set([]byte("fast"))), context.DeadlineExceeded)
	close(finish)
	require.NoError(t, <-done)
	require.Equal(t, "slow", content(t, d, "a"))
}

func TestCloseWaitsForTheChangeUnderWayAndRefusesTheOthers(t *testing.T) {
	dir := newDir(t)
	d := open(t, dir)
	inside, finish := make(chan bool), make(chan bool)
	changed, waited, closed := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() {
		changed <- d.Mutate(t.Context(), "a", func([]byte, uint64) ([]byte, error) {
			inside <- true
			<-finish
			return []byte("kept"), nil
		})
	}()
	<-inside
	go func() { waited <- d.Mutate(t.Context(), "b", set([]byte("lost"))) }()
	go func() { closed <- d.Close() }()
	require.ErrorIs(t, <-waited, kms.ErrClosed)
	require.Empty(t, closed)
	close(finish)
	require.NoError(t, <-changed)
	require.NoError(t, <-closed)
	require.Equal(t, "kept", content(t, open(t, dir), "a"))
}

func TestCloseEndsTheWaitForAnotherProcess(t *testing.T) {
	dir, tp := newDir(t), &tape{}
	d := openTaped(t, dir, tp, keydir.Options{})
	defer takeLock(t, dir)()
	waited, waiting := make(chan error), make(chan bool)
	tp.reset(once("lock lock", func() { close(waiting) }))
	go func() { waited <- d.Mutate(t.Context(), "b", set([]byte("lost"))) }()
	<-waiting
	require.NoError(t, d.Close())
	require.ErrorIs(t, <-waited, kms.ErrClosed)
}

func TestTwoDirsInOneProcessLoseNothing(t *testing.T) {
	dir := newDir(t)
	dirs := []*keydir.Dir{open(t, dir), open(t, dir)}
	var wg sync.WaitGroup
	const each = 20
	for i := range 4 {
		wg.Go(func() {
			d := dirs[i%2]
			for range each {
				err := d.Mutate(t.Context(), "n", func(old []byte, _ uint64) ([]byte, error) {
					n, _ := strconv.Atoi(string(old))
					return fmt.Append(nil, n+1), nil
				})
				if err != nil {
					t.Error(err)
				}
				if _, err := d.Get(t.Context(), "n"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, strconv.Itoa(4*each), content(t, dirs[0], "n"))
}

func TestOneOfManyCreatesWins(t *testing.T) {
	dir := newDir(t)
	won := make(chan int, 16)
	var wg sync.WaitGroup
	for i := range 8 {
		d := open(t, dir)
		wg.Go(func() {
			if d.CreateFile(t.Context(), "root.json", fmt.Append(nil, i)) == nil {
				won <- i
			}
		})
	}
	wg.Wait()
	require.Len(t, won, 1)
	data, err := open(t, dir).ReadFile(t.Context(), "root.json")
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(<-won), string(data))
}
