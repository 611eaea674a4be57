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

// Two rings of which the second was copied from the first.
type twins struct {
	first, second *keyring.Ring
	bundle        []byte // of the first, when they were the same
}

// newTwins returns rings with the key "k" of two versions. Where clocks, their generations can be compared.
func newTwins(t testing.TB, clocks bool) *twins {
	t.Helper()
	stores := []*memStore{newStore(), newStore()}
	stores[0].generation, stores[1].generation = 100, 200
	tw := &twins{}
	if clocks {
		tw.first, tw.second = openRing(t, clockStore{stores[0]}), openOther(t, clockStore{stores[1]})
	} else {
		tw.first, tw.second = openRing(t, stores[0]), openOther(t, stores[1])
	}
	createKey(t, tw.first, "k")
	rotateKey(t, tw.first, "k")
	tw.bundle = exportAll(t, tw.first)
	importAll(t, tw.second, tw.bundle)
	stores[0].generation = 300
	return tw
}

func disable(t testing.TB, ring *keyring.Ring) {
	t.Helper()
	_, err := ring.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
}

func describe(t testing.TB, ring *keyring.Ring, text string) {
	t.Helper()
	_, err := ring.UpdateKeyDescription(t.Context(), &kms.UpdateKeyDescriptionRequest{KeyID: "k", Description: text})
	require.NoError(t, err)
}

func TestImportDecidesByMaterialAndGeneration(t *testing.T) {
	tests := []struct {
		name         string
		first        func(*testing.T, *keyring.Ring) // what happens to the key in the bundle
		second       func(*testing.T, *keyring.Ring) // what happened to the present key since
		clock, plain kms.ImportOutcome               // where generations can be compared, and where not
		state        kms.KeyState                    // where they can
		version      uint32
	}{
		{"nothing happened", nil, nil, kms.ImportUnchanged, kms.ImportUnchanged, kms.KeyEnabled, 2},
		{"disabled in the bundle", then(disable), nil, kms.ImportUpdated, kms.ImportKept, kms.KeyDisabled, 2},
		{"rotated in the bundle", then(rotate), nil, kms.ImportUpdated, kms.ImportUpdated, kms.KeyEnabled, 3},
		{"rotated and disabled in the bundle", then(rotate, disable), nil, kms.ImportUpdated, kms.ImportUpdated, kms.KeyDisabled, 3},
		{"rotated here", nil, then(rotate), kms.ImportKept, kms.ImportKept, kms.KeyEnabled, 3},
		{"rotated here, disabled in the bundle", then(disable), then(rotate), kms.ImportKept, kms.ImportKept, kms.KeyEnabled, 3},
		{"rotated in both", then(rotate), then(rotate), kms.ImportConflict, kms.ImportConflict, kms.KeyEnabled, 3},
		{"the same done in both", then(disable), then(disable), kms.ImportUnchanged, kms.ImportUnchanged, kms.KeyDisabled, 2},
	}
	for _, tt := range tests {
		for _, clocks := range []bool{true, false} {
			t.Run(tt.name, func(t *testing.T) {
				tw := newTwins(t, clocks)
				for ring, do := range map[*keyring.Ring]func(*testing.T, *keyring.Ring){tw.first: tt.first, tw.second: tt.second} {
					if do != nil {
						do(t, ring)
					}
				}
				bundle, before := exportAll(t, tw.first), describeKey(t, tw.second, "k")
				old, current := encrypt2(t, tw.second, "k")
				want, state := tt.clock, tt.state
				if !clocks {
					want, state = tt.plain, before.State
				}

				dry, dryErr := tw.second.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey(), DryRun: true})
				require.Equal(t, before, describeKey(t, tw.second, "k"))
				report, err := tw.second.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey()})
				require.Equal(t, dry, report)
				require.Equal(t, dryErr, err)
				require.Equal(t, map[string]kms.ImportOutcome{"k": want}, outcomes(report), report.Keys[0].Detail)
				if want == kms.ImportConflict {
					require.ErrorIs(t, err, kms.ErrKeyExists)
				} else {
					require.NoError(t, err)
				}
				after := describeKey(t, tw.second, "k")
				require.Equal(t, state, after.State)
				require.Equal(t, tt.version, after.Version)
				require.NoError(t, decrypt(t, tw.second, old, nil))
				require.NoError(t, decrypt(t, tw.second, current, nil))
			})
		}
	}
}

// encrypt2 returns a blob of the present version of a key that may be disabled, twice.
func encrypt2(t testing.TB, ring *keyring.Ring, id string) (a, b []byte) {
	t.Helper()
	state := describeKey(t, ring, id).State
	if state == kms.KeyDisabled {
		_, err := ring.EnableKey(t.Context(), &kms.EnableKeyRequest{KeyID: id})
		require.NoError(t, err)
		defer func() { disable(t, ring) }()
	}
	return encrypt(t, ring, id, nil), encrypt(t, ring, id, nil)
}

func rotate(t testing.TB, ring *keyring.Ring) { rotateKey(t, ring, "k") }

func then(steps ...func(testing.TB, *keyring.Ring)) func(*testing.T, *keyring.Ring) {
	return func(t *testing.T, ring *keyring.Ring) {
		for _, step := range steps {
			step(t, ring)
		}
	}
}

func TestImportOfALowerGenerationReplacesNothing(t *testing.T) {
	tw := newTwins(t, true)
	describe(t, tw.second, "later")
	before := describeKey(t, tw.second, "k")
	require.Equal(t, map[string]kms.ImportOutcome{"k": kms.ImportKept}, importAll(t, tw.second, tw.bundle))
	require.Equal(t, before, describeKey(t, tw.second, "k"))

	describe(t, tw.first, "latest")
	require.Equal(t, map[string]kms.ImportOutcome{"k": kms.ImportUpdated}, importAll(t, tw.second, exportAll(t, tw.first)))
	require.Equal(t, "latest", describeKey(t, tw.second, "k").Description)
}

func TestImportOfTheSameGenerationReplacesNothing(t *testing.T) {
	first, second := openRing(t, clockStore{newStore()}), openOther(t, clockStore{newStore()})
	createKey(t, first, "k")
	importAll(t, second, exportAll(t, first))
	describe(t, first, "there")
	describe(t, second, "here")
	require.Equal(t, map[string]kms.ImportOutcome{"k": kms.ImportKept}, importAll(t, second, exportAll(t, first)))
}

// Where one of two stores only counts, the generations of both say nothing to the other.
func TestGenerationsOfUnlikeStoresAreNotCompared(t *testing.T) {
	counting := newStore()
	counting.generation = 1000
	for _, stores := range [][2]keyring.Store{{counting, clockStore{newStore()}}, {clockStore{counting}, newStore()}} {
		first, second := openRing(t, stores[0]), openOther(t, stores[1])
		createKey(t, first, "k")
		importAll(t, second, exportAll(t, first))
		describe(t, first, "later, by the numbers")
		require.Equal(t, map[string]kms.ImportOutcome{"k": kms.ImportKept}, importAll(t, second, exportAll(t, first)))
		counting.put("k", nil)
	}
}

// A key that has more versions is a later one, whatever its generation; but nothing else of it is known to be later.
func TestImportOfMoreVersionsWithALowerGenerationAddsThem(t *testing.T) {
	store := newStore()
	first, second := openRing(t, clockStore{store}), openOther(t, clockStore{newStore()})
	createKey(t, first, "k")
	importAll(t, second, exportAll(t, first))
	for range 9 {
		describe(t, second, "later")
		describe(t, second, "here")
	}
	rotateKey(t, first, "k")
	describe(t, first, "there")
	blob := encrypt(t, first, "k", nil)
	require.Equal(t, map[string]kms.ImportOutcome{"k": kms.ImportUpdated}, importAll(t, second, exportAll(t, first)))
	key := describeKey(t, second, "k")
	require.Equal(t, uint32(2), key.Version)
	require.Equal(t, "here", key.Description)
	require.NoError(t, decrypt(t, second, blob, nil))
}

// Where one key is a conflict nothing is imported, or all others are.
func TestConflictsAreRefusedAsAWhole(t *testing.T) {
	for name, wrap := range map[string]func(*memStore) keyring.Store{
		"key by key":   func(s *memStore) keyring.Store { return s },
		"in one batch": func(s *memStore) keyring.Store { return &batchStore{memStore: s} },
	} {
		t.Run(name, func(t *testing.T) {
			ring, _ := fullRing(t, newStore())
			bundle, store := exportAll(t, ring), newStore()
			other := openOther(t, wrap(store))
			createKey(t, other, "plain")
			blob, writes := encrypt(t, other, "plain", nil), store.writes
			report, err := other.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey()})
			require.ErrorIs(t, err, kms.ErrKeyExists)
			require.ErrorContains(t, err, "plain")
			require.Equal(t, kms.ImportConflict, outcomes(report)["plain"])
			require.Equal(t, kms.ImportAdded, outcomes(report)["rotated"])
			require.Len(t, listKeys(t, other), 1)
			require.Equal(t, writes, store.writes)

			report, err = other.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey(), SkipConflicts: true})
			require.NoError(t, err)
			require.Equal(t, kms.ImportConflict, outcomes(report)["plain"])
			require.Len(t, listKeys(t, other), 5)
			require.NoError(t, decrypt(t, other, blob, nil))
		})
	}
}

func TestDamagedRecordsAreMendedWhereThatIsAsked(t *testing.T) {
	for name, wrap := range map[string]func(*memStore) keyring.Store{
		"key by key":   func(s *memStore) keyring.Store { return s },
		"in one batch": func(s *memStore) keyring.Store { return &batchStore{memStore: s} },
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore()
			ring, blobs := fullRing(t, wrap(store))
			bundle, sound := exportAll(t, ring), listKeys(t, ring)
			store.put("plain", []byte("damaged"))
			report, err := ring.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey()})
			require.ErrorIs(t, err, kms.ErrKeyExists)
			require.Equal(t, kms.ImportConflict, outcomes(report)["plain"])
			require.Equal(t, "damaged", string(store.raw("plain")))
			report, err = ring.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey(), ReplaceDamaged: true})
			require.NoError(t, err)
			require.Equal(t, kms.ImportMended, outcomes(report)["plain"])
			require.Equal(t, kms.ImportUnchanged, outcomes(report)["rotated"])
			require.Equal(t, sound, listKeys(t, ring))
			require.NoError(t, decrypt(t, ring, blobs["plain 1"], nil))
		})
	}
}

// A record that somebody has put back is none that an import may build on.
func TestImportSeesThatARecordWasPutBack(t *testing.T) {
	store := clockStore{newStore()}
	ring := openRing(t, store)
	createKey(t, ring, "k")
	old := store.raw("k")
	rotateKey(t, ring, "k")
	bundle := exportAll(t, ring)
	store.put("k", old)
	report, err := ring.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey()})
	require.ErrorIs(t, err, kms.ErrKeyExists)
	require.Equal(t, kms.ImportConflict, outcomes(report)["k"])
	_, err = ring.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey(), ReplaceDamaged: true})
	require.NoError(t, err)
	require.Equal(t, uint32(2), describeKey(t, ring, "k").Version)
}

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
