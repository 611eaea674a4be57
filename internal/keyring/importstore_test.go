package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

// A store that has lost its count must not make a record that looks like an older one.
func TestImportRefusesAGenerationThatIsNotNew(t *testing.T) {
	for _, batch := range []bool{false, true} {
		store := newStore()
		store.generation = 100
		var ring *keyring.Ring
		if batch {
			ring = openRing(t, &batchStore{memStore: store})
		} else {
			ring = openRing(t, store)
		}
		createKey(t, ring, "k")
		other := openOther(t, newStore())
		importAll(t, other, exportAll(t, ring))
		rotateKey(t, other, "k")
		before := store.raw("k")
		store.generation = 50
		_, err := ring.Import(t.Context(), bytes.NewReader(exportAll(t, other)), kms.ImportOptions{Key: bundleKey()})
		require.ErrorIs(t, err, kms.ErrKeyMaterial)
		require.Equal(t, before, store.raw("k"))

		store.put("k", nil)
		_, err = ring.Import(t.Context(), bytes.NewReader(exportAll(t, other)), kms.ImportOptions{Key: bundleKey()})
		require.ErrorIs(t, err, kms.ErrKeyMaterial, "it was seen before it was deleted")
	}
}

func TestDryRunWritesNothing(t *testing.T) {
	ring, _ := fullRing(t, newStore())
	store := &batchStore{memStore: newStore()}
	other := openOther(t, store)
	store.fault = func(op string) error {
		require.NotContains(t, []string{"Mutate", "Batch", "store"}, op)
		return nil
	}
	report, err := other.Import(t.Context(), bytes.NewReader(exportAll(t, ring)), kms.ImportOptions{Key: bundleKey(), DryRun: true})
	require.NoError(t, err)
	require.Len(t, report.Keys, 5)
	require.Empty(t, listKeys(t, other))
}

func TestImportIsOneBatchWhereTheStoreHasThem(t *testing.T) {
	ring, _ := fullRing(t, newStore())
	store := &batchStore{memStore: newStore()}
	other := openOther(t, store)
	broken := errors.New("broken")
	for _, op := range []string{"Batch", "store"} {
		store.fault = failOn(op, broken)
		_, err := other.Import(t.Context(), bytes.NewReader(exportAll(t, ring)), kms.ImportOptions{Key: bundleKey()})
		require.ErrorIs(t, err, broken)
		store.fault = nil
		require.Empty(t, listKeys(t, other))
	}
	importAll(t, other, exportAll(t, ring))
	require.Equal(t, 1, store.batches)
	require.Zero(t, store.writes)
}

// Key by key, an import that was cut off is repeated.
func TestImportThatWasCutOffIsRepeated(t *testing.T) {
	ring, _ := fullRing(t, newStore())
	bundle, store := exportAll(t, ring), newStore()
	other := openOther(t, store)
	broken := errors.New("broken")
	for n := range 5 {
		writes := 0
		store.fault = func(op string) error {
			if op == "store" {
				if writes++; writes > 1 {
					return broken
				}
			}
			return nil
		}
		_, err := other.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey()})
		store.fault = nil
		if n < 4 {
			require.ErrorIs(t, err, broken)
		} else {
			require.NoError(t, err)
		}
		require.Len(t, listKeys(t, other), n+1)
	}
	require.Equal(t, listKeys(t, ring), listKeys(t, other))
	for _, op := range []string{"Get", "Mutate"} {
		store.fault = failOn(op, broken)
		rotateKey(t, ring, "plain")
		_, err := other.Import(t.Context(), bytes.NewReader(exportAll(t, ring)), kms.ImportOptions{Key: bundleKey()})
		require.ErrorIs(t, err, broken)
		store.fault = nil
	}
}

// A compare-and-set store asks again, and gets the answer for what is there then.
func TestImportDecidesAnewWhenTheStoreAsksAgain(t *testing.T) {
	ring, blobs := fullRing(t, newStore())
	store := newStore()
	store.again = true
	other := openOther(t, store)
	importAll(t, other, exportAll(t, ring))
	for version, blob := range blobs {
		require.NoError(t, decrypt(t, other, blob, nil), version)
	}
}

// A key that is made by somebody else between the plan and the change is not replaced.
func TestImportThatLosesARaceReplacesNothing(t *testing.T) {
	for _, skip := range []bool{false, true} {
		ring := openRing(t, newStore())
		createKey(t, ring, "k")
		bundle, store := exportAll(t, ring), newStore()
		rival, other := openOther(t, newStore()), openOther(t, store)
		createKey(t, rival, "k")
		raced := false
		foreign := exportAll(t, rival)
		store.fault = func(op string) error {
			if op == "Mutate" && !raced {
				raced = true
				store.records["k"] = rivalRecord(t, foreign)
			}
			return nil
		}
		report, err := other.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey(), SkipConflicts: skip})
		require.Equal(t, map[string]kms.ImportOutcome{"k": kms.ImportConflict}, outcomes(report))
		if skip {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, kms.ErrKeyExists)
		}
		require.Zero(t, store.writes)
	}
}

// rivalRecord returns the record "k" of a bundle as a Ring of openOther stores it.
func rivalRecord(t testing.TB, bundle []byte) []byte {
	t.Helper()
	store := newStore()
	importAll(t, openOther(t, store), bundle)
	return store.raw("k")
}

func TestCloseEndsAnImportThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := openRing(t, newStore())
		createKey(t, ring, "k")
		bundle := exportAll(t, ring)
		other := openOther(t, &waitingStore{batchStore: &batchStore{memStore: newStore()}})
		done := make(chan error)
		go func() {
			_, err := other.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey()})
			done <- err
		}()
		synctest.Wait()
		require.NoError(t, other.Close())
		require.ErrorIs(t, <-done, kms.ErrClosed)
	})
}

// A waitingStore is a store whose batches wait for ever.
type waitingStore struct{ *batchStore }

func (s *waitingStore) Batch(ctx context.Context, _ func(keyring.Batch) error) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestImportEndsWithItsContext(t *testing.T) {
	ring, _ := fullRing(t, newStore())
	bundle := exportAll(t, ring)
	for _, batch := range []bool{false, true} {
		store := newStore()
		other := openOther(t, store)
		if batch {
			other = openOther(t, &batchStore{memStore: store})
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := other.Import(ctx, &cancellingReader{bytes.NewReader(bundle), cancel}, kms.ImportOptions{Key: bundleKey()})
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, store.records)
	}
}

// A cancellingReader cancels a context when it is first read.
type cancellingReader struct {
	io.Reader
	cancel func()
}

func (r *cancellingReader) Read(p []byte) (int, error) {
	r.cancel()
	return r.Reader.Read(p)
}

func TestResealedRecordOpensUnderTheOtherRootKeyOnly(t *testing.T) {
	store, target := newStore(), newStore()
	ring, blobs := fullRing(t, store)
	next := keyring.Root{Version: 7, Key: bytes.Repeat([]byte{0xa5}, 32)}
	for _, key := range listKeys(t, ring) {
		raw, err := ring.Reseal(next, key.ID, store.raw(key.ID), 1000)
		require.NoError(t, err)
		target.put(key.ID, raw)
	}
	other := openOther(t, target)
	require.Equal(t, listKeys(t, ring), listKeys(t, other))
	for version, blob := range blobs {
		require.NoError(t, decrypt(t, other, blob, nil), version)
	}
	list, err := openRing(t, target).ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	require.Empty(t, list.Keys)
	require.Equal(t, bytes.Repeat([]byte{0xa5}, 32), next.Key)

	raw := store.raw("plain")
	_, err = ring.Reseal(next, "plain", raw, 1)
	require.ErrorIs(t, err, kms.ErrKeyMaterial, "a lower generation")
	_, err = ring.Reseal(next, "rotated", raw, 1000)
	require.ErrorIs(t, err, kms.ErrKeyMaterial, "another id")
	raw[20] ^= 1
	_, err = ring.Reseal(next, "plain", raw, 1000)
	require.ErrorIs(t, err, kms.ErrKeyMaterial, "a changed record")
}

// Every field of a key is compared, and taken over where it is later.
func TestImportTakesEveryFieldThatIsLater(t *testing.T) {
	pending := edited(`"Enabled"`, `"PendingDeletion","deletion":"2000-02-01T00:00:00Z"`)
	for name, keys := range map[string][2]string{
		"state":       {someKey, edited(`"Enabled"`, `"Disabled"`)},
		"deletion":    {someKey, pending},
		"no deletion": {pending, someKey},
		"later date":  {pending, edited(`"Enabled"`, `"PendingDeletion","deletion":"2000-02-02T00:00:00Z"`)},
		"description": {someKey, edited(`"created"`, `"description":"x","created"`)},
		"tags":        {someKey, edited(`"created"`, `"tags":{"x":"y"},"created"`)},
		"created":     {someKey, edited(`"created":"2000`, `"created":"1999`)},
		"origin":      {someKey, edited(`"KMS"`, `"EXTERNAL"`)},
	} {
		t.Run(name, func(t *testing.T) {
			ring := openRing(t, clockStore{newStore()})
			seal := func(key string) []byte {
				bundle, err := keyring.SealBundle(bundleKey(), contentOf(1, key))
				require.NoError(t, err)
				return bundle
			}
			require.Equal(t, map[string]kms.ImportOutcome{"a": kms.ImportAdded}, importAll(t, ring, seal(keys[0])))
			require.Equal(t, map[string]kms.ImportOutcome{"a": kms.ImportUnchanged}, importAll(t, ring, seal(keys[0])))
			report, err := ring.Import(t.Context(), bytes.NewReader(seal(keys[1])), kms.ImportOptions{Key: bundleKey()})
			require.NoError(t, err)
			require.Equal(t, kms.ImportUpdated, report.Keys[0].Outcome)
			require.Equal(t, report.Keys[0].Key, describeKey(t, ring, "a"))
		})
	}
}

// Also a process that has never seen the present record does not replace it by one that would look older.
func TestImportByAnotherProcessRefusesAGenerationThatIsNotNew(t *testing.T) {
	store := newStore()
	store.generation = 100
	ring, other := openRing(t, store), openOther(t, newStore())
	createKey(t, ring, "k")
	importAll(t, other, exportAll(t, ring))
	rotateKey(t, other, "k")
	bundle, before := exportAll(t, other), store.raw("k")
	store.generation = 50
	_, err := openRing(t, store).Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey()})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	require.Equal(t, before, store.raw("k"))
}
