//go:build linux

package linear_test

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/objectkms/kms"
)

// The operations of a history. A rewrap is written down as the two that it consists of.
const (
	opCreate   = "create"
	opDescribe = "describe"
	opRotate   = "rotate"
	opDisable  = "disable"
	opEnable   = "enable"
	opSchedule = "schedule"
	opCancel   = "cancel"
	opDelete   = "delete"
	opSweep    = "sweep"
	opEncrypt  = "encrypt"
	opDecrypt  = "decrypt"
	opCurrent  = "current" // a rewrap has answered that there is nothing to do
)

// An event is one operation on one key: what was asked, when it began and ended, and what was answered.
type event struct {
	Client int
	Op     string
	Key    string
	Blob   string `json:",omitempty"` // the ciphertext that was given, or made
	Call   int64
	Return int64
	answer
}

// An answer holds what the model says about an operation.
type answer struct {
	Err     string       `json:",omitempty"` // a name of outcomes
	State   kms.KeyState `json:",omitempty"`
	Version uint32       `json:",omitempty"`
	Date    int64        `json:",omitempty"` // of the deletion, in seconds
	Removed bool         `json:",omitempty"` // by a sweep
}

func (e event) String() string {
	return fmt.Sprintf("client %d, %d to %d: %s", e.Client, e.Call, e.Return, e.text())
}

func (e event) text() string {
	text := e.Op
	if e.Blob != "" {
		text += " " + e.Blob
	}
	switch {
	case e.Err != "":
		return text + ": " + e.Err
	case e.Op == opSweep:
		return fmt.Sprintf("%s: removed %t", text, e.Removed)
	case e.State != "":
		text += fmt.Sprintf(": %s", e.State)
	}
	if e.Version != 0 {
		text += fmt.Sprintf(" v%d", e.Version)
	}
	if e.Date != 0 {
		text += fmt.Sprintf(" until %d", e.Date)
	}
	return text
}

// The errors that an operation may answer, by the names that events have for them.
var outcomes = map[string]error{
	"not found": kms.ErrKeyNotFound,
	"exists":    kms.ErrKeyExists,
	"disabled":  kms.ErrKeyDisabled,
	"pending":   kms.ErrKeyPendingDeletion,
	"decrypt":   kms.ErrDecrypt,
	"invalid":   kms.ErrInvalidRequest,
}

// outcome names an error. One that no operation may answer is an error here, too.
func outcome(err error) (string, error) {
	if err == nil {
		return "", nil
	}
	for name, target := range outcomes {
		if errors.Is(err, target) {
			return name, nil
		}
	}
	return "", err
}

// now reads the monotonic clock of the machine, which is the same for all processes.
func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}
