//go:build unix

package order_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/destruction/internal/history"
	"github.com/objectkms/kms/e2e/destruction/internal/overfs"
)

// A tape is a Watcher that records all calls that change something.
type tape []overfs.Call

func (tp *tape) watch(c overfs.Call, do func() error) error {
	err := do()
	if err == nil && c.Changes() {
		c.Data, c.Part = bytes.Clone(c.Data), nil
		*tp = append(*tp, c)
	}
	return err
}

// record returns the calls of a step of a kind.
func record(t *testing.T, kind history.Kind) tape {
	t.Helper()
	disk := history.NewDisk(t)
	bundle, err := history.Stage(t.Context(), disk, history.NewRecord(), kind)
	require.NoError(t, err)
	var calls tape
	hands, err := history.NewHands(t.Context(), overfs.Directory{Disk: disk, Watch: calls.watch}, 0, 0)
	require.NoError(t, err)
	defer hands.Close()
	require.Empty(t, calls, "a directory in good order is only read")
	hands.Bundle = bundle
	_, err = hands.Do(t.Context(), history.Act(kind))
	require.NoError(t, err)
	return calls
}

// setUp returns the calls of setting a directory up.
func setUp(t *testing.T) tape {
	t.Helper()
	var calls tape
	dir := overfs.Directory{Disk: history.NewDisk(t), Watch: calls.watch}
	require.NoError(t, dir.Make())
	b, err := dir.Open(t.Context(), 0)
	require.NoError(t, err)
	require.NoError(t, b.Close())
	return calls
}

func tapes(t *testing.T) map[string]tape {
	t.Helper()
	all := map[string]tape{"set up": setUp(t)}
	for _, kind := range history.Changes() {
		all[string(kind)] = record(t, kind)
	}
	return all
}

func TestEveryChangeIsDurableBeforeItIsSeenAndBeforeItIsAnswered(t *testing.T) {
	for name, calls := range tapes(t) {
		faults, changes := audit(calls)
		require.Empty(t, faults, name)
		require.Positive(t, changes, name)
		t.Logf("%s: %d calls that write, %d names changed", name, len(calls), changes)
	}
}

// Where any file is not synced, or no directory of a name, or the counter stays even, the ledger sees it.
func TestALedgerFindsWhatIsOutOfOrder(t *testing.T) {
	for name, calls := range tapes(t) {
		for i, c := range calls {
			if isSync(c) && c.Path != "." && c.Path != "keys" {
				mustFault(t, slices.Delete(slices.Clone(calls), i, i+1), "%s without the sync of %s", name, c.Path)
			}
		}
		for _, dir := range []string{".", "keys"} {
			if changesIn(calls, dir) {
				mustFault(t, without(calls, func(c overfs.Call) bool { return isSync(c) && c.Path == dir }), "%s without the syncs of %s", name, dir)
			}
		}
		mustFault(t, without(calls, func(c overfs.Call) bool {
			return c.Path == "lock" && len(c.Data) > counterByte && c.Data[counterByte]&1 == 1
		}), "%s without an odd counter", name)
		last := without(calls, func(c overfs.Call) bool { return !isSync(c) })
		mustFault(t, append(without(calls, isSync), last...), "%s with all syncs at the end", name)
	}
}

// A batch must have all its files on the disk, with their names, before it is one.
func TestALedgerFindsABatchThatIsNotWhole(t *testing.T) {
	for _, kind := range []history.Kind{history.Reroot, history.Restore} {
		calls := record(t, kind)
		first := slices.IndexFunc(calls, func(c overfs.Call) bool { return isSync(c) && c.Path == "keys" })
		mustFault(t, slices.Delete(calls, first, first+1), "%s", kind)
	}
}

func mustFault(t *testing.T, calls tape, format string, args ...any) {
	t.Helper()
	faults, _ := audit(calls)
	require.NotEmpty(t, faults, append([]any{format}, args...)...)
}

func isSync(c overfs.Call) bool { return c.Verb == "sync" }

// changesIn reports whether names change in a directory that somebody reads.
func changesIn(calls tape, dir string) bool {
	l := newLedger()
	for _, c := range without(calls, isSync) {
		l.add(c)
	}
	return l.names[dir]
}
