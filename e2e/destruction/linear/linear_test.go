//go:build linux

package linear_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

const (
	children          = 3
	clients           = 3 // of each child
	clientOperations  = 14
	keysOfOneHistory  = 3
	staleRoundsAtMost = 30
	roundsOfADir      = 100 // histories on one directory, before the processes end and others begin with another
)

// rounds is how many histories are checked.
func rounds() int {
	switch {
	case testing.Short():
		return 10
	case os.Getenv("KMS_LONG") == "1":
		return 5000
	}
	return 150
}

// A process is a child that plays its part.
type process struct {
	orders  *json.Encoder
	answers *json.Decoder
}

// start starts a child, which ends with the test.
func start(t *testing.T, role, dir string) process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role+":"+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	return process{json.NewEncoder(in), json.NewDecoder(out)}
}

// history runs one short history on keys of its own, and returns what all have noted.
func history(t *testing.T, processes []process, round int) (events []event) {
	t.Helper()
	o := order{Round: round, Clients: clients, Operations: clientOperations}
	if round%2 == 1 {
		o.Watch, o.Clients, o.Operations = true, 1, 3*clientOperations
	}
	for k := range keysOfOneHistory {
		o.Keys = append(o.Keys, fmt.Sprintf("r%06d-%d", round, k))
	}
	for i, p := range processes {
		o.Child = i
		require.NoError(t, p.orders.Encode(o))
	}
	for _, p := range processes {
		var noted []event
		require.NoError(t, p.answers.Decode(&noted), "a child has failed, and said why")
		events = append(events, noted...)
	}
	return events
}

func TestProcessesSeeOneOrderOfAllOperations(t *testing.T) {
	counts, left := map[string]int{}, rounds()
	for left > 0 {
		n := min(left, roundsOfADir)
		left -= n
		t.Run(fmt.Sprint(n, " histories"), func(t *testing.T) { checkHistories(t, n, counts) })
		if t.Failed() {
			return
		}
	}
	t.Logf("%d histories of %d processes with %d clients: %v", rounds(), children, clients, counts)
	common := []string{"create ", "create exists", "describe ", "describe not found", "rotate ", "encrypt ", "decrypt ", "cancel invalid"}
	if !testing.Short() {
		common = append(common, "disable ", "enable ", "schedule ", "cancel ", "delete ", "sweep ", "current ", "decrypt decrypt", "decrypt not found",
			"encrypt disabled", "encrypt pending", "rotate pending", "delete not found")
	}
	for _, outcome := range common {
		require.NotZero(t, counts[outcome], outcome)
	}
}

// checkHistories runs and checks histories on one directory, and counts the outcomes.
func checkHistories(t *testing.T, n int, counts map[string]int) {
	dir := t.TempDir()
	var processes []process
	for range children {
		processes = append(processes, start(t, roleHonest, dir))
	}
	for round := range n {
		events := history(t, processes, round)
		if result, info := check(events); result != porcupine.Ok {
			explain(t, events, info, round)
			t.Fatalf("history %d: %s", round, result)
		}
		for _, e := range events {
			counts[fmt.Sprint(e.Op, " ", e.Err)]++
		}
	}
}

// explain leaves the history for people: as text in the test's log, and as a page in its directory of artifacts.
func explain(t *testing.T, events []event, info porcupine.LinearizationInfo, round int) {
	t.Helper()
	byKey := map[string][]event{}
	for _, e := range events {
		byKey[e.Key] = append(byKey[e.Key], e)
	}
	for key, some := range byKey {
		if result, _ := check(some); result != porcupine.Ok {
			t.Logf("%s is %s:\n%s", key, result, inOrder(some, key))
		}
	}
	path := filepath.Join(t.ArtifactDir(), fmt.Sprintf("history-%d.html", round))
	require.NoError(t, porcupine.VisualizePath(model, info, path))
	t.Logf("kept with -artifacts: %s", path)
}

// One process of several that answers old descriptions is enough.
func TestAStaleReaderIsFoundOut(t *testing.T) {
	dir := t.TempDir()
	processes := []process{start(t, roleHonest, dir), start(t, roleStale, dir)}
	for round := range staleRoundsAtMost {
		events := history(t, processes, round)
		if result, info := check(events); result == porcupine.Illegal {
			page := filepath.Join(t.ArtifactDir(), "stale.html")
			require.NoError(t, porcupine.VisualizePath(model, info, page))
			return
		}
	}
	t.Fatalf("%d histories with a stale reader were all found to be right", staleRoundsAtMost)
}
