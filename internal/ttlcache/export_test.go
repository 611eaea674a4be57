package ttlcache

// StopTimer stops the timer of a cache that has held something, and reports whether it was running.
func StopTimer[K comparable, V any](c *Cache[K, V]) bool { return c.timer.Stop() }
