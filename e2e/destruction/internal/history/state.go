package history

import (
	"maps"
	"slices"

	"github.com/objectkms/kms"
)

// A State is what a directory must hold.
type State struct {
	Root    int // the number of the root key that opens it
	Keys    map[string]Key
	Bundles map[Owner]map[string]Key // what each owner has exported last
	Lives   int                      // how many versions there have ever been
}

// A Key is what one key must be.
type Key struct {
	State       kms.KeyState
	Description string
	Tag         string
	// Lives has a number for the material of every version, which no other material has ever had.
	Lives []int
}

// NewState returns the state of an empty directory.
func NewState() State { return State{Keys: map[string]Key{}, Bundles: map[Owner]map[string]Key{}} }

// After returns the state that a step leads to.
func (s State) After(st Step, o Owner) State {
	s.Keys, s.Bundles = maps.Clone(s.Keys), maps.Clone(s.Bundles)
	switch st.Kind {
	case Sweep:
		for _, id := range s.pending(o) {
			delete(s.Keys, id)
		}
	case Export:
		s.Bundles[o] = s.owned(o)
	case Restore:
		for _, id := range s.missing(o) {
			s.Keys[id] = s.Bundles[o][id]
		}
	case Reroot:
		s.Root = 1 - s.Root
	case Erase:
		delete(s.Keys, st.Key)
	case Seal:
	default:
		s.change(st)
	}
	return s
}

// outcomes returns the states that a step which was cut off may have led to, but for the one before it. A sweep removes one key
// after the other; every other step is done at once.
func (s State) outcomes(st Step, o Owner) []State {
	if st.Kind != Sweep {
		return []State{s.After(st, o)}
	}
	states := []State{s}
	for _, id := range s.pending(o) {
		for _, some := range states {
			states = append(states, some.After(Step{Kind: Erase, Key: id}, o))
		}
	}
	return states[1:]
}

// change changes one key.
func (s *State) change(st Step) {
	key := s.Keys[st.Key]
	switch st.Kind {
	case Create, Import, Rotate:
		s.Lives++
		key.State, key.Lives = kms.KeyEnabled, append(slices.Clone(key.Lives), s.Lives)
	case Disable, Cancel:
		key.State = kms.KeyDisabled
	case Enable:
		key.State = kms.KeyEnabled
	case Describe:
		key.Description = st.Text
	case Tag:
		key.Tag = st.Text
	case Untag:
		key.Tag = ""
	case Schedule:
		key.State = kms.KeyPendingDeletion
	}
	s.Keys[st.Key] = key
}

func (s *State) owned(o Owner) map[string]Key {
	owned := maps.Clone(s.Keys)
	maps.DeleteFunc(owned, func(id string, _ Key) bool { return !o.owns(id) })
	return owned
}

// pending returns the ids of the owner's keys that a sweep removes.
func (s *State) pending(o Owner) (ids []string) {
	for id, key := range s.owned(o) {
		if key.State == kms.KeyPendingDeletion {
			ids = append(ids, id)
		}
	}
	return ids
}

// missing returns the ids of the keys that a restore brings back.
func (s *State) missing(o Owner) (ids []string) {
	for id := range s.Bundles[o] {
		if _, present := s.Keys[id]; !present {
			ids = append(ids, id)
		}
	}
	return ids
}

// version returns the version of a key that has the material, or 0.
func (s *State) version(id string, life int) int { return slices.Index(s.Keys[id].Lives, life) + 1 }

// Equal reports whether two states are the same for whoever opens the directory.
func (s State) Equal(other State) bool {
	return s.Root == other.Root && maps.Equal(s.seen(), other.seen())
}
