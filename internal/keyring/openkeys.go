package keyring

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
	"github.com/objectkms/kms/internal/erase"
	"github.com/objectkms/kms/internal/secret"
)

// openKeys holds the root key, and the versions used last, in the clear in one arena.
type openKeys struct {
	arena *secret.Arena
	root  secret.Slot
	slots *lru[openKey, secret.Slot]
}

// An openKey names a version by its sealed form too, so that a key which was deleted and made
// again under its old id is another one.
type openKey struct {
	keyID   string
	version uint32
	sealed  [sealedSize]byte
}

func (o *openKeys) open(root []byte, opts Options) (err error) {
	if o.arena, err = secret.NewArena(opts.Slots, opts.Memory); err != nil {
		return err
	}
	if o.root, err = o.arena.Put(root); err != nil {
		o.arena.Close()
		return err
	}
	o.slots = newLRU[openKey, secret.Slot](opts.Slots)
	return nil
}

// seal seals msg under the root key.
func (o *openKeys) seal(context, msg []byte) (sealed []byte, err error) {
	useErr := o.arena.Use(o.root, func(key []byte) {
		sealed, err = cobblestone.Seal(nil, key, context, msg)
	})
	return sealed, cmp.Or(useErr, err)
}

// unseal opens what seal sealed. The error is ErrKeyMaterial where it does not open.
func (o *openKeys) unseal(context, sealed []byte) (msg []byte, err error) {
	useErr := o.arena.Use(o.root, func(key []byte) {
		msg, err = cobblestone.Open(nil, key, context, sealed)
	})
	if errors.Is(err, cobblestone.ErrOpen) {
		err = fmt.Errorf("%w: it does not open under this root key", kms.ErrKeyMaterial)
	}
	return msg, cmp.Or(useErr, err)
}

// newVersion returns a version with the material sealed. The material stays the caller's.
func (o *openKeys) newVersion(id string, number uint32, material []byte) (version, error) {
	sealed, err := o.seal(encctx.Bind(nil, "master-key", []byte(id), encctx.Uint32(number)), material)
	return version{Version: number, Created: now(), Sealed: sealed}, err
}

// randomMaterial returns the material of a new version, which the caller wipes.
func randomMaterial() []byte {
	material := make([]byte, cobblestone.KeySize)
	erase.After(func() { rand.Read(material) })
	return material
}

// use runs use with the material of a version, which must not be kept.
func (o *openKeys) use(id string, v *version, use func(key []byte)) error {
	name := openKey{id, v.Version, [sealedSize]byte(v.Sealed)}
	if slot, ok := o.slots.get(name); ok {
		// Where another call has just freed the slot, the sealed form is opened again.
		if o.arena.Use(slot, use) == nil {
			return nil
		}
	}
	context := encctx.Bind(nil, "master-key", []byte(id), encctx.Uint32(v.Version))
	var err error
	erase.After(func() {
		var key []byte
		if key, err = o.unseal(context, v.Sealed); err == nil {
			defer clear(key)
			o.remember(name, key)
			use(key)
		}
	})
	return err
}

// remember puts an opened key into the arena, for which the one used longest ago may have to
// leave. A key that finds no place is opened again when it is used.
func (o *openKeys) remember(name openKey, key []byte) {
	slot, err := o.arena.Put(key)
	if errors.Is(err, secret.ErrFull) {
		if oldest, ok := o.slots.removeOldest(); ok {
			o.arena.Free(oldest)
		}
		slot, err = o.arena.Put(key)
	}
	if err != nil {
		return
	}
	for _, left := range o.slots.put(name, slot, 1) {
		o.arena.Free(left)
	}
}

// forget wipes the open versions of a record.
func (o *openKeys) forget(rec *record) {
	for _, v := range rec.Versions {
		if slot, ok := o.slots.remove(openKey{rec.ID, v.Version, [sealedSize]byte(v.Sealed)}); ok {
			o.arena.Free(slot)
		}
	}
}
