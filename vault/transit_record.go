package vault

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

// A keyRecord is what engine Transit keeps of a key in the KV engine: all that Transit itself has no place for.
//
// Its generation is the KV version that it is written as. A record read from another version was put there by somebody else.
type keyRecord struct {
	Format      int               `json:"format"`
	ID          string            `json:"id"`
	Phase       phase             `json:"phase,omitempty"`
	Name        string            `json:"transit"` // of the Transit key
	Derived     bool              `json:"derived"` // what the Transit key must be
	State       kms.KeyState      `json:"state"`
	Description string            `json:"description,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Created     time.Time         `json:"created"`
	Deletion    time.Time         `json:"deletion,omitzero"`
	Origin      kms.Origin        `json:"origin"`
	Generation  uint64            `json:"generation"`
}

// A phase is how far the making or the removal of a key has come, since that takes several requests. A key that is not ready does not exist for
// anybody.
type phase string

const (
	phaseReady    phase = ""
	phaseCreating phase = "creating" // the Transit key may be there or not, and nothing is wrapped by it
	phaseDeleting phase = "deleting" // the Transit key may still be there
	phaseDeleted  phase = "deleted"  // the Transit key is gone
)

const recordFormat = 1

// maxRecordSize is the largest size of a record in bytes: the longest description and tags, every byte of them escaped, take less than 170,000.
const maxRecordSize = 256 << 10

// parseKeyRecord reads the record of id from the KV version given. Errors wrap ErrKeyMaterial.
func parseKeyRecord(data []byte, id string, version uint64) (*keyRecord, error) {
	if len(data) > maxRecordSize {
		return nil, fmt.Errorf("%w: record of %s has %d bytes, want at most %d", kms.ErrKeyMaterial, id, len(data), maxRecordSize)
	}
	rec := new(keyRecord)
	err := decodeStrictly(data, rec)
	if err == nil {
		err = rec.check(id, version)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: record of %s: %.300s", kms.ErrKeyMaterial, id, err) // which may repeat all that was read
	}
	return rec, nil
}

func (rec *keyRecord) check(id string, version uint64) error {
	switch {
	case rec.Format != recordFormat:
		return fmt.Errorf("format is %d, want %d", rec.Format, recordFormat)
	case rec.ID != id:
		return fmt.Errorf("it is the record of %q", rec.ID)
	case rec.Generation != version:
		return fmt.Errorf("it has generation %d, but is version %d in Vault: somebody else has written it", rec.Generation, version)
	case rec.Phase != phaseReady && rec.Phase != phaseCreating && rec.Phase != phaseDeleting && rec.Phase != phaseDeleted:
		return fmt.Errorf("phase is %q", rec.Phase)
	case rec.Name != id && !isFreshName(rec.Name, id):
		return fmt.Errorf("its Transit key is %q", rec.Name)
	case rec.Origin != kms.OriginKMS && rec.Origin != kms.OriginExternal:
		return fmt.Errorf("origin is %q", rec.Origin)
	case rec.Created.IsZero():
		return errors.New("it has no time of creation")
	case !writable(rec.Created):
		return fmt.Errorf("it was created in the year %d, want 1 to %d", rec.Created.UTC().Year(), lastYear)
	}
	return rec.standing().Check()
}

// lastYear is the last one of which a deletion date can be reckoned that can still be written: JSON has four digits for a year.
const lastYear = 9998

func writable(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 1 && year <= lastYear
}

func (rec *keyRecord) standing() keyring.Standing {
	return keyring.Standing{State: rec.State, Deletion: rec.Deletion}
}

// clone returns a copy that may be changed.
func (rec *keyRecord) clone() *keyRecord {
	copied := *rec
	copied.Tags = maps.Clone(rec.Tags)
	return &copied
}

// A Transit key has the name of its id, as an operator expects, where it is the first one under the id. Any later one, and one whose id Transit
// does not take for a name, gets a name that was never used: a request of a slow process for a former key then never meets a later one.

// isTransitName reports whether Transit takes an id for a name: the last character is a letter, a digit or an underscore, and no two dots
// stand together.
func isTransitName(id string) bool {
	last := id[len(id)-1]
	return last != '.' && last != '-' && !strings.Contains(id, "..")
}

// freshName returns a name for a Transit key of id that was never used. No id begins with an underscore.
func freshName(id string) string { return freshPrefix(id) + randomHex(freshDigits/2) }

const freshDigits = 16

func freshPrefix(id string) string { return "_" + strings.ReplaceAll(id, "..", "__") + "_" }

// isFreshName reports whether freshName may have returned the name for id.
func isFreshName(name, id string) bool {
	digits, ok := strings.CutPrefix(name, freshPrefix(id))
	return ok && len(digits) == freshDigits && strings.Trim(digits, "0123456789abcdef") == ""
}
