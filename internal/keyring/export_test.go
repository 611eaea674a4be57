package keyring

import (
	"bytes"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/secret"
)

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

// SealBundle returns a bundle of any content, sealed under a key.
func SealBundle(key *kms.Secret, content []byte) ([]byte, error) {
	s, err := newBundleSecret(key, nil)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = s.write(&b, content)
	return b.Bytes(), err
}

// OpenBundle returns the content of a bundle.
func OpenBundle(key *kms.Secret, bundle []byte) ([]byte, error) {
	s, err := newBundleSecret(key, nil)
	if err != nil {
		return nil, err
	}
	return s.read(bytes.NewReader(bundle))
}

// ParseContent reads the content of a bundle, and returns how many keys and materials it has, and the same content written anew.
func ParseContent(content []byte) (keys, materials int, again []byte, err error) {
	m, bundled, err := parseContent(content)
	if err != nil {
		return 0, 0, nil, err
	}
	again, err = newContent(m)
	for _, key := range bundled {
		materials += len(key.materials)
		for _, material := range key.materials {
			again = append(again, material...)
		}
	}
	return len(bundled), materials, again, err
}

// CutHead reads the first line of a bundle, and returns it written anew.
func CutHead(raw []byte) (again, message []byte, err error) {
	spec, message, err := cutHead(raw)
	if err != nil {
		return nil, nil, err
	}
	return renderHead(spec), message, nil
}
