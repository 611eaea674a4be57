//go:build unix

package power_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/destruction/internal/history"
)

func cuts() int {
	switch {
	case os.Getenv("KMS_LONG") == "1":
		return 20_000
	case testing.Short():
		return 200
	}
	return 2000
}

// A saga is a machine that works until its power is cut, again and again.
type saga struct {
	m      *machine
	record *history.Record
	rng    *rand.Rand
	tally
}

// A tally counts what the cuts have met.
type tally struct {
	Cuts, Acknowledged int
	Pending, Done      int // steps that were cut off, and those of them that were done all the same
	Opening            int // cuts while the directory was being opened
}

func newSaga(t testing.TB, lie lie) *saga {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := &saga{m: newMachine(t, history.NewDisk(t), lie), record: history.NewRecord(), rng: rand.New(rand.NewPCG(seed, seed))}
	s.record.Sample = 200
	return s
}

// longest is how many calls are made at most before a cut: some twenty steps.
const longest = 600

func (s *saga) arm() {
	keep := []int{0, 20, 50, 80, 100}[s.rng.IntN(5)]
	s.m.arm(s.rng.IntN(longest), keep, s.rng)
}

// life lets the machine work until its power is cut, and checks what it finds when it starts again.
func (s *saga) life(t testing.TB) error {
	s.arm()
	pending, err := s.work(t)
	if err != nil {
		return err
	}
	s.restart(t)
	// The power may be cut again before the directory is open.
	for s.rng.IntN(4) == 0 {
		s.m.arm(s.rng.IntN(60), s.rng.IntN(101), s.rng)
		if hands, err := history.NewHands(t.Context(), s.m, 0, s.record.State.Root); err == nil {
			hands.Close()
		}
		if !s.m.off {
			break
		}
		s.Opening++
		s.restart(t)
	}
	s.m.left = -1
	before := s.record.State
	if err := s.record.Find(t.Context(), s.m, pending); err != nil {
		return err
	}
	if !before.Equal(s.record.State) {
		s.Done++
	}
	return s.m.CheckFiles(s.record.State)
}

func (s *saga) restart(t testing.TB) {
	s.Cuts++
	s.m = s.m.restart(t)
}

// work takes steps until the power is cut, and returns the step that was not answered.
func (s *saga) work(t testing.TB) (pending map[history.Owner]history.Step, err error) {
	hands, err := history.NewHands(t.Context(), s.m, 0, s.record.State.Root)
	if s.m.off {
		s.Opening++
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for {
		st := s.record.State.Next(s.rng, 0)
		sealed, err := hands.Do(t.Context(), st)
		if err == nil {
			// What is answered stands, also where the power was cut behind it.
			s.Acknowledged++
			err = s.record.Acknowledge(0, st, sealed)
		} else if s.m.off {
			s.Pending++
			return map[history.Owner]history.Step{0: st}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%v: %w", st, err)
		}
	}
}

func TestPowerCutsAtAnyMomentLoseNothing(t *testing.T) {
	s, begin := newSaga(t, never), time.Now()
	for s.Cuts < cuts() {
		require.NoError(t, s.life(t), "after %d cuts", s.Cuts)
	}
	t.Logf("%d cuts in %.0f s: %+v, %d sealed texts", s.Cuts, time.Since(begin).Seconds(), s.tally, s.record.Blobs())
	require.Positive(t, s.Done)
	require.Greater(t, s.Pending, s.Done)
	require.Positive(t, s.Opening)
	s.record.Sample = 0
	require.NoError(t, s.record.Find(t.Context(), s.m, nil))
}

// A disk that lies about any kind of sync loses something: the test sees it, and the syncs are needed, all of them.
func TestADiskThatLiesLosesSomething(t *testing.T) {
	inKeys := func(path string) bool { return len(path) > len("keys/") && path[:len("keys/")] == "keys/" }
	for name, lie := range map[string]lie{
		"about records":                  inKeys,
		"about root.json and batches":    func(path string) bool { return path != "." && path != "keys" && !inKeys(path) },
		"about the names of records":     func(path string) bool { return path == "keys" },
		"about the names beside records": func(path string) bool { return path == "." },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSaga(t, lie)
			err := error(nil)
			for err == nil && s.Cuts < 500 {
				err = s.life(t)
			}
			require.Error(t, err, "%d cuts have lost nothing", s.Cuts)
			t.Logf("cut %d: %.120v", s.Cuts, err)
		})
	}
}

// Each kind of step is cut at each of its calls, with nothing, half and all of what was not synced kept.
func TestAPowerCutAtAnyCallLeavesTheStepTakenOrNot(t *testing.T) {
	begin, total := time.Now(), 0
	for _, kind := range history.Changes() {
		t.Run(string(kind), func(t *testing.T) {
			dir, record := history.NewDisk(t), history.NewRecord()
			bundle, err := history.Stage(t.Context(), dir, record, kind)
			require.NoError(t, err)
			undone, done := 0, 0
			for call := 0; ; call++ {
				off := false
				for _, keep := range []int{0, 50, 100} {
					if testing.Short() && keep != 50 {
						continue
					}
					var taken bool
					off, taken, err = cutAt(t, dir, record, kind, bundle, call, keep)
					require.NoError(t, err, "call %d, %d%% kept", call, keep)
					if off && taken {
						done++
					} else if off {
						undone++
					}
				}
				if !off {
					break
				}
			}
			total += done + undone
			t.Logf("%d cuts left the step undone, %d done", undone, done)
			require.Positive(t, undone)
			require.Positive(t, done)
		})
	}
	t.Logf("%d cuts in %.0f s", total, time.Since(begin).Seconds())
}

// cutAt takes a step in a copy of a directory, and cuts the power at a call of it.
func cutAt(t *testing.T, dir history.Disk, record *history.Record, kind history.Kind, bundle []byte, call, keep int) (off, done bool, err error) {
	t.Helper()
	place := history.NewDisk(t)
	require.NoError(t, dir.CopyTo(place))
	m, r, st := newMachine(t, place, never), record.Clone(), history.Act(kind)
	hands, err := history.NewHands(t.Context(), m, 0, r.State.Root)
	require.NoError(t, err)
	hands.Bundle = bundle
	m.arm(call, keep, rand.New(rand.NewPCG(uint64(call), uint64(keep))))
	pending := map[history.Owner]history.Step{}
	switch _, err := hands.Do(t.Context(), st); {
	case err == nil:
		require.NoError(t, r.Acknowledge(0, st, history.Sealed{}))
	case !m.off:
		return false, false, err
	default:
		pending[0] = st
	}
	if off = m.off; off {
		m = m.restart(t)
	}
	m.left = -1
	err = errors.Join(r.Find(t.Context(), m, pending), m.CheckFiles(r.State))
	require.NoError(t, os.RemoveAll(string(m.Disk)))
	return off, !r.State.Equal(record.State), err
}
