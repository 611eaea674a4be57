package keyring

import (
	"fmt"

	"github.com/objectkms/kms"
)

// RecordGeneration returns the generation that a stored record says it has, for a Store to compare with its own count. It is
// believed once the Ring has opened the seal over it. Errors wrap ErrKeyMaterial.
func RecordGeneration(raw []byte) (uint64, error) {
	text, _, err := cutRecord(raw)
	if err != nil {
		return 0, fmt.Errorf("%w: it %w", kms.ErrKeyMaterial, err)
	}
	rec, err := parseRecord(text)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", kms.ErrKeyMaterial, err)
	}
	return rec.Generation, nil
}
