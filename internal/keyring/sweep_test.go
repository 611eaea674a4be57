package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

// schedule marks a key for deletion and returns the date.
func schedule(t testing.TB, ring *keyring.Ring, id string) time.Time {
	t.Helper()
	resp, err := ring.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, PendingWindowDays: 7})
	require.NoError(t, err)
	return resp.Key.DeletionDate
}

func TestDecryptEndsAtTheDeletionDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1500 * time.Millisecond) // not at a whole second
		ring := openRing(t, newStore())
		createKey(t, ring, "k")
		blob := encrypt(t, ring, "k", nil)
		date := schedule(t, ring, "k")
		require.Equal(t, date, date.Truncate(time.Second))
		require.Equal(t, time.UTC, date.Location())
		time.Sleep(time.Until(date) - 1)
		require.NoError(t, decrypt(t, ring, blob, nil))
		time.Sleep(time.Nanosecond)
		require.ErrorIs(t, decrypt(t, ring, blob, nil), kms.ErrKeyPendingDeletion)
		rewrapped, err := ring.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{Items: []kms.RewrapItem{{Ciphertext: blob}}})
		require.NoError(t, err)
		require.ErrorIs(t, rewrapped.Items[0].Err, kms.ErrKeyPendingDeletion)

		_, err = ring.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionRequest{KeyID: "k"})
		require.NoError(t, err, "the record still stands")
		require.NoError(t, decrypt(t, ring, blob, nil))
	})
}

func TestASweepGoesThroughAllPages(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	var date time.Time
	var expired []string
	for i := range 2001 {
		id := fmt.Sprintf("k%04d", i)
		createKey(t, ring, id)
		if i%667 == 0 || i == 999 || i == 1000 {
			date = schedule(t, ring, id)
			expired = append(expired, id)
		}
	}
	changes := 0
	store.fault = func(op string) error {
		if op == "Mutate" {
			changes++
		}
		return nil
	}
	removed, err := ring.RemoveExpiredKeys(t.Context(), date)
	require.NoError(t, err)
	require.Equal(t, expired, removed)
	require.Equal(t, len(expired), changes, "keys that stay are not locked")
	require.Len(t, store.records, 2001-len(expired))
}

func TestASweepGoesOnAfterADamagedRecord(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	var date time.Time
	for _, id := range []string{"a", "b", "c", "d"} {
		createKey(t, ring, id)
		date = schedule(t, ring, id)
	}
	store.put("a", []byte("damaged"))
	store.put("c", []byte("damaged"))
	removed, err := ring.RemoveExpiredKeys(t.Context(), date)
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	require.ErrorContains(t, err, "record of a:")
	require.Equal(t, []string{"b", "d"}, removed)
	require.Len(t, store.records, 2)
}

func TestASweepAnswersWhatItRemovedBesideAnError(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	var date time.Time
	for _, id := range []string{"a", "b", "c"} {
		createKey(t, ring, id)
		date = schedule(t, ring, id)
	}
	broken := errors.New("disk is on fire")
	calls := 0
	store.fault = func(op string) error {
		if op == "Mutate" {
			if calls++; calls == 2 {
				return broken
			}
		}
		return nil
	}
	removed, err := ring.RemoveExpiredKeys(t.Context(), date)
	require.ErrorIs(t, err, broken)
	require.Equal(t, []string{"a"}, removed)
	require.Nil(t, store.raw("a"))
	require.NotNil(t, store.raw("b"))
}

func TestASweepPassesOverWhatOthersDo(t *testing.T) {
	store := newStore()
	ring, other := openRing(t, store), openRing(t, store)
	var date time.Time
	for _, id := range []string{"a", "b", "c", "d"} {
		createKey(t, ring, id)
		date = schedule(t, ring, id)
	}
	// Between the sweep's look at a record and its removal, somebody else cancels b and removes c.
	sweep := map[string]func(){
		"b": func() {
			_, err := other.CancelKeyDeletion(context.Background(), &kms.CancelKeyDeletionRequest{KeyID: "b"})
			require.NoError(t, err)
		},
		"c": func() { deleteNow(t, other, "c") },
	}
	racing := &racingStore{memStore: store, before: sweep}
	removed, err := openRing(t, racing).RemoveExpiredKeys(t.Context(), date)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "d"}, removed)
	require.Equal(t, kms.KeyDisabled, describeKey(t, ring, "b").State)
	require.Len(t, store.records, 1)
}

// A racingStore runs something just before the change of a record.
type racingStore struct {
	*memStore
	before map[string]func()
}

func (s *racingStore) Mutate(ctx context.Context, id string, change func([]byte, uint64) ([]byte, error)) error {
	if before := s.before[id]; before != nil {
		before()
	}
	return s.memStore.Mutate(ctx, id, change)
}

func TestAListPassesOverWhatIsDeletedMeanwhile(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		createKey(t, ring, id)
	}
	list, err := openRing(t, &vanishingStore{store, "b"}).ListKeys(t.Context(), &kms.ListKeysRequest{Limit: 2})
	require.NoError(t, err)
	require.Len(t, list.Keys, 2)
	require.Equal(t, "a", list.Keys[0].ID)
	require.Equal(t, "c", list.Keys[1].ID)
	require.Equal(t, "c", list.NextMarker)
	require.True(t, list.Truncated)
	require.Empty(t, list.Damaged)
}

// Whoever asks for one key of a state that few have must not make the store list all ids once for each of them.
func TestAListOfFewAmongManyAsksTheStoreSeldom(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	var disabled []string
	for i := range 500 {
		id := fmt.Sprintf("k%03d", i)
		createKey(t, ring, id)
		if i%200 == 199 {
			_, err := ring.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: id})
			require.NoError(t, err)
			disabled = append(disabled, id)
		}
	}
	lists := 0
	store.fault = func(op string) error {
		if op == "List" {
			lists++
		}
		return nil
	}
	var found []string
	req := &kms.ListKeysRequest{Limit: 1, State: kms.KeyDisabled}
	for {
		lists = 0
		page, err := ring.ListKeys(t.Context(), req)
		require.NoError(t, err)
		require.LessOrEqual(t, lists, 8)
		for _, key := range page.Keys {
			found = append(found, key.ID)
		}
		require.Equal(t, page.Truncated, len(page.Keys) == 1)
		if !page.Truncated {
			break
		}
		require.Equal(t, page.Keys[0].ID, page.NextMarker)
		req.Marker = page.NextMarker
	}
	require.Equal(t, disabled, found)

	lists = 0
	all, err := ring.ListKeys(t.Context(), &kms.ListKeysRequest{Limit: 500})
	require.NoError(t, err)
	require.Len(t, all.Keys, 500)
	require.False(t, all.Truncated)
	require.Equal(t, 1, lists)
}

// A vanishingStore lists an id whose record is gone when it is asked for.
type vanishingStore struct {
	*memStore
	id string
}

func (s *vanishingStore) Get(ctx context.Context, id string) ([]byte, error) {
	if id == s.id {
		return nil, kms.ErrKeyNotFound
	}
	return s.memStore.Get(ctx, id)
}
