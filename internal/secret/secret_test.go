package secret_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/secret"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, secret.KeySize) }

func newArena(t *testing.T, slots int, p secret.Policy) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(slots, p)
	require.NoError(t, err)
	t.Cleanup(a.Close)
	return a
}

func read(t *testing.T, a *secret.Arena, s secret.Slot) []byte {
	t.Helper()
	var got []byte
	require.NoError(t, a.Use(s, func(key []byte) { got = bytes.Clone(key) }))
	return got
}

// policies runs a test with locked and with ordinary memory.
func policies(t *testing.T, test func(t *testing.T, p secret.Policy)) {
	for name, p := range map[string]secret.Policy{"locked": secret.Locked, "plain": secret.Plain} {
		t.Run(name, func(t *testing.T) { test(t, p) })
	}
}

func TestKeysAreKeptApart(t *testing.T) {
	policies(t, func(t *testing.T, p secret.Policy) {
		a := newArena(t, 3, p)
		var slots []secret.Slot
		for i := range 3 {
			own := key(byte(i + 1))
			s, err := a.Put(own)
			require.NoError(t, err)
			clear(own)
			slots = append(slots, s)
		}
		for i, s := range slots {
			require.Equal(t, key(byte(i+1)), read(t, a, s))
		}
		require.Equal(t, p == secret.Locked, a.Locked())
	})
}

func TestAFullArenaSaysSo(t *testing.T) {
	policies(t, func(t *testing.T, p secret.Policy) {
		a := newArena(t, 1, p)
		first, err := a.Put(key(1))
		require.NoError(t, err)
		_, err = a.Put(key(2))
		require.ErrorIs(t, err, secret.ErrFull)
		require.Equal(t, key(1), read(t, a, first))
		a.Free(first)
		_, err = a.Put(key(2))
		require.NoError(t, err)
	})
}

func TestAFreedSlotIsNeverAnotherKey(t *testing.T) {
	policies(t, func(t *testing.T, p secret.Policy) {
		a := newArena(t, 1, p)
		first, err := a.Put(key(1))
		require.NoError(t, err)
		a.Free(first)
		require.ErrorIs(t, a.Use(first, func([]byte) { t.Error("used") }), secret.ErrStale)
		second, err := a.Put(key(2))
		require.NoError(t, err)
		require.ErrorIs(t, a.Use(first, func([]byte) { t.Error("used") }), secret.ErrStale)
		a.Free(first)
		require.Equal(t, key(2), read(t, a, second), "an old slot must not free the new key")
	})
}

func TestAForeignSlotIsRefused(t *testing.T) {
	a, b := newArena(t, 1, secret.Plain), newArena(t, 1, secret.Plain)
	ofA, err := a.Put(key(1))
	require.NoError(t, err)
	_, err = b.Put(key(2))
	require.NoError(t, err)
	require.ErrorIs(t, b.Use(ofA, func([]byte) { t.Error("used") }), secret.ErrStale)
	require.ErrorIs(t, b.Use(secret.Slot{}, func([]byte) { t.Error("used") }), secret.ErrStale)
	b.Free(ofA)
	b.Free(secret.Slot{})
}

func TestKeysHaveOneSize(t *testing.T) {
	a := newArena(t, 1, secret.Plain)
	for _, n := range []int{0, 31, 33} {
		_, err := a.Put(make([]byte, n))
		require.ErrorContains(t, err, "want 32")
	}
}

func TestArenasHaveSlots(t *testing.T) {
	for _, n := range []int{-1, 0, 1<<20 + 1} {
		_, err := secret.NewArena(n, secret.Plain)
		require.ErrorContains(t, err, "slots, want")
	}
}

func TestWipe(t *testing.T) {
	b := key(7)
	secret.Wipe(b[1:31])
	require.Equal(t, append(append([]byte{7}, make([]byte, 30)...), 7), b)
	secret.Wipe(nil)
}

func TestAPanicOfAUserLeavesTheArenaUsable(t *testing.T) {
	a := newArena(t, 1, secret.Plain)
	s, err := a.Put(key(7))
	require.NoError(t, err)
	require.PanicsWithValue(t, "bug", func() { a.Use(s, func([]byte) { panic("bug") }) })
	a.Free(s)
	require.ErrorIs(t, a.Use(s, func([]byte) {}), secret.ErrStale)
}

func TestAKeyIsNotLongerThanItsSlot(t *testing.T) {
	a := newArena(t, 2, secret.Plain)
	s, err := a.Put(key(7))
	require.NoError(t, err)
	require.NoError(t, a.Use(s, func(key []byte) {
		require.Len(t, key, secret.KeySize)
		require.Equal(t, secret.KeySize, cap(key), "an append must not reach the next key")
	}))
}

func TestCloseWaitsForThoseWhoUseAKey(t *testing.T) {
	policies(t, func(t *testing.T, p secret.Policy) {
		a := newArena(t, 1, p)
		s, err := a.Put(key(7))
		require.NoError(t, err)
		using := make(chan bool)
		var wg sync.WaitGroup
		wg.Go(func() {
			<-using
			a.Close()
		})
		require.NoError(t, a.Use(s, func(got []byte) {
			using <- true
			for range 1000 {
				require.Equal(t, key(7), got)
			}
		}))
		wg.Wait()
		require.ErrorIs(t, a.Use(s, func([]byte) {}), secret.ErrClosed)
	})
}

func TestFreeWipes(t *testing.T) {
	policies(t, func(t *testing.T, p secret.Policy) {
		a := newArena(t, 2, p)
		s, err := a.Put(key(7))
		require.NoError(t, err)
		require.True(t, bytes.Contains(secret.Memory(a), key(7)))
		a.Free(s)
		require.False(t, bytes.Contains(secret.Memory(a), key(7)))
	})
}

func TestCloseWipesAndRefuses(t *testing.T) {
	a, err := secret.NewArena(2, secret.Plain)
	require.NoError(t, err)
	s, err := a.Put(key(7))
	require.NoError(t, err)
	mem := secret.Memory(a)
	a.Close()
	a.Close()
	require.Equal(t, make([]byte, len(mem)), mem)
	require.ErrorIs(t, a.Use(s, func([]byte) { t.Error("used") }), secret.ErrClosed)
	_, err = a.Put(key(1))
	require.ErrorIs(t, err, secret.ErrClosed)
	a.Free(s)
}

func TestALockedArenaIsGoneAfterClose(t *testing.T) {
	a := newArena(t, 2, secret.Locked)
	s, err := a.Put(key(7))
	require.NoError(t, err)
	a.Close()
	require.ErrorIs(t, a.Use(s, func([]byte) { t.Error("used") }), secret.ErrClosed)
	require.Nil(t, secret.Memory(a))
}

func TestAKeyDoesNotChangeWhileItIsUsed(t *testing.T) {
	policies(t, func(t *testing.T, p secret.Policy) {
		a := newArena(t, 4, p)
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				want := key(byte(g + 1))
				for range 500 {
					s, err := a.Put(want)
					if err != nil {
						continue
					}
					if err := a.Use(s, func(got []byte) { require.Equal(t, want, got) }); err != nil {
						t.Error(err)
					}
					a.Free(s)
					require.Error(t, a.Use(s, func([]byte) {}))
				}
			})
		}
		wg.Wait()
	})
}

func BenchmarkNewArena(b *testing.B) {
	for b.Loop() {
		a, err := secret.NewArena(512, secret.Locked)
		if err != nil {
			b.Fatal(err)
		}
		a.Close()
	}
}

func BenchmarkUse(b *testing.B) {
	a, err := secret.NewArena(512, secret.Locked)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	s, _ := a.Put(key(1))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			a.Use(s, func([]byte) {})
		}
	})
}
