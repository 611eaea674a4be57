package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/objectkms/kms"
)

// checkedRecords is how many records CheckRoot tries.
const checkedRecords = 100

// CheckRoot returns ErrKeyMaterial where a store has records and none of the first hundred opens under the root key of
// the Ring: it is then the root key of another store, under which no new key may be sealed beside the old ones. A record that the store
// may not or cannot read says nothing about the root key. It changes nothing.
func CheckRoot(ctx context.Context, r *Ring) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.calls.Done()
	ids, err := r.list(ctx, "", checkedRecords)
	if err != nil {
		return err
	}
	var refused error
	for _, id := range ids {
		_, err := r.load(ctx, id)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, kms.ErrKeyNotFound), errors.Is(err, kms.ErrPermission), errors.Is(err, ErrUnreadable):
		case errors.Is(err, kms.ErrKeyMaterial):
			refused = err
		default:
			return err
		}
	}
	if refused != nil {
		return fmt.Errorf("no record opens under this root key, or all that were tried are damaged: %w", refused)
	}
	return nil
}
