package history_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/destruction/internal/history"
)

// live takes steps in a new directory and records them.
func live(t *testing.T, steps int) (history.Disk, *history.Record, *history.Hands, *rand.Rand) {
	dir, record, rng := history.NewDisk(t), history.NewRecord(), rand.New(rand.NewPCG(1, 2))
	hands, err := history.NewHands(t.Context(), dir, 0, 0)
	require.NoError(t, err)
	t.Cleanup(func() { hands.Close() })
	for range steps {
		take(t, record, hands, record.State.Next(rng, 0))
	}
	return dir, record, hands, rng
}

func take(t *testing.T, record *history.Record, hands *history.Hands, st history.Step) {
	t.Helper()
	sealed, err := hands.Do(t.Context(), st)
	require.NoError(t, err, "%v", st)
	require.NoError(t, record.Acknowledge(0, st, sealed))
}

// Without any crash a record agrees with the directory, and histories meet every kind of step.
func TestARecordAgreesWithTheDirectory(t *testing.T) {
	dir, record, hands, rng := live(t, 0)
	met := map[history.Kind]int{}
	for range 400 {
		st := record.State.Next(rng, 0)
		met[st.Kind]++
		take(t, record, hands, st)
		bundles := record.State.Bundles
		if met[st.Kind]%4 == 0 {
			require.NoError(t, record.Find(t.Context(), dir, nil), "%v", st)
			require.NoError(t, dir.CheckFiles(record.State))
			record.State.Bundles = bundles // nobody died
		}
	}
	for _, kind := range append(history.Changes(), history.Seal, history.Export) {
		require.Positive(t, met[kind], kind)
	}
}

// Each of these is a fault of a directory, and must be found.
func TestARecordFindsFaults(t *testing.T) {
	elder, ctx := "owner-0-key-0", context.Background()
	faults := map[string]func(t *testing.T, dir history.Disk, r *history.Record, h *history.Hands) map[history.Owner]history.Step{
		"a step that nobody answered": func(t *testing.T, _ history.Disk, _ *history.Record, h *history.Hands) map[history.Owner]history.Step {
			_, err := h.Do(ctx, history.Step{Kind: history.Describe, Key: elder, Text: "new"})
			require.NoError(t, err)
			return nil
		},
		"another step than the pending one": func(t *testing.T, _ history.Disk, _ *history.Record, h *history.Hands) map[history.Owner]history.Step {
			_, err := h.Do(ctx, history.Step{Kind: history.Describe, Key: elder, Text: "new"})
			require.NoError(t, err)
			return map[history.Owner]history.Step{0: {Kind: history.Describe, Key: elder, Text: "other"}}
		},
		"an answered step that is lost": func(t *testing.T, _ history.Disk, r *history.Record, _ *history.Hands) map[history.Owner]history.Step {
			require.NoError(t, r.Acknowledge(0, history.Step{Kind: history.Rotate, Key: elder}, history.Sealed{}))
			return nil
		},
		"a change of the root key that is lost": func(t *testing.T, _ history.Disk, r *history.Record, _ *history.Hands) map[history.Owner]history.Step {
			require.NoError(t, r.Acknowledge(0, history.Step{Kind: history.Reroot}, history.Sealed{}))
			return nil
		},
		"other material under the same id": func(t *testing.T, dir history.Disk, r *history.Record, h *history.Hands) map[history.Owner]history.Step {
			state := r.State
			for _, kind := range []history.Kind{history.Erase, history.Create, history.Rotate} {
				_, err := h.Do(ctx, history.Step{Kind: kind, Key: elder})
				require.NoError(t, err)
			}
			r.State = state
			return nil
		},
		"a deleted key that is back": func(t *testing.T, dir history.Disk, r *history.Record, h *history.Hands) map[history.Owner]history.Step {
			require.NoError(t, r.Acknowledge(0, history.Step{Kind: history.Erase, Key: elder}, history.Sealed{}))
			return nil
		},
		"a damaged record": func(t *testing.T, dir history.Disk, _ *history.Record, _ *history.Hands) map[history.Owner]history.Step {
			path := filepath.Join(string(dir), "keys", elder+".json")
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, raw[:len(raw)/2], 0o600))
			return nil
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			dir, record, hands, _ := live(t, 0)
			for _, kind := range []history.Kind{history.Create, history.Rotate, history.Seal} {
				take(t, record, hands, history.Step{Kind: kind, Key: elder})
			}
			require.NoError(t, record.Find(t.Context(), dir, nil))
			pending := fault(t, dir, record, hands)
			require.Error(t, record.Find(t.Context(), dir, pending))
		})
	}
}

func TestAFileThatNobodyNeedsIsFound(t *testing.T) {
	dir, record, _, _ := live(t, 5)
	require.NoError(t, dir.CheckFiles(record.State))
	stray := filepath.Join(string(dir), "keys", ".objectkms-new-AAAAAAAAAAAAAAAAAAAAAAAAAA")
	require.NoError(t, os.WriteFile(stray, nil, 0o600))
	require.Error(t, dir.CheckFiles(record.State))
}
