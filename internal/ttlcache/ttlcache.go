// Package ttlcache implements a bounded cache whose entries expire.
package ttlcache

import (
	"container/list"
	"sync"
	"time"
)

// Cache is a map of a bounded number of entries, of which the one used longest ago leaves first,
// and none is found after its time. It is safe for concurrent use.
//
// Entries leave when their time has passed, also from a cache that nobody calls: a timer removes them. It runs while
// there are entries only, so that a cache that was cleared leaves nothing behind.
type Cache[K comparable, V any] struct {
	max     int
	ttl     time.Duration
	evicted func(K, V)

	mu      sync.Mutex
	entries map[K]*list.Element
	used    list.List // of *entry; the one used last is in front
	aged    list.List // of *list.Element in used; the one put last is in front
	timer   *time.Timer
	mark    uint64
	stats   Stats
}

type entry[K comparable, V any] struct {
	key     K
	value   V
	expires time.Time
	age     *list.Element
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
	return &Cache[K, V]{max: max, ttl: ttl, evicted: evicted, entries: make(map[K]*list.Element)}
}

// View calls see with the value of k and returns true, or returns false where there is none. see
// runs under the cache's lock, so that the value cannot leave meanwhile; it must not call the cache.
func (c *Cache[K, V]) View(k K, see func(V)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.view(k, see) {
		c.stats.Misses++
		return false
	}
	c.stats.Hits++
	return true
}

// Recheck is View for a load that is about to begin after a miss: it counts neither a hit nor a miss.
func (c *Cache[K, V]) Recheck(k K, see func(V)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view(k, see)
}

func (c *Cache[K, V]) view(k K, see func(V)) bool {
	e, ok := c.entries[k]
	if !ok {
		return false
	}
	if !time.Now().Before(entryOf[K, V](e).expires) {
		c.remove(e)
		return false
	}
	c.used.MoveToFront(e)
	see(entryOf[K, V](e).value)
	return true
}

// Mark returns a mark for PutSince. The mark changes whenever something is deleted or cleared.
func (c *Cache[K, V]) Mark() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mark
}

// PutSince stores v under k and returns true. Where anything was deleted or cleared since the
// mark, what was loaded may be out of date: then v is evicted at once and PutSince returns false.
func (c *Cache[K, V]) PutSince(mark uint64, k K, v V) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if mark != c.mark || c.max <= 0 || c.ttl <= 0 {
		c.leave(k, v)
		return false
	}
	now := time.Now()
	c.removeExpired(now)
	if e, ok := c.entries[k]; ok {
		c.remove(e)
	} else if len(c.entries) >= c.max {
		c.remove(c.used.Back())
	}
	put := &entry[K, V]{key: k, value: v, expires: now.Add(c.ttl)}
	e := c.used.PushFront(put)
	put.age = c.aged.PushFront(e)
	c.entries[k] = e
	if len(c.entries) == 1 {
		c.setTimer()
	}
	return true
}

// Delete removes the entry of k.
func (c *Cache[K, V]) Delete(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mark++
	if e, ok := c.entries[k]; ok {
		c.remove(e)
	}
	c.stopTimer()
}

// DeleteFunc removes the entries for which del returns true. del runs under the cache's lock and must not call
// the cache.
func (c *Cache[K, V]) DeleteFunc(del func(K, V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mark++
	for _, e := range c.entries {
		if held := entryOf[K, V](e); del(held.key, held.value) {
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
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

// Stats returns what the cache did since it was made.
func (c *Cache[K, V]) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

func entryOf[K comparable, V any](e *list.Element) *entry[K, V] { return e.Value.(*entry[K, V]) }

// sweep is what the timer calls.
func (c *Cache[K, V]) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeExpired(time.Now())
	if len(c.entries) > 0 {
		c.setTimer()
	}
}

// setTimer sets the timer to the end of the oldest entry.
func (c *Cache[K, V]) setTimer() {
	wait := time.Until(entryOf[K, V](c.aged.Back().Value.(*list.Element)).expires)
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
	for age := c.aged.Back(); age != nil; age = c.aged.Back() {
		e := age.Value.(*list.Element)
		if now.Before(entryOf[K, V](e).expires) {
			return
		}
		c.remove(e)
	}
}

func (c *Cache[K, V]) remove(e *list.Element) {
	held := entryOf[K, V](e)
	c.used.Remove(e)
	c.aged.Remove(held.age)
	delete(c.entries, held.key)
	c.leave(held.key, held.value)
}

func (c *Cache[K, V]) leave(k K, v V) {
	c.stats.Evictions++
	c.evicted(k, v)
}
