package keyring

import (
	"fmt"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
	"github.com/objectkms/kms/internal/erase"
)

// Reseal returns a stored record of this Ring as it is stored under another root key, with another generation. Nothing else of it
// changes, and nothing is stored. The root key is the caller's.
func (r *Ring) Reseal(next Root, id string, raw []byte, generation uint64) (resealed []byte, err error) {
	erase.After(func() { resealed, err = r.reseal(next, id, raw, generation) })
	return resealed, err
}

func (r *Ring) reseal(next Root, id string, raw []byte, generation uint64) ([]byte, error) {
	rec, err := r.decode(id, raw)
	if err != nil {
		return nil, err
	}
	if err := checkNewGeneration(generation, rec.Generation); err != nil {
		return nil, err
	}
	resealed := *rec
	resealed.Root, resealed.Generation, resealed.Versions = next.Version, generation, nil
	seal := func(context, msg []byte) ([]byte, error) {
		sealed, err := cobblestone.Seal(nil, next.Key, context, msg)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", kms.ErrUnsupported, err)
		}
		return sealed, nil
	}
	for i := range rec.Versions {
		v := rec.Versions[i]
		material, err := r.material(rec, &v)
		if err != nil {
			return nil, err
		}
		v.Sealed, err = seal(encctx.Bind(nil, "master-key", []byte(id), encctx.Uint32(v.Version)), material)
		clear(material)
		if err != nil {
			return nil, err
		}
		resealed.Versions = append(resealed.Versions, v)
	}
	return resealed.encode(seal)
}
