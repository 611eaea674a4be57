//go:build linux

package linear_test

import (
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

var (
	enabled  = answer{State: kms.KeyEnabled, Version: 1}
	disabled = answer{State: kms.KeyDisabled, Version: 1}
	pending  = answer{State: kms.KeyPendingDeletion, Version: 1, Date: 70}
)

func rotated(a answer) answer {
	a.Version++
	return a
}

// sequence gives events, which have no times, one time after the other.
func sequence(events ...event) []event {
	for i := range events {
		events[i].Key, events[i].Call, events[i].Return = "k", int64(10*i), int64(10*i+5)
	}
	return events
}

func do(op string, a answer) event              { return event{Op: op, answer: a} }
func with(op, blob string, a answer) event      { return event{Op: op, Blob: blob, answer: a} }
func refused(op, err string) event              { return do(op, answer{Err: err}) }
func after(first event, more ...event) []event  { return sequence(append([]event{first}, more...)...) }
func created(more ...event) []event             { return after(do(opCreate, enabled), more...) }
func overlapping(events []event, i int) []event { events[i].Return = events[i+1].Return; return events }
func opened(blob string, version uint32) event {
	return with(opDecrypt, blob, answer{Version: version})
}
func sealed(blob string, version uint32) event {
	return with(opEncrypt, blob, answer{Version: version})
}
func unopened(blob string) event { return with(opDecrypt, blob, answer{Err: "decrypt"}) }

// Each rule has a history that keeps it, and one that breaks it.
func TestTheModelTellsRightFromWrong(t *testing.T) {
	tests := []struct {
		name  string
		right []event
		wrong []event
	}{
		{"a key is made once", created(refused(opCreate, "exists")), created(do(opCreate, enabled))},
		{"nothing is there before", after(refused(opDescribe, "not found")), after(do(opDescribe, enabled))},
		{"a rotation is seen", created(do(opRotate, rotated(enabled)), do(opDescribe, rotated(enabled))), created(do(opRotate, rotated(enabled)), do(opDescribe, enabled))},
		{"a disabling is seen", created(do(opDisable, disabled), refused(opEncrypt, "disabled")), created(do(opDisable, disabled), sealed("x", 1))},
		{"an enabling is seen", created(do(opDisable, disabled), do(opEnable, enabled), sealed("x", 1)), created(do(opDisable, disabled), do(opEnable, enabled), refused(opEncrypt, "disabled"))},
		{"a schedule is seen", created(do(opSchedule, pending), refused(opRotate, "pending")), created(do(opSchedule, pending), do(opRotate, rotated(enabled)))},
		{"a date is seen", created(do(opSchedule, pending), do(opDescribe, pending)), created(do(opSchedule, pending), do(opDescribe, answer{State: kms.KeyPendingDeletion, Version: 1, Date: 71}))},
		{"cancel leaves it disabled", created(do(opSchedule, pending), do(opCancel, disabled)), created(do(opSchedule, pending), do(opCancel, enabled))},
		{"cancel needs a schedule", created(refused(opCancel, "invalid")), created(do(opCancel, disabled))},
		{"a deleted key is gone", created(do(opDelete, answer{}), refused(opDescribe, "not found")), created(do(opDelete, answer{}), do(opDescribe, enabled))},
		{"a sweep takes what is due", created(do(opSchedule, pending), do(opSweep, answer{Removed: true})), created(do(opSchedule, pending), do(opSweep, answer{}))},
		{"a sweep leaves the rest", created(do(opSweep, answer{})), created(do(opSweep, answer{Removed: true}))},
		{"a cancelled one stays", created(do(opSchedule, pending), do(opCancel, disabled), do(opSweep, answer{})), created(do(opSchedule, pending), do(opCancel, disabled), do(opSweep, answer{Removed: true}))},
		{"a ciphertext opens", created(sealed("x", 1), opened("x", 1)), created(sealed("x", 1), unopened("x"))},
		{"it opens after a rotation", created(sealed("x", 1), do(opRotate, rotated(enabled)), opened("x", 1)), created(sealed("x", 1), do(opRotate, rotated(enabled)), unopened("x"))},
		{"it opens under its own key only", created(sealed("x", 1), do(opDelete, answer{}), do(opCreate, enabled), unopened("x")), created(sealed("x", 1), do(opDelete, answer{}), do(opCreate, enabled), opened("x", 1))},
		{"the newest version wraps", created(do(opRotate, rotated(enabled)), sealed("x", 2)), created(do(opRotate, rotated(enabled)), sealed("x", 1))},
		{"a rewrap sees the newest version", created(with(opCurrent, "x", answer{Version: 1})), created(do(opRotate, rotated(enabled)), with(opCurrent, "x", answer{Version: 1}))},
		{"what overlaps has either order", overlapping(created(do(opRotate, rotated(enabled)), do(opDescribe, enabled)), 1), created(do(opRotate, rotated(enabled)), do(opDescribe, enabled))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			result, _ := check(tt.right)
			require.Equal(t, porcupine.Ok, result, "%v", tt.right)
			result, _ = check(tt.wrong)
			require.Equal(t, porcupine.Illegal, result, "%v", tt.wrong)
		})
	}
}
