//go:build unix

package crash_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/destruction/internal/history"
)

// roleVariable makes the test binary a child process of a test, which gets its job on the standard input.
const roleVariable = "CRASH_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "worker":
		exit(work())
	case "suicide":
		exit(dieAtACall())
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(ctx context.Context, role string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}

// A job is what a worker is told: to take random steps until it is killed.
type job struct {
	Dir   history.Disk
	Owner history.Owner
	Seed  uint64
	State history.State
}

// An event is what a worker says: each in one line, written at once.
type event struct {
	Try     *history.Step   `json:",omitempty"` // it is going to take a step
	Done    *history.Sealed `json:",omitempty"` // it has taken it
	Refused bool            `json:",omitempty"` // it was refused, as somebody else has changed the root key
}

func work() error {
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		return err
	}
	ctx, rng := context.Background(), rand.New(rand.NewPCG(j.Seed, uint64(j.Owner)))
	say := json.NewEncoder(os.Stdout).Encode
	hands, err := history.NewHands(ctx, j.Dir, j.Owner, j.State.Root)
	if err != nil {
		return err
	}
	for {
		st := j.State.Next(rng, j.Owner)
		if err := say(event{Try: &st}); err != nil {
			return err
		}
		sealed, err := hands.Do(ctx, st)
		answer := event{Done: &sealed}
		if errors.Is(err, kms.ErrKeyMaterial) {
			answer = event{Refused: true}
			err = hands.Reopen(ctx)
		} else {
			j.State = j.State.After(st, j.Owner)
		}
		if err != nil {
			return fmt.Errorf("%v: %w", st, err)
		}
		if err := say(answer); err != nil {
			return err
		}
	}
}
