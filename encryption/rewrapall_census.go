package encryption

import (
	"encoding/binary"
)

// KeyVersion is a version of a master key.
type KeyVersion struct {
	KeyID string
	// Version is 0 where it is not known: the wrapped data key is of a form of its backend's own.
	Version uint32
}

// Census counts objects by the version of the master key that wraps their data keys. SSE-C objects are in none. It tells at most 10,000 versions
// apart, and counts the objects of all others under the zero KeyVersion.
type Census map[KeyVersion]int

const maxCensus = 10_000

// MayUse returns how many objects are wrapped by this version of a key, or may be, since theirs is not known. If it is 0 in the census of all objects, the version is not needed any more.
// Versions are as the wrapped data keys tell them, which nobody has authenticated: an object that was tampered with is counted, but would not open.
func (c Census) MayUse(keyID string, version uint32) int {
	count := 0
	for v, n := range c {
		if v == (KeyVersion{}) || v.KeyID == keyID && (v.Version == version || v.Version == 0) {
			count += n
		}
	}
	return count
}

// add counts one object. Its envelope may be nil for none.
func (c Census) add(env *Envelope) {
	if env.Mode() == None || env.mode == SSEC {
		return
	}
	v := KeyVersion{env.keyID, env.keyVersion()}
	if _, known := c[v]; !known && len(c) >= maxCensus {
		v = KeyVersion{}
	}
	c[v]++
}

// What stands in a wrapped data key before its payload.
const (
	blobFormat  = 1
	blobMaxKind = 3
)

// keyVersion returns the version that wraps the data key, or 0 if that is not told.
func (e *Envelope) keyVersion() uint32 {
	c := cursor{rest: e.wrapped}
	format, kind := c.byte(), c.byte()
	keyID := c.take(int(c.byte()))
	version := c.take(4)
	if c.short || format != blobFormat || kind == 0 || kind > blobMaxKind || string(keyID) != e.keyID {
		return 0
	}
	return binary.BigEndian.Uint32(version)
}
