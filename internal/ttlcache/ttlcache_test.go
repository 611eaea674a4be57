package ttlcache_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/ttlcache"
)

// watched is a cache and what has left it.
type watched struct {
	*ttlcache.Cache[string, int]
	mu   sync.Mutex
	gone []string
}

func newWatched(max int, ttl time.Duration) *watched {
	w := &watched{}
	w.Cache = ttlcache.New(max, ttl, func(k string, v int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.gone = append(w.gone, fmt.Sprint(k, "=", v))
	})
	return w
}

// left returns what has left since it was called last.
func (w *watched) left() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	gone := w.gone
	w.gone = nil
	return gone
}

func (w *watched) put(k string, v int) bool { return w.PutSince(w.Mark(), k, v) }

func (w *watched) get(k string) (v int, ok bool) {
	ok = w.View(k, func(held int) { v = held })
	return v, ok
}

func TestTheEntryUsedLongestAgoLeavesFirst(t *testing.T) {
	c := newWatched(2, time.Hour)
	require.True(t, c.put("a", 1))
	require.True(t, c.put("b", 2))
	_, ok := c.get("a")
	require.True(t, ok)
	require.True(t, c.put("c", 3))
	require.Equal(t, []string{"b=2"}, c.left())
	require.Equal(t, 2, c.Len())
	v, ok := c.get("a")
	require.True(t, ok)
	require.Equal(t, 1, v)
	_, ok = c.get("b")
	require.False(t, ok)
	require.Equal(t, ttlcache.Stats{Hits: 2, Misses: 1, Evictions: 1}, c.Stats())
}

func TestWhoeverWasUsedIsPassedOverOnce(t *testing.T) {
	c := newWatched(3, time.Hour)
	for i, k := range []string{"a", "b", "c"} {
		c.put(k, i)
		c.get(k)
	}
	c.put("d", 3)
	require.Equal(t, []string{"a=0"}, c.left(), "all were used: the oldest leaves")
	c.get("b")
	c.put("e", 4)
	require.Equal(t, []string{"c=2"}, c.left(), "b was used since, and d is new")
}

func TestSeveralSeeAValueAtOnce(t *testing.T) {
	c := newWatched(2, time.Hour)
	c.put("a", 1)
	first, second := make(chan bool), make(chan bool)
	go c.View("a", func(int) { close(first); <-second })
	<-first
	require.True(t, c.View("a", func(int) { close(second) }))
}

func TestWhoChangesAValueIsAlone(t *testing.T) {
	c := ttlcache.New[string, *int](2, time.Hour, nil)
	c.PutSince(c.Mark(), "a", new(int))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				c.Change("a", func(v *int) { *v++ })
				c.Recheck("a", func(v *int) { _ = *v })
			}
		})
	}
	wg.Wait()
	var got int
	require.True(t, c.Change("a", func(v *int) { got = *v }))
	require.Equal(t, 8*500, got)
	require.False(t, c.Change("b", func(*int) { t.Error("seen") }))
	require.Equal(t, ttlcache.Stats{}, c.Stats(), "it counts nothing")
}

func TestNothingIsChangedAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWatched(2, time.Minute)
		c.put("a", 1)
		time.Sleep(time.Minute - 1)
		require.True(t, c.Change("a", func(int) {}))
		ttlcache.StopTimer(c.Cache)
		time.Sleep(time.Nanosecond)
		require.False(t, c.Change("a", func(int) { t.Error("seen") }))
	})
}

func TestACallerMayCountByItself(t *testing.T) {
	c := newWatched(2, time.Hour)
	c.Count(true)
	c.Count(true)
	c.Count(false)
	require.Equal(t, ttlcache.Stats{Hits: 2, Misses: 1}, c.Stats())
}

func TestARecheckCountsNothing(t *testing.T) {
	c := newWatched(2, time.Hour)
	require.False(t, c.Recheck("a", func(int) { t.Error("seen") }))
	c.put("a", 1)
	var v int
	require.True(t, c.Recheck("a", func(held int) { v = held }))
	require.Equal(t, 1, v)
	require.Equal(t, ttlcache.Stats{}, c.Stats())
}

func TestAReplacedValueLeaves(t *testing.T) {
	c := newWatched(3, time.Hour)
	c.put("a", 1)
	c.put("b", 2)
	c.put("a", 3)
	require.Equal(t, []string{"a=1"}, c.left())
	v, _ := c.get("a")
	require.Equal(t, 3, v)
	require.Equal(t, 2, c.Len())
}

func TestEntriesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWatched(10, time.Minute)
		c.put("a", 1)
		time.Sleep(time.Minute - 1)
		_, ok := c.get("a")
		require.True(t, ok, "use does not matter, only age")
		time.Sleep(time.Nanosecond)
		_, ok = c.get("a")
		require.False(t, ok)
		synctest.Wait()
		require.Equal(t, []string{"a=1"}, c.left())
		require.Zero(t, c.Len())
	})
}

func TestEntriesLeaveACacheThatNobodyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWatched(10, time.Minute)
		for round := range 2 {
			c.put("a", 1)
			time.Sleep(time.Second)
			c.put("b", 2)
			c.put("a", 3)
			time.Sleep(time.Minute - 1)
			synctest.Wait()
			require.Equal(t, []string{"a=1"}, c.left(), "round %d", round)
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			require.ElementsMatch(t, []string{"b=2", "a=3"}, c.left(), "round %d", round)
		}
		for i, k := range []string{"a", "b", "c"} {
			c.put(k, i)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute - 3*time.Second)
		for _, want := range []string{"a=0", "b=1", "c=2"} {
			synctest.Wait()
			require.Equal(t, []string{want}, c.left(), "each at its own time")
			time.Sleep(time.Second)
		}
	})
}

func TestNothingIsFoundAfterItsTimeHoweverLateTheTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWatched(2, time.Minute)
		c.put("a", 1)
		c.put("b", 2)
		ttlcache.StopTimer(c.Cache)
		time.Sleep(time.Minute)
		_, ok := c.get("a")
		require.False(t, ok)
		require.Equal(t, []string{"a=1"}, c.left())
		c.put("c", 3)
		require.Equal(t, []string{"b=2"}, c.left())
	})
}

func TestTheTimerOfAnEmptyCacheIsStopped(t *testing.T) {
	c := newWatched(10, time.Hour)
	c.put("a", 1)
	c.put("b", 2)
	c.Delete("a")
	require.True(t, ttlcache.StopTimer(c.Cache))
	c.Clear()
	c.put("a", 1)
	c.Delete("a")
	require.False(t, ttlcache.StopTimer(c.Cache))
	c.put("a", 1)
	c.Clear()
	require.False(t, ttlcache.StopTimer(c.Cache))
	c.put("a", 1)
	require.True(t, ttlcache.StopTimer(c.Cache))
}

func TestAnInsertionRemovesAllThatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWatched(10, time.Minute)
		c.put("a", 1)
		c.put("b", 2)
		time.Sleep(time.Second)
		c.put("c", 3)
		c.get("a")
		time.Sleep(time.Minute - time.Second)
		c.put("d", 4)
		synctest.Wait()
		require.ElementsMatch(t, []string{"a=1", "b=2"}, c.left())
		require.Equal(t, 2, c.Len())
	})
}

func TestALoadFromBeforeADeletionIsNotStored(t *testing.T) {
	deletions := map[string]func(*watched){
		"Delete":            func(c *watched) { c.Delete("a") },
		"Delete of another": func(c *watched) { c.Delete("other") },
		"DeleteFunc":        func(c *watched) { c.DeleteFunc(func(string, int) bool { return false }) },
		"Clear":             func(c *watched) { c.Clear() },
	}
	for name, forget := range deletions {
		t.Run(name, func(t *testing.T) {
			c := newWatched(10, time.Hour)
			mark := c.Mark()
			forget(c)
			require.False(t, c.PutSince(mark, "a", 1))
			require.Equal(t, []string{"a=1"}, c.left())
			require.Zero(t, c.Len())
			require.True(t, c.put("a", 2))
		})
	}
}

func TestAPutDoesNotSpoilAMark(t *testing.T) {
	c := newWatched(10, time.Hour)
	mark := c.Mark()
	require.True(t, c.PutSince(mark, "a", 1))
	require.True(t, c.PutSince(mark, "b", 2))
}

func TestDeletions(t *testing.T) {
	c := newWatched(10, time.Hour)
	for i, k := range []string{"a", "b", "c", "d"} {
		c.put(k, i)
	}
	c.Delete("a")
	c.Delete("a")
	require.Equal(t, []string{"a=0"}, c.left())
	c.DeleteFunc(func(k string, v int) bool { return k == "b" || v == 2 })
	require.ElementsMatch(t, []string{"b=1", "c=2"}, c.left())
	c.Clear()
	require.Equal(t, []string{"d=3"}, c.left())
	require.Zero(t, c.Len())
	require.True(t, c.put("a", 1))
}

func TestACacheOfNothingCachesNothing(t *testing.T) {
	tests := []struct {
		max int
		ttl time.Duration
	}{{0, time.Hour}, {-1, time.Hour}, {1, 0}, {1, -1}}
	for _, tt := range tests {
		c := newWatched(tt.max, tt.ttl)
		require.False(t, c.put("a", 1))
		require.Equal(t, []string{"a=1"}, c.left())
		_, ok := c.get("a")
		require.False(t, ok)
		require.Zero(t, c.Len())
	}
}

func TestEvictedMayBeNil(t *testing.T) {
	c := ttlcache.New[int, int](1, time.Hour, nil)
	for i := range 3 {
		require.True(t, c.PutSince(c.Mark(), i, i))
	}
	require.Equal(t, 1, c.Len())
}

func TestAValueNeverLeavesWhileItIsViewed(t *testing.T) {
	c := ttlcache.New(4, time.Hour, func(_ int, v []byte) { clear(v) })
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				k := (g + i) % 16
				c.PutSince(c.Mark(), k, []byte{byte(k + 1)})
				c.View(k, func(v []byte) { require.Equal(t, byte(k+1), v[0]) })
				if i%100 == 0 {
					c.Delete(k)
				}
			}
		})
	}
	wg.Wait()
}

// Several find the same entry late, while another one takes its place.
func TestAnEntryLeavesOnceWhoeverFindsItLate(t *testing.T) {
	var put, left atomic.Int64
	c := ttlcache.New(4, time.Nanosecond, func(string, int) { left.Add(1) })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				c.View("a", func(int) {})
				put.Add(1)
				c.PutSince(c.Mark(), "a", 1)
			}
		})
	}
	wg.Wait()
	c.Clear()
	require.Equal(t, put.Load(), left.Load())
}

func BenchmarkView(b *testing.B) {
	c := ttlcache.New[int, int](1000, time.Hour, nil)
	for i := range 1000 {
		c.PutSince(0, i, i)
	}
	for i := 0; b.Loop(); i++ {
		c.View(i%1000, func(int) {})
	}
}
