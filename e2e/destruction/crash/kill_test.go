//go:build unix

package crash_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/destruction/internal/history"
)

func rounds() int {
	switch {
	case os.Getenv("KMS_LONG") == "1":
		return 10_000
	case testing.Short():
		return 60
	}
	return 1000
}

// A tally counts what the kills have met, so that a test that has met nothing is seen.
type tally struct {
	Acknowledged int // steps
	Pending      int // steps that were cut off
	Done         int // of those, how many were done all the same
	Litter       int // rounds after which temporary files lay about
	Refused      int // steps that met a change of the root key
	Early        int // processes that were killed before they said anything
}

// One directory lives through all rounds. In each, one process or several change it until they are killed.
func TestProcessesKilledAtAnyMomentLoseNothing(t *testing.T) {
	dir, record, met := history.NewDisk(t), history.NewRecord(), tally{}
	start := time.Now()
	for round := range rounds() {
		record.Sample = 200
		if round%100 == 99 || round == rounds()-1 {
			record.Sample = 0
		}
		owners := 1
		if rand.IntN(3) == 0 {
			owners = 2 + rand.IntN(2)
		}
		runRound(t, round, dir, record, &met, owners)
	}
	t.Logf("%d rounds in %.0f s: %+v, %d sealed texts", rounds(), time.Since(start).Seconds(), met, record.Blobs())
	require.Positive(t, met.Acknowledged)
	if testing.Short() {
		return // few rounds need not meet everything
	}
	for what, n := range map[string]int{
		"cut off": met.Pending, "done": met.Done, "not done": met.Pending - met.Done, "littered": met.Litter, "early": met.Early,
	} {
		require.Positive(t, n, what)
	}
}

func runRound(t *testing.T, round int, dir history.Disk, record *history.Record, met *tally, owners int) {
	t.Helper()
	workers := make([]worker, owners)
	var wg sync.WaitGroup
	for i := range workers {
		w := &workers[i]
		w.job = job{dir, history.Owner(i), rand.Uint64(), record.State}
		wg.Go(func() { w.err = w.run(t.Context()) })
	}
	wg.Wait()
	pending := map[history.Owner]history.Step{}
	for _, w := range workers {
		require.NoError(t, w.err, "round %d", round)
		require.NoError(t, w.replay(record, pending, met), "round %d", round)
	}
	if dir.Litter() > 0 {
		met.Litter++
	}
	before := record.State
	require.NoError(t, record.Find(t.Context(), dir, pending), "round %d", round)
	require.NoError(t, dir.CheckFiles(record.State), "round %d", round)
	met.count(before, record.State, pending)
}

// count counts the steps that were cut off and would be seen if they were done, and those that are.
func (m *tally) count(before, after history.State, pending map[history.Owner]history.Step) {
	for _, st := range pending {
		if st.Kind == history.Seal || st.Kind == history.Export {
			continue
		}
		m.Pending++
		if len(pending) == 1 && !before.Equal(after) {
			m.Done++
		}
	}
}

// A worker is a process that is killed.
type worker struct {
	job    job
	events []event
	err    error
}

// run lets the process work, and kills it within the step after some random one, or before it has said anything.
func (w *worker) run(ctx context.Context) error {
	input, err := json.Marshal(w.job)
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd := child(ctx, "worker")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines, longest := bufio.NewReader(out), 2*time.Millisecond
	err = w.read(lines, rand.IntN(30))
	if len(w.events) == 0 {
		longest = 20 * time.Millisecond // it is starting
	}
	<-time.After(rand.N(longest))
	killErr := cmd.Process.Kill()
	if err == nil {
		err = w.read(lines, -1)
	}
	waitErr := cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("the process ended by itself: %w %w: %s", waitErr, killErr, stderr.String())
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// read reads n events, or all where n is negative.
func (w *worker) read(lines *bufio.Reader, n int) error {
	for ; n != 0; n-- {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		w.events = append(w.events, e)
	}
	return nil
}

// replay records what the process was answered, and the step that it was not.
func (w *worker) replay(record *history.Record, pending map[history.Owner]history.Step, met *tally) error {
	if len(w.events) == 0 {
		met.Early++
	}
	for _, e := range w.events {
		st := pending[w.job.Owner]
		switch {
		case e.Try != nil:
			pending[w.job.Owner] = *e.Try
			continue
		case e.Refused:
			met.Refused++
		default:
			met.Acknowledged++
			if err := record.Acknowledge(w.job.Owner, st, *e.Done); err != nil {
				return err
			}
		}
		delete(pending, w.job.Owner)
	}
	return nil
}
