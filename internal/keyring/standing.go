package keyring

import (
	"fmt"
	"sync"
	"time"

	"github.com/objectkms/kms"
)

// A Standing is what a record says of the use of its key. The rules for it are the same wherever keys are kept.
type Standing struct {
	State    kms.KeyState
	Deletion time.Time
}

// Check checks that the state is one that there is, and that it has a date of deletion where it wants one.
func (s Standing) Check() error {
	switch {
	case s.State != kms.KeyEnabled && s.State != kms.KeyDisabled && s.State != kms.KeyPendingDeletion:
		return fmt.Errorf("state is %q", s.State)
	case (s.State == kms.KeyPendingDeletion) == s.Deletion.IsZero():
		return fmt.Errorf("state is %q, deletion date is %q", s.State, s.Deletion)
	}
	return nil
}

// Expired reports whether the key's deletion date is not after now.
func (s Standing) Expired(now time.Time) bool {
	return s.State == kms.KeyPendingDeletion && !s.Deletion.After(now)
}

// MustBeEnabled returns the error for what only an Enabled key does.
func (s Standing) MustBeEnabled() error {
	if s.State == kms.KeyDisabled {
		return kms.ErrKeyDisabled
	}
	return s.MustStay()
}

// MustStay returns the error for what a key does unless it is pending deletion.
func (s Standing) MustStay() error {
	if s.State == kms.KeyPendingDeletion {
		return fmt.Errorf("%w on %s", kms.ErrKeyPendingDeletion, s.Deletion.Format(time.RFC3339))
	}
	return nil
}

// Generations remembers the highest generation seen of each id, also of deleted ones. Ids that
// were never stored are not in it, so that requests cannot make it grow. Its zero value is ready for use.
type Generations struct {
	mu   sync.Mutex
	seen map[string]uint64
}

// Least returns the generation that a record of id must have at least. It is asked before
// the record is read: of a record that is replaced meanwhile, the older one is a right answer too.
func (g *Generations) Least(id string) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen[id]
}

// Note remembers a generation that was seen.
func (g *Generations) Note(id string, generation uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen == nil {
		g.seen = make(map[string]uint64)
	}
	g.seen[id] = max(g.seen[id], generation)
}
