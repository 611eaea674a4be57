//go:build unix

package keydir_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keydir"
)

func TestStampChangesWithEveryChangeOfAnybody(t *testing.T) {
	dir := newDir(t)
	a, b := open(t, dir), open(t, dir)
	seen := map[uint64]bool{}
	for i, d := range []*keydir.Dir{a, b, a, a, b} {
		store(t, d, "a", strings.Repeat("x", i))
		for _, reader := range []*keydir.Dir{a, b, a} {
			stamp, stable, err := reader.Stamp(t.Context())
			require.NoError(t, err)
			require.True(t, stable)
			if reader == a {
				require.Equal(t, seen[stamp], len(seen) == i+1)
			}
			seen[stamp] = true
		}
	}
	require.Len(t, seen, 5)
}

func TestGenerationsRise(t *testing.T) {
	dir := newDir(t)
	var last uint64
	for range 3 {
		for _, d := range []*keydir.Dir{open(t, dir), open(t, dir)} {
			err := d.Mutate(t.Context(), "a", func(_ []byte, generation uint64) ([]byte, error) {
				require.Greater(t, generation, last)
				last = generation
				return []byte("x"), nil
			})
			require.NoError(t, err)
		}
	}
}

func clockAt(micros int64) keydir.Options {
	return keydir.Options{Now: func() time.Time { return time.UnixMicro(micros) }}
}

func TestGenerationsRiseWithTheClockSetBack(t *testing.T) {
	dir, tp := newDir(t), &tape{}
	writeLock(t, dir, lockBytes(5000))
	for _, micros := range []int64{4000, 0, -1} {
		d := openTaped(t, dir, tp, clockAt(micros))
		before, _, err := d.Stamp(t.Context())
		require.NoError(t, err)
		err = d.Mutate(t.Context(), "a", func(_ []byte, generation uint64) ([]byte, error) {
			require.Greater(t, generation, before)
			return []byte("x"), nil
		})
		require.NoError(t, err)
		require.Greater(t, generation(t, d), uint64(5000))
		require.Less(t, generation(t, d), uint64(5020))
	}
}

func TestGenerationsRiseWithTheLockFileLost(t *testing.T) {
	dir, tp := newDir(t), &tape{}
	for i, now := range []int64{10_000, 20_000, 30_001} {
		require.NoError(t, os.Remove(lockPath(dir)))
		d := openTaped(t, dir, tp, clockAt(now))
		g := generation(t, d)
		require.GreaterOrEqual(t, g, uint64(now), i)
		store(t, d, "a", "x")
	}
	// One process remembers what it has seen even where its clock goes back too.
	now := int64(50_000)
	d := openTaped(t, dir, tp, keydir.Options{Now: func() time.Time { return time.UnixMicro(now) }})
	store(t, d, "a", "x")
	last := generation(t, d)
	now = 1
	require.NoError(t, os.Remove(lockPath(dir)))
	store(t, d, "a", "y")
	require.Greater(t, generation(t, d), last)
}

func TestCounterThatGoesBackIsRefused(t *testing.T) {
	dir := newDir(t)
	writeLock(t, dir, lockBytes(5000))
	d := open(t, dir)
	_, _, err := d.Stamp(t.Context())
	require.NoError(t, err)
	for _, counter := range []uint64{4998, 4999, 0} {
		writeLock(t, dir, lockBytes(counter))
		_, stable, err := d.Stamp(t.Context())
		require.ErrorIs(t, err, kms.ErrKeyMaterial)
		require.False(t, stable)
		_, err = d.Get(t.Context(), "a")
		require.ErrorIs(t, err, kms.ErrKeyMaterial)
		_, err = d.List(t.Context(), "", 1)
		require.ErrorIs(t, err, kms.ErrKeyMaterial)
		require.ErrorIs(t, d.Mutate(t.Context(), "a", set([]byte("x"))), kms.ErrKeyMaterial)
		require.ErrorIs(t, d.HealthCheck(t.Context()), kms.ErrKeyMaterial)
	}
	require.NoFileExists(t, recordPath(dir, "a"))
	writeLock(t, dir, lockBytes(5000))
	store(t, d, "a", "x")
}

func TestReplacedLockFileIsNoticed(t *testing.T) {
	dir := newDir(t)
	writeLock(t, dir, lockBytes(5000))
	reader, writer := open(t, dir), open(t, dir)
	for _, d := range []*keydir.Dir{reader, writer} {
		_, _, err := d.Stamp(t.Context())
		require.NoError(t, err)
	}
	replace := func(counter uint64) {
		require.NoError(t, os.WriteFile(lockPath(dir)+".x", lockBytes(counter), 0o600))
		require.NoError(t, os.Rename(lockPath(dir)+".x", lockPath(dir)))
	}
	replace(6000)
	store(t, writer, "a", "x")
	stamp, stable, err := writer.Stamp(t.Context())
	require.NoError(t, err)
	require.True(t, stable)
	require.Greater(t, stamp, uint64(6000))
	var seen uint64
	for range 64 {
		seen, _, err = reader.Stamp(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, stamp, seen)
	replace(7000)
	require.ErrorIs(t, writer.Mutate(t.Context(), "a", set(nil)), kms.ErrKeyMaterial, "an older copy")
}

func TestLostLockFileIsNoticed(t *testing.T) {
	dir := newDir(t)
	d := open(t, dir)
	store(t, d, "a", "one")
	require.NoError(t, os.Remove(lockPath(dir)))
	stable := true
	for range 64 {
		var err error
		_, stable, err = d.Stamp(t.Context())
		require.NoError(t, err)
	}
	require.False(t, stable)
	require.Equal(t, "one", content(t, d, "a"))
	store(t, d, "a", "two")
	_, stable, err := d.Stamp(t.Context())
	require.NoError(t, err)
	require.True(t, stable)
}

// What a writer has left that was killed between two steps.
func TestUnfinishedChangeIsSettled(t *testing.T) {
	tests := []struct {
		name   string
		lock   []byte
		stable bool
	}{
		{"odd counter", dirtyBytes(1001), false},
		{"odd counter, clean", lockBytes(1001), false},
		{"torn counter", lockBytesOf(1000, ^uint64(1002), 0), false},
		{"huge counter", lockBytes(math.MaxUint64 - 1), false},
		{"short file", lockBytes(1000)[:9], false},
		{"empty file", nil, false},
		{"temporary files", dirtyBytes(1000), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := newDir(t)
			store(t, open(t, dir), "a", "one")
			litter := func() {
				for _, name := range []string{".objectkms-new-ABCDEFGHIJKLMNOPQRSTUVWX27", "keys/.objectkms-new-ABCDEFGHIJKLMNOPQRSTUVWX27", "keys/.objectkms-old-ABCDEFGHIJKLMNOPQRSTUVWX27"} {
					require.NoError(t, os.WriteFile(dir+"/"+name, []byte("half"), 0o600))
				}
				writeLock(t, dir, tt.lock)
			}
			litter()
			tp := &tape{}
			d := openTaped(t, dir, tp, keydir.Options{})
			_, stable, err := d.Stamp(t.Context())
			require.NoError(t, err)
			require.Equal(t, tt.stable, stable)
			require.Equal(t, "one", content(t, d, "a"))
			if !tt.stable {
				require.Subset(t, tp.calls, []string{"lock lock", "sync keys/.", "sync ."}, "what is left must be durable before it is believed")
				require.Empty(t, strays(t, dir))
			}
			_, stable, err = d.Stamp(t.Context())
			require.NoError(t, err)
			require.True(t, stable)

			litter()
			d = open(t, dir)
			store(t, d, "b", "x")
			require.Empty(t, strays(t, dir))
			require.Greater(t, generation(t, d), uint64(1002))

			litter()
			require.NoError(t, open(t, dir).Recover(t.Context()))
			require.Empty(t, strays(t, dir))
		})
	}
}

func TestSweepThatFailsIsRepeated(t *testing.T) {
	dir, tp := newDir(t), &tape{}
	d := openTaped(t, dir, tp, keydir.Options{})
	tp.reset(func(_ int, call string) error {
		if strings.HasPrefix(call, "remove") {
			return syscall.EIO
		}
		return nil
	})
	store(t, d, "a", "one")
	store(t, d, "a", "two")
	require.Len(t, strays(t, dir), 2)
	tp.reset(nil)
	store(t, d, "b", "one")
	require.Empty(t, strays(t, dir))
	require.Equal(t, "two", content(t, d, "a"))
}

func TestLitterOfOthersIsNotForgotten(t *testing.T) {
	dir, tp := newDir(t), &tape{}
	d := openTaped(t, dir, tp, keydir.Options{})
	for _, litter := range []string{dir + "/keys/.objectkms-old-ABCDEFGHIJKLMNOPQRSTUVWX27", dir + "/.objectkms-new-ABCDEFGHIJKLMNOPQRSTUVWX27"} {
		require.NoError(t, os.WriteFile(litter, nil, 0o600))
		writeLock(t, dir, dirtyBytes(generation(t, d)))
		failed := false
		tp.reset(func(_ int, call string) error {
			if strings.HasPrefix(call, "remove") && !failed {
				failed = true
				return syscall.EIO
			}
			return nil
		})
		store(t, d, "a", "one")
		require.Len(t, strays(t, dir), 1)
		store(t, d, "a", "two")
		require.Empty(t, strays(t, dir))
	}
}

func TestLitterThatAReaderCannotRemoveIsNotForgotten(t *testing.T) {
	dir, tp := newDir(t), &tape{}
	d := openTaped(t, dir, tp, keydir.Options{})
	require.NoError(t, os.WriteFile(dir+"/keys/.objectkms-new-ABCDEFGHIJKLMNOPQRSTUVWX27", nil, 0o600))
	writeLock(t, dir, dirtyBytes(generation(t, d)+1))
	tp.reset(func(_ int, call string) error {
		if strings.HasPrefix(call, "remove") {
			return syscall.EIO
		}
		return nil
	})
	require.Empty(t, content(t, d, "a"))
	tp.reset(nil)
	store(t, d, "a", "one")
	require.Empty(t, strays(t, dir))
}

func TestRecoverOfAnOrderlyDirectoryOnlyReads(t *testing.T) {
	dir, tp := newDir(t), &tape{}
	store(t, open(t, dir), "a", "one")
	before, err := os.ReadFile(lockPath(dir))
	require.NoError(t, err)
	d := openTaped(t, dir, tp, keydir.Options{})
	tp.reset(nil)
	require.NoError(t, d.Recover(t.Context()))
	require.Empty(t, tp.changes())
	require.NotContains(t, tp.calls, "lock lock")
	after, err := os.ReadFile(lockPath(dir))
	require.NoError(t, err)
	require.Equal(t, before, after)
	// After a power cut the lock file may know of nothing.
	require.NoError(t, os.WriteFile(dir+"/keys/.objectkms-old-ABCDEFGHIJKLMNOPQRSTUVWX27", nil, 0o600))
	require.NoError(t, d.Recover(t.Context()))
	require.Empty(t, strays(t, dir))
}

func FuzzLockFile(f *testing.F) {
	for _, seed := range [][]byte{nil, lockBytes(0), lockBytes(1001), dirtyBytes(1000), lockBytes(math.MaxUint64), bytes.Repeat([]byte{0xff}, 40)} {
		f.Add(seed)
	}
	const last = 1 << 62 // of all counters, which no clock comes near
	for before := range uint64(6) {
		f.Add(lockBytes(last - before))
		f.Add(dirtyBytes(last - before))
	}
	f.Add(lockBytes(last + 2))
	dir := newDir(f)
	store(f, open(f, dir), "a", "one")
	f.Fuzz(func(t *testing.T, lock []byte) {
		writeLock(t, dir, lock)
		d := open(t, dir)
		defer d.Close()
		require.Equal(t, "one", content(t, d, "a"))
		store(t, d, "a", "one")
		_, stable, err := d.Stamp(t.Context())
		require.NoError(t, err)
		// Behind the last counter the reads are right still, but each waits for the lock: nothing is remembered.
		require.Equal(t, !passes(lock, last), stable)
		require.Equal(t, "one", content(t, d, "a"))
	})
}

// passes reports whether a read and a change pass the last counter that there is, with the one of a lock file that is whole: an odd one becomes even
// first, which takes three more.
func passes(lock []byte, last uint64) bool {
	if len(lock) < 17 {
		return false
	}
	counter := binary.BigEndian.Uint64(lock)
	if binary.BigEndian.Uint64(lock[8:]) != ^counter || counter > last {
		return false
	}
	if counter%2 == 1 {
		counter += 3
	}
	return counter+2 > last
}
