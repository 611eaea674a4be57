// Package history makes random changes of a key directory, and knows what must be found in it after a crash.
//
// A [State] says what a directory holds. A [Step] is one call that changes it. [Hands] make the calls, and a [Record] keeps what
// was answered, and compares it with what is found.
package history

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/objectkms/kms"
)

// A Kind is what a step does.
type Kind string

// The kinds of steps: every way to change a key directory, and Seal and Export, which only read.
const (
	Create   Kind = "create"
	Import   Kind = "import" // one key, of the owner's material
	Rotate   Kind = "rotate"
	Disable  Kind = "disable"
	Enable   Kind = "enable"
	Describe Kind = "describe"
	Tag      Kind = "tag"
	Untag    Kind = "untag"
	Schedule Kind = "schedule"
	Cancel   Kind = "cancel"
	Erase    Kind = "erase" // a deletion at once
	Sweep    Kind = "sweep" // of the owner's keys that are pending deletion
	Seal     Kind = "seal"
	Export   Kind = "export"  // of the owner's keys
	Restore  Kind = "restore" // the import of what was exported
	Reroot   Kind = "reroot"  // a change of the root key
)

// Changes returns all kinds that change a directory.
func Changes() []Kind {
	return []Kind{Create, Import, Rotate, Disable, Enable, Describe, Tag, Untag, Schedule, Cancel, Erase, Sweep, Restore, Reroot}
}

// A Step is one call.
type Step struct {
	Kind Kind
	Key  string `json:",omitempty"` // the key that it is about
	Text string `json:",omitempty"` // the description, or the value of the tag
}

// An Owner is whoever takes steps. Several may work in one directory at once: each on keys of his own, and one of them on what
// all share.
type Owner int

// master is the owner who sweeps and changes the root key.
const master Owner = 0

const (
	keysEach    = 5
	maxVersions = 8
)

// keys returns the ids of the owner's keys. The first one is never deleted.
func (o Owner) keys() []string {
	ids := make([]string, keysEach)
	for i := range ids {
		ids[i] = fmt.Sprintf("owner-%d-key-%d", o, i)
	}
	return ids
}

func (o Owner) owns(id string) bool { return slices.Contains(o.keys(), id) }

// elder reports whether the key is one that is never deleted.
func (o Owner) elder(id string) bool { return id == o.keys()[0] }

// window is how many days a key waits for its deletion. A sweep of the master must not meet the keys of others.
func (o Owner) window() int {
	if o == master {
		return shortestWindow
	}
	return longestWindow
}

const shortestWindow, longestWindow = 7, 30

// Next returns a step that the owner can take in a state.
func (s *State) Next(r *rand.Rand, o Owner) Step {
	kinds := append(Changes(), Create, Import, Rotate, Rotate, Seal, Seal, Seal, Enable, Cancel, Export)
	for {
		ids := o.keys()
		step := Step{Kind: kinds[r.IntN(len(kinds))], Key: ids[r.IntN(len(ids))], Text: fmt.Sprint(r.IntN(1000))}
		if s.possible(step, o) {
			return step.normal()
		}
	}
}

// normal leaves out what the kind does not need.
func (st Step) normal() Step {
	switch st.Kind {
	case Sweep, Export, Restore, Reroot:
		return Step{Kind: st.Kind}
	case Describe, Tag:
		return st
	}
	return Step{Kind: st.Kind, Key: st.Key}
}

// possible reports whether the step will be answered without an error, and changes something.
func (s *State) possible(st Step, o Owner) bool {
	key, present := s.Keys[st.Key]
	stays := present && key.State != kms.KeyPendingDeletion
	switch st.Kind {
	case Create, Import:
		return !present
	case Rotate:
		return key.State == kms.KeyEnabled && len(key.Lives) < maxVersions*s.patience(st.Key, o)
	case Disable, Seal:
		return key.State == kms.KeyEnabled
	case Enable:
		return key.State == kms.KeyDisabled
	case Describe:
		return stays && key.Description != st.Text
	case Tag:
		return stays && key.Tag != st.Text
	case Untag:
		return stays && key.Tag != ""
	case Schedule:
		return stays && !o.elder(st.Key)
	case Cancel:
		return key.State == kms.KeyPendingDeletion
	case Erase:
		return present && !o.elder(st.Key)
	case Sweep:
		return o == master && len(s.pending(o)) > 0
	case Restore:
		return len(s.missing(o)) > 0
	case Reroot:
		return o == master
	}
	return st.Kind == Export && len(s.owned(o)) > 0
}

// patience lets the elder have more versions than the others.
func (s *State) patience(id string, o Owner) int {
	if o.elder(id) {
		return 10
	}
	return 1
}
