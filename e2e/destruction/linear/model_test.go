//go:build linux

package linear_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/objectkms/kms"
)

// keyState is what the model knows of one key. The zero value is a key that does not exist.
type keyState struct {
	answer        // of a describe; Version 0: there is no such key
	opens  uint64 // the ciphertexts of this key, and not of an earlier one of its id, by number
}

// An input is an event with the number that the history gives to its ciphertext.
type input struct {
	event
	bit uint64
}

// model is one key, as it would be if all operations came one after the other.
var model = porcupine.Model{
	Partition: byKey,
	Init:      func() any { return keyState{} },
	Step: func(state, in, _ any) (bool, any) {
		return step(state.(keyState), in.(input))
	},
	DescribeOperation: func(in, _ any) string { return in.(input).text() },
	DescribeState: func(state any) string {
		s := state.(keyState)
		if s.Version == 0 {
			return "none"
		}
		return fmt.Sprintf("%s v%d, until %d, opens %b", s.State, s.Version, s.Date, s.opens)
	},
}

// step answers whether the event is right in a state, and the state after it.
func step(s keyState, in input) (bool, keyState) {
	wanted, next := s.do(in)
	return wanted == in.answer, next
}

// do is what an operation must answer, and the state after it. What nobody can foresee, the date of a deletion, it takes from the event.
func (s keyState) do(in input) (answer, keyState) {
	if in.Op == opCreate {
		return s.create()
	}
	if in.Op == opSweep {
		return s.sweep()
	}
	if s.Version == 0 {
		return answer{Err: "not found"}, s
	}
	switch in.Op {
	case opDescribe:
		return s.answer, s
	case opDelete:
		return answer{}, keyState{}
	case opCancel:
		if s.State != kms.KeyPendingDeletion {
			return answer{Err: "invalid"}, s
		}
		s.State, s.Date = kms.KeyDisabled, 0
		return s.answer, s
	case opDecrypt:
		if s.opens&in.bit == 0 {
			return answer{Err: "decrypt"}, s
		}
		return answer{Version: in.Version}, s // which versions there are is told by encrypt
	}
	return s.change(in)
}

func (s keyState) create() (answer, keyState) {
	if s.Version != 0 {
		return answer{Err: "exists"}, s
	}
	s.State, s.Version = kms.KeyEnabled, 1
	return s.answer, s
}

// sweep is always as of a time when every date has passed.
func (s keyState) sweep() (answer, keyState) {
	if s.State != kms.KeyPendingDeletion {
		return answer{}, s
	}
	return answer{Removed: true}, keyState{}
}

// change is the operations that a key which is pending deletion refuses, and some that a disabled one does.
func (s keyState) change(in input) (answer, keyState) {
	if s.State == kms.KeyPendingDeletion {
		return answer{Err: "pending"}, s
	}
	switch in.Op {
	case opEnable:
		s.State = kms.KeyEnabled
		return s.answer, s
	case opDisable:
		s.State = kms.KeyDisabled
		return s.answer, s
	case opSchedule:
		s.State, s.Date = kms.KeyPendingDeletion, in.Date
		return s.answer, s
	}
	if s.State == kms.KeyDisabled {
		return answer{Err: "disabled"}, s
	}
	switch in.Op {
	case opRotate:
		s.Version++
		return s.answer, s
	case opEncrypt:
		s.opens |= in.bit
		return answer{Version: s.Version}, s
	case opCurrent:
		return answer{Version: s.Version}, s
	}
	panic("no operation " + in.Op)
}

func byKey(history []porcupine.Operation) [][]porcupine.Operation {
	parts := make(map[string][]porcupine.Operation)
	for _, op := range history {
		key := op.Input.(input).Key
		parts[key] = append(parts[key], op)
	}
	return slices.Collect(maps.Values(parts))
}

// check asks the checker whether there is an order of the events that is right.
func check(events []event) (porcupine.CheckResult, porcupine.LinearizationInfo) {
	numbers := make(map[string]map[string]uint64) // by key, by ciphertext
	var history []porcupine.Operation
	for _, e := range events {
		in := input{event: e}
		if e.Blob != "" {
			in.bit = numberOf(numbers, e)
		}
		history = append(history, porcupine.Operation{ClientId: e.Client, Input: in, Output: in, Call: e.Call, Return: e.Return})
	}
	return porcupine.CheckOperationsVerbose(model, history, time.Minute)
}

func numberOf(numbers map[string]map[string]uint64, e event) uint64 {
	if numbers[e.Key] == nil {
		numbers[e.Key] = make(map[string]uint64)
	}
	blobs := numbers[e.Key]
	if _, ok := blobs[e.Blob]; !ok {
		if len(blobs) == 64 {
			panic("more than 64 ciphertexts of one key in one history")
		}
		blobs[e.Blob] = 1 << len(blobs)
	}
	return blobs[e.Blob]
}

// inOrder returns the events of one key by the time of their beginning, as text.
func inOrder(events []event, key string) (text string) {
	slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.Call, b.Call) })
	for _, e := range events {
		if e.Key == key {
			text += e.String() + "\n"
		}
	}
	return text
}
