package keyring

import (
	"container/list"
	"sync"
)

// An lru is a map of bounded weight that drops the entries whose last use is longest ago. It is safe
// for concurrent use.
type lru[K comparable, V any] struct {
	max int

	mu      sync.Mutex
	weight  int       // of all entries
	order   list.List // of lruEntry; the one used last is in front
	entries map[K]*list.Element
}

type lruEntry[K comparable, V any] struct {
	key    K
	value  V
	weight int
}

func newLRU[K comparable, V any](max int) *lru[K, V] {
	return &lru[K, V]{max: max, entries: make(map[K]*list.Element)}
}

func (c *lru[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(e)
	return e.Value.(lruEntry[K, V]).value, true
}

// put stores the value and returns those that had to leave for it: an earlier one of the key, and
// the ones used longest ago. The entry stored last stays, whatever its weight.
func (c *lru[K, V]) put(key K, value V, weight int) (left []V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, replaced := c.entries[key]; replaced {
		left = append(left, c.removeElement(e))
	}
	for c.weight+weight > c.max && len(c.entries) > 0 {
		left = append(left, c.removeElement(c.order.Back()))
	}
	c.entries[key] = c.order.PushFront(lruEntry[K, V]{key, value, weight})
	c.weight += weight
	return left
}

func (c *lru[K, V]) remove(key K) (left V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, present := c.entries[key]; present {
		return c.removeElement(e), true
	}
	return left, false
}

// removeOldest drops the entry used longest ago.
func (c *lru[K, V]) removeOldest() (left V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.order.Back(); e != nil {
		return c.removeElement(e), true
	}
	return left, false
}

func (c *lru[K, V]) removeElement(e *list.Element) V {
	entry := c.order.Remove(e).(lruEntry[K, V])
	delete(c.entries, entry.key)
	c.weight -= entry.weight
	return entry.value
}
