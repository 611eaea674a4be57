package keyring_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

func deleteNow(t testing.TB, ring *keyring.Ring, id string) {
	t.Helper()
	_, err := ring.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})
	require.NoError(t, err)
}

func TestAnOlderRecordPutBackIsRefused(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	old := store.raw("k")
	blob := encrypt(t, ring, "k", nil)
	_, err := ring.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	disabled := store.raw("k")

	store.put("k", old)
	require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial)
	require.ErrorIs(t, decrypt(t, ring, blob, nil), kms.ErrKeyMaterial)
	_, err = ring.EnableKey(t.Context(), &kms.EnableKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	_, err = ring.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	list, err := ring.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	require.Equal(t, []string{"k"}, list.Damaged)
	require.Equal(t, old, store.raw("k"))

	store.put("k", disabled)
	require.NoError(t, decrypt(t, ring, blob, nil))
	store.put("k", old)
	require.NoError(t, describeErr(t, openRing(t, store), "k"), "another process has not seen the newer one")
}

func TestARecordPutBackBehindTheCacheIsRefused(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	old := store.raw("k")
	require.NoError(t, describeErr(t, ring, "k")) // the cache holds the old record
	_, err := ring.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "k", Tags: map[string]string{"a": "b"}})
	require.NoError(t, err)
	store.put("k", old)
	require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial)
}

// What a process has read or made counts as seen, whoever changed it.
func TestAnOlderRecordOfAnotherProcessIsRefused(t *testing.T) {
	store := newStore()
	other := openRing(t, store)
	createKey(t, other, "k")
	old := store.raw("k")
	rotateKey(t, other, "k")

	reader := openRing(t, store)
	require.NoError(t, describeErr(t, reader, "k"))
	newer := store.raw("k")
	store.put("k", old)
	require.ErrorIs(t, describeErr(t, reader, "k"), kms.ErrKeyMaterial)

	store.put("k", newer)
	deleteNow(t, other, "k")
	maker := openRing(t, store)
	createKey(t, maker, "k")
	store.put("k", newer)
	require.ErrorIs(t, describeErr(t, maker, "k"), kms.ErrKeyMaterial)
}

// A reader that got the older record just before a change must not take the change for unseen.
func TestALateReaderDoesNotForgetTheNewerRecord(t *testing.T) {
	store := newStore()
	late := &lateStore{memStore: store}
	ring := openRing(t, late)
	createKey(t, ring, "k")
	old := store.raw("k")
	late.between = func() { rotateKey(t, ring, "k") }
	require.NoError(t, describeErr(t, ring, "k"), "the older record is a right answer for who asked before the change")
	store.put("k", old)
	require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial)
}

// A lateStore runs something once a record has been read and before it is answered.
type lateStore struct {
	*memStore
	between func()
}

func (s *lateStore) Get(ctx context.Context, id string) ([]byte, error) {
	raw, err := s.memStore.Get(ctx, id)
	if between := s.between; between != nil {
		s.between = nil
		between()
	}
	return raw, err
}

func TestADeletedRecordPutBackIsRefused(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	old := store.raw("k")
	deleteNow(t, ring, "k")
	require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyNotFound)
	store.put("k", old)
	require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial)

	store.put("k", nil)
	createKey(t, ring, "k")
	require.NoError(t, describeErr(t, ring, "k"))
	store.put("k", old)
	require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial)
}

func TestAStoreThatCountsAnewIsNotWrittenTo(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	for range 3 {
		createKey(t, ring, "k")
		deleteNow(t, ring, "k")
	}
	key := createKey(t, ring, "k")
	rotateKey(t, ring, "k")
	before := store.raw("k")
	store.generation = 0
	_, err := ring.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	require.ErrorContains(t, err, "the store has come to generation 1, want more than 8")
	// A process that has not seen the key before knows it from the record.
	_, err = openRing(t, store).RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	require.Equal(t, before, store.raw("k"))
	store.put("k", nil)
	_, err = ring.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: key.ID})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	require.Nil(t, store.raw("k"))
	store.generation = 7
	_, err = ring.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: key.ID})
	require.ErrorIs(t, err, kms.ErrKeyMaterial, "8 is not more than 8")
	createKey(t, ring, "k")
}

func TestACompareAndSetStoreMayCallChangeAgain(t *testing.T) {
	store := newStore()
	store.again = true
	ring := openRing(t, store)
	createKey(t, ring, "k")
	rotateKey(t, ring, "k")
	_, err := ring.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "k", Tags: map[string]string{"a": "b"}})
	require.NoError(t, err)
	key := describeKey(t, ring, "k")
	require.Equal(t, uint32(2), key.Version)
	require.Equal(t, map[string]string{"a": "b"}, key.Tags)
	require.Contains(t, recordText(t, store.raw("k")), `"generation":6}`)
	deleteNow(t, ring, "k")
	require.Nil(t, store.raw("k"))
}
