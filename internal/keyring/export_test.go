package keyring

import "github.com/objectkms/kms/internal/secret"

// FreeRoot takes the root key away, so that nothing can be unsealed any more.
func FreeRoot(r *Ring) { r.keys.arena.Free(r.keys.root) }

// FreeOpenKeys frees the slots of all open versions behind the cache's back.
func FreeOpenKeys(r *Ring) {
	for _, e := range r.keys.slots.entries {
		r.keys.arena.Free(e.Value.(lruEntry[openKey, secret.Slot]).value)
	}
}

// RememberAgain opens every open version once more, as calls do that miss it at the same time.
func RememberAgain(r *Ring) {
	for name := range r.keys.slots.entries {
		slot, _ := r.keys.slots.get(name)
		var key []byte
		r.keys.arena.Use(slot, func(k []byte) { key = append(key, k...) })
		r.keys.remember(name, key)
	}
}

// ArenaErr returns the error of using the root key.
func ArenaErr(r *Ring) error { return r.keys.arena.Use(r.keys.root, func([]byte) {}) }

// OpenKeys returns how many versions are open.
func OpenKeys(r *Ring) int { return len(r.keys.slots.entries) }

// CachedRecords returns how many records are kept decoded.
func CachedRecords(r *Ring) int { return len(r.records.entries) }
