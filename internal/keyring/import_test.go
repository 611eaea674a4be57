package keyring_test

import (
	"bytes"
	"testing"

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
