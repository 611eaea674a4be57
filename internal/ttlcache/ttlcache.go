// Package ttlcache implements a bounded cache whose entries expire.
package ttlcache

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"github.com/objectkms/kms/internal/stripe"
)

// Cache is a map of a bounded number of entries, of which one that was not used lately leaves first,
// and none is found after its time. It is safe for concurrent use, and those who only look do not wait for one another.
//
// Entries leave when their time has passed, also from a cache that nobody calls: a timer removes them. It runs while
// there are entries only, so that a cache that was cleared leaves nothing behind.
type Cache[K comparable, V any] struct {
	max     int
	ttl     time.Duration
	evicted func(K, V)

	// Who looks holds the lock of one stripe, and who changes something holds all of them.
	picker  stripe.Picker
	stripes stripe.Stripes[looking]

	entries   map[K]*entry[K, V]
	used      list.List // of *entry; from the back, the next one to leave is looked for
	aged      list.List // of *entry; the one put last is in front
	timer     *time.Timer
	evictions uint64
	mark      atomic.Uint64
}

// looking is the lock and the counts of those who look on one processor.
type looking struct {
	mu           sync.RWMutex
	hits, misses atomic.Uint64
}

type entry[K comparable, V any] struct {
	key     K
	value   V
	expires time.Time
	wanted  atomic.Bool   // since it was last looked at by who looks for one to remove
	use     *list.Element // in used
	age     *list.Element // in aged
}

// Stats counts what a cache did. Evictions counts every value that left, for whatever reason.
type Stats struct {
	Hits, Misses, Evictions uint64
}

// New returns a cache of at most max entries, each for the time ttl. With a max or a ttl of 0 or less it
// caches nothing. evicted, if not nil, is called once for every value that leaves, for whatever
// reason, so that it can wipe the value. It runs under the cache's lock and must not call the
// cache.
func New[K comparable, V any](max int, ttl time.Duration, evicted func(K, V)) *Cache[K, V] {
	if evicted == nil {
		evicted = func(K, V) {}
	}
	return &Cache[K, V]{max: max, ttl: ttl, evicted: evicted, entries: make(map[K]*entry[K, V])}
}

func (c *Cache[K, V]) lock() {
	for i := range stripe.Count {
		c.stripes.At(i).mu.Lock()
	}
}

func (c *Cache[K, V]) unlock() {
	for i := range stripe.Count {
		c.stripes.At(i).mu.Unlock()
	}
}

func (c *Cache[K, V]) stripe() *looking { return c.stripes.At(c.picker.Pick()) }

// View calls see with the value of k and returns true, or returns false where there is none. The value cannot leave
// while it is seen, but others may see it at the same time. see must not call the cache.
func (c *Cache[K, V]) View(k K, see func(V)) bool {
	s := c.stripe()
	found := c.view(s, k, see)
	s.count(found)
	return found
}

// Recheck is View for a load that is about to begin after a miss, and for who decides himself what a hit is: it counts
// neither a hit nor a miss.
func (c *Cache[K, V]) Recheck(k K, see func(V)) bool { return c.view(c.stripe(), k, see) }

// Count counts a hit or a miss.
func (c *Cache[K, V]) Count(hit bool) { c.stripe().count(hit) }

func (s *looking) count(hit bool) {
	if hit {
		s.hits.Add(1)
	} else {
		s.misses.Add(1)
	}
}

func (c *Cache[K, V]) view(s *looking, k K, see func(V)) bool {
	s.mu.RLock()
	e, ok := c.entries[k]
	if ok && e.fresh(time.Now()) {
		defer s.mu.RUnlock()
		e.want()
		see(e.value)
		return true
	}
	s.mu.RUnlock()
	if ok {
		c.removeLate(e)
	}
	return false
}

// Change is Recheck for a see that changes the value: nobody else sees it meanwhile.
func (c *Cache[K, V]) Change(k K, see func(V)) bool {
	c.lock()
	defer c.unlock()
	e, ok := c.entries[k]
	if !ok || !e.fresh(time.Now()) {
		return false
	}
	e.want()
	see(e.value)
	return true
}

func (e *entry[K, V]) fresh(now time.Time) bool { return now.Before(e.expires) }

// want writes only where that says something new: what many read is better not written.
func (e *entry[K, V]) want() {
	if !e.wanted.Load() {
		e.wanted.Store(true)
	}
}

// Mark returns a mark for PutSince. The mark changes whenever something is deleted or cleared.
func (c *Cache[K, V]) Mark() uint64 { return c.mark.Load() }

// PutSince stores v under k and returns true. Where anything was deleted or cleared since the
// mark, what was loaded may be out of date: then v is evicted at once and PutSince returns false.
func (c *Cache[K, V]) PutSince(mark uint64, k K, v V) bool {
	c.lock()
	defer c.unlock()
	if mark != c.mark.Load() || c.max <= 0 || c.ttl <= 0 {
		c.leave(k, v)
		return false
	}
	now := time.Now()
	c.removeExpired(now)
	if e, ok := c.entries[k]; ok {
		c.remove(e)
	} else if len(c.entries) >= c.max {
		c.remove(c.leastWanted())
	}
	e := &entry[K, V]{key: k, value: v, expires: now.Add(c.ttl)}
	e.use, e.age = c.used.PushFront(e), c.aged.PushFront(e)
	c.entries[k] = e
	if len(c.entries) == 1 {
		c.setTimer()
	}
	return true
}

// leastWanted returns the entry that is to make room. Who was wanted since the last search is passed over once.
func (c *Cache[K, V]) leastWanted() *entry[K, V] {
	for range c.entries {
		e := entryOf[K, V](c.used.Back())
		if !e.wanted.Swap(false) {
			return e
		}
		c.used.MoveToFront(e.use)
	}
	return entryOf[K, V](c.used.Back())
}

// Delete removes the entry of k.
func (c *Cache[K, V]) Delete(k K) {
	c.lock()
	defer c.unlock()
	c.mark.Add(1)
	if e, ok := c.entries[k]; ok {
		c.remove(e)
	}
	c.stopTimer()
}

// DeleteFunc removes the entries for which del returns true. del runs under the cache's lock and must not call
// the cache.
func (c *Cache[K, V]) DeleteFunc(del func(K, V) bool) {
	c.lock()
	defer c.unlock()
	c.mark.Add(1)
	for at := c.used.Front(); at != nil; {
		e := entryOf[K, V](at)
		at = at.Next()
		if del(e.key, e.value) {
			c.remove(e)
		}
	}
	c.stopTimer()
}

// Clear removes every entry.
func (c *Cache[K, V]) Clear() {
	c.DeleteFunc(func(K, V) bool { return true })
}

// Len returns the number of entries.
func (c *Cache[K, V]) Len() int {
	c.lock()
	defer c.unlock()
	return len(c.entries)
}

// Stats returns what the cache did since it was made.
func (c *Cache[K, V]) Stats() Stats {
	c.lock()
	defer c.unlock()
	stats := Stats{Evictions: c.evictions}
	for i := range stripe.Count {
		stats.Hits += c.stripes.At(i).hits.Load()
		stats.Misses += c.stripes.At(i).misses.Load()
	}
	return stats
}

func entryOf[K comparable, V any](e *list.Element) *entry[K, V] { return e.Value.(*entry[K, V]) }

// sweep is what the timer calls.
func (c *Cache[K, V]) sweep() {
	c.lock()
	defer c.unlock()
	c.removeExpired(time.Now())
	if len(c.entries) > 0 {
		c.setTimer()
	}
}

// setTimer sets the timer to the end of the oldest entry.
func (c *Cache[K, V]) setTimer() {
	wait := time.Until(entryOf[K, V](c.aged.Back()).expires)
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, c.sweep)
		return
	}
	c.timer.Reset(wait)
}

// stopTimer stops the timer of a cache that has become empty.
func (c *Cache[K, V]) stopTimer() {
	if len(c.entries) == 0 && c.timer != nil {
		c.timer.Stop()
	}
}

// removeExpired removes the entries whose time has passed. All have the same TTL, so the oldest go first.
func (c *Cache[K, V]) removeExpired(now time.Time) {
	for at := c.aged.Back(); at != nil; at = c.aged.Back() {
		e := entryOf[K, V](at)
		if e.fresh(now) {
			return
		}
		c.remove(e)
	}
}

// removeLate removes an entry whose time has passed, unless somebody else has.
func (c *Cache[K, V]) removeLate(e *entry[K, V]) {
	c.lock()
	defer c.unlock()
	if c.entries[e.key] == e {
		c.remove(e)
	}
}

func (c *Cache[K, V]) remove(e *entry[K, V]) {
	c.used.Remove(e.use)
	c.aged.Remove(e.age)
	delete(c.entries, e.key)
	c.leave(e.key, e.value)
}

func (c *Cache[K, V]) leave(k K, v V) {
	c.evictions++
	c.evicted(k, v)
}
