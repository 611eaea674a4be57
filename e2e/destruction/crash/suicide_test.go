//go:build unix

package crash_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/destruction/internal/history"
	"github.com/objectkms/kms/e2e/destruction/internal/overfs"
)

// A suicide is a process that takes one step, and kills itself at one of the calls to the file system that it takes. Where no step is
// given it dies while it opens the directory.
type suicide struct {
	Dir    history.Disk
	Root   int
	Step   *history.Step
	Bundle []byte
	Call   int // from 0
}

// dieAtACall is that process. A write at which it dies is half done.
func dieAtACall() error {
	var s suicide
	if err := json.NewDecoder(os.Stdin).Decode(&s); err != nil {
		return err
	}
	counting, left := false, s.Call
	dir := overfs.Directory{Disk: s.Dir, Watch: func(c overfs.Call, do func() error) error {
		if !counting {
			return do()
		}
		if left--; left >= 0 {
			return do()
		}
		if c.Part != nil {
			c.Part(len(c.Data) / 2)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return err
		}
		select {}
	}}
	if err := dir.Make(); err != nil {
		return err
	}
	counting = s.Step == nil
	hands, err := history.NewHands(context.Background(), dir, 0, s.Root)
	if err != nil || s.Step == nil {
		return err
	}
	hands.Bundle = s.Bundle
	counting = true
	_, err = hands.Do(context.Background(), *s.Step)
	return err
}

// run reports whether the process has died at its call, and not come to its end.
func (s suicide) run(t *testing.T) bool {
	t.Helper()
	input, err := json.Marshal(s)
	require.NoError(t, err)
	var stderr bytes.Buffer
	cmd := child(t.Context(), "suicide")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	if err = cmd.Run(); err == nil {
		return false
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok && status.Signal() == syscall.SIGKILL, "%v: %s", err, stderr.String())
	return true
}

// stride is how many calls are passed over between two deaths.
func stride() int {
	if testing.Short() {
		return 11
	}
	return 1
}

// A scene is a directory before the step, what must be in it, and what the process needs.
type scene struct {
	name   string
	dir    history.Disk
	record *history.Record
	suicide
}

func newScene(t *testing.T, kind history.Kind) scene {
	t.Helper()
	s := scene{name: string(kind), dir: history.NewDisk(t), record: history.NewRecord()}
	bundle, err := history.Stage(t.Context(), s.dir, s.record, kind)
	require.NoError(t, err)
	step := history.Act(kind)
	s.suicide = suicide{Step: &step, Bundle: bundle}
	return s
}

// die lets a process die at a call in a copy of the directory. It returns the copy.
func (s scene) die(t *testing.T, call int) (dir history.Disk, died bool) {
	t.Helper()
	dir = history.NewDisk(t)
	if s.dir != "" {
		require.NoError(t, s.dir.CopyTo(dir))
	}
	s.Dir, s.Call = dir, call
	return dir, s.run(t)
}

// all lets a process die at every call, and checks what it leaves. It returns how many deaths left the step undone, and done.
func (s scene) all(t *testing.T) (undone, done int) {
	t.Helper()
	for call := 0; ; call += stride() {
		dir, died := s.die(t, call)
		record := s.record.Clone()
		pending := map[history.Owner]history.Step{}
		if s.Step != nil && died {
			pending[0] = *s.Step
		} else if s.Step != nil {
			require.NoError(t, record.Acknowledge(0, *s.Step, history.Sealed{}))
		}
		require.NoError(t, record.Find(t.Context(), dir, pending), "%s, killed at call %d", s.name, call)
		require.NoError(t, dir.CheckFiles(record.State), "%s, killed at call %d", s.name, call)
		require.NoError(t, os.RemoveAll(filepath.Dir(string(dir))))
		if !died {
			return undone, done
		}
		if record.State.Equal(s.record.State) {
			undone++
		} else {
			done++
		}
	}
}

func TestAProcessThatDiesAtAnyCallHasTakenTheStepOrNot(t *testing.T) {
	start, deaths := time.Now(), 0
	for _, kind := range history.Changes() {
		t.Run(string(kind), func(t *testing.T) {
			undone, done := newScene(t, kind).all(t)
			deaths += undone + done
			t.Logf("%d deaths left the step undone, %d done", undone, done)
			require.Positive(t, undone)
			require.True(t, done > 0 || testing.Short())
		})
	}
	t.Logf("%d deaths in %.0f s", deaths, time.Since(start).Seconds())
}

func TestAProcessThatDiesWhileItSetsUpADirectoryLeavesAUsableOne(t *testing.T) {
	deaths, _ := scene{name: "set up", record: history.NewRecord()}.all(t)
	t.Logf("%d deaths", deaths)
	require.Greater(t, deaths*stride(), 30)
}

// Whoever opens the directory after a change of the root key was cut off finishes it, and may die over that too.
func TestAProcessThatDiesWhileItFinishesTheWorkOfADeadOne(t *testing.T) {
	first := newScene(t, history.Reroot)
	step, finishing := *first.Step, 0
	for call := 0; finishing < 3; call += 7 {
		dir, died := first.die(t, call)
		require.True(t, died, "no death has left a batch")
		if _, err := os.Lstat(filepath.Join(string(dir), "batch")); err != nil {
			continue
		}
		finishing++
		record := first.record.Clone()
		require.NoError(t, record.Acknowledge(0, step, history.Sealed{}), "the batch is there, so the step is done")
		second := scene{name: fmt.Sprintf("finishing what died at call %d", call), dir: dir, record: record, suicide: suicide{Root: record.State.Root}}
		deaths, _ := second.all(t)
		t.Logf("%s: %d deaths", second.name, deaths)
	}
}
