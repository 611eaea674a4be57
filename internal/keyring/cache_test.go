package keyring_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/secret"
)

func TestARecordIsReadOnceUntilSomethingChanges(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	createKey(t, ring, "other")
	blob := encrypt(t, ring, "k", nil)
	gets := store.gets
	for range 3 {
		require.NoError(t, decrypt(t, ring, blob, nil))
		describeKey(t, ring, "k")
	}
	require.Equal(t, gets, store.gets)
	rotateKey(t, ring, "other")
	require.NoError(t, decrypt(t, ring, blob, nil))
	require.NoError(t, decrypt(t, ring, blob, nil))
	require.Equal(t, gets+1, store.gets)
}

func TestAnotherProcessIsSeenAtOnce(t *testing.T) {
	store := newStore()
	one, two := openRing(t, store), openRing(t, store)
	createKey(t, one, "k")
	require.NoError(t, decrypt(t, two, encrypt(t, one, "k", nil), nil))
	for version := uint32(2); version < 6; version++ {
		rotateKey(t, one, "k")
		require.Equal(t, version, describeKey(t, two, "k").Version)
		require.NoError(t, decrypt(t, two, encrypt(t, one, "k", nil), nil))
		require.NoError(t, decrypt(t, one, encrypt(t, two, "k", nil), nil))
	}
	deleteNow(t, two, "k")
	require.ErrorIs(t, describeErr(t, one, "k"), kms.ErrKeyNotFound)
	require.Zero(t, keyring.OpenKeys(one), "the versions of a key that is gone are wiped")
}

func TestNothingIsRememberedWhileAChangeIsUnderWay(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	store.unstable = true
	gets := store.gets
	describeKey(t, ring, "k")
	describeKey(t, ring, "k")
	require.Equal(t, gets+2, store.gets)
	require.Zero(t, keyring.CachedRecords(ring))

	store.unstable = false
	describeKey(t, ring, "k")
	store.unstable = true
	gets = store.gets
	describeKey(t, ring, "k")
	require.Equal(t, gets+1, store.gets, "what was remembered before is not believed either")
}

func TestARecordReadBeforeAChangeIsNotTakenForTheNewOne(t *testing.T) {
	store := newStore()
	ring, other := openRing(t, store), openRing(t, store)
	createKey(t, ring, "k")
	// The other process changes the key after this one has taken the stamp.
	changed := false
	store.fault = func(op string) error {
		if op == "Get" && !changed {
			changed = true
			store.stamp++
		}
		return nil
	}
	describeKey(t, ring, "k")
	store.fault = nil
	gets := store.gets
	describeKey(t, ring, "k")
	require.Equal(t, gets+1, store.gets)
	rotateKey(t, other, "k")
	require.Equal(t, uint32(2), describeKey(t, ring, "k").Version)
}

func TestAHotKeyIsNotUnsealedAgain(t *testing.T) {
	ring := openRing(t, newStore())
	createKey(t, ring, "hot")
	createKey(t, ring, "cold")
	blob := encrypt(t, ring, "hot", nil)
	describeKey(t, ring, "cold")
	keyring.FreeRoot(ring)
	require.NoError(t, decrypt(t, ring, blob, nil))
	require.NoError(t, decrypt(t, ring, encrypt(t, ring, "hot", nil), nil))
	_, err := ring.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "cold"})
	require.ErrorIs(t, err, secret.ErrStale)
	_, err = ring.CreateKey(t.Context(), &kms.CreateKeyRequest{})
	require.ErrorIs(t, err, secret.ErrStale)
	_, err = ring.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "hot"})
	require.ErrorIs(t, err, secret.ErrStale)
}

func TestAFreedSlotIsOpenedAgain(t *testing.T) {
	ring := openRing(t, newStore())
	createKey(t, ring, "k")
	blob := encrypt(t, ring, "k", nil)
	for range 3 {
		keyring.FreeOpenKeys(ring)
		require.NoError(t, decrypt(t, ring, blob, nil))
	}
}

func TestTheCachesAreBounded(t *testing.T) {
	const slots = 4
	ring := openSlots(t, newStore(), slots)
	blobs := make(map[string][]byte)
	for i := range 3 * slots {
		id := fmt.Sprintf("k%d", i)
		createKey(t, ring, id)
		blobs[id] = encrypt(t, ring, id, nil)
	}
	for range 2 {
		for _, blob := range blobs {
			require.NoError(t, decrypt(t, ring, blob, nil))
			require.LessOrEqual(t, keyring.OpenKeys(ring), slots-1)
			require.LessOrEqual(t, keyring.CachedRecords(ring), slots)
		}
	}
	require.Equal(t, slots-1, keyring.OpenKeys(ring))
	require.Equal(t, slots, keyring.CachedRecords(ring))
}

func TestTheKeyUsedLongestAgoLeavesTheArena(t *testing.T) {
	const slots = 3 // the root key and two versions
	ring := openSlots(t, newStore(), slots)
	blobs := make(map[string][]byte)
	for _, id := range []string{"a", "b", "c"} {
		createKey(t, ring, id)
	}
	for _, id := range []string{"a", "b"} {
		blobs[id] = encrypt(t, ring, id, nil)
	}
	require.NoError(t, decrypt(t, ring, blobs["a"], nil))
	blobs["c"] = encrypt(t, ring, "c", nil) // b leaves
	for _, id := range []string{"a", "b", "c"} {
		describeKey(t, ring, id)
	}
	keyring.FreeRoot(ring)
	require.NoError(t, decrypt(t, ring, blobs["a"], nil))
	require.NoError(t, decrypt(t, ring, blobs["c"], nil))
	require.ErrorIs(t, decrypt(t, ring, blobs["b"], nil), secret.ErrStale)
}

func TestAKeyOpenedTwiceAtOnceTakesOneSlot(t *testing.T) {
	const slots = 3
	ring := openSlots(t, newStore(), slots)
	createKey(t, ring, "a")
	createKey(t, ring, "b")
	encrypt(t, ring, "a", nil)
	for range slots {
		keyring.RememberAgain(ring)
	}
	require.Equal(t, 1, keyring.OpenKeys(ring))
	encrypt(t, ring, "b", nil)
	require.Equal(t, 2, keyring.OpenKeys(ring))
}

func TestTheRecordUsedLongestAgoLeavesTheCache(t *testing.T) {
	store := newStore()
	ring := openSlots(t, store, 2)
	for _, id := range []string{"a", "b", "c"} {
		createKey(t, ring, id)
	}
	for _, id := range []string{"a", "b", "a", "c"} {
		describeKey(t, ring, id)
	}
	gets := store.gets
	describeKey(t, ring, "a")
	describeKey(t, ring, "c")
	require.Equal(t, gets, store.gets)
	describeKey(t, ring, "b")
	require.Equal(t, gets+1, store.gets)
}

func TestASecondPageOfAThousandKeysReadsNothing(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	for range 1000 {
		createKey(t, ring, "")
	}
	for _, want := range []int{1000, 0} {
		gets := store.gets
		list, err := ring.ListKeys(t.Context(), &kms.ListKeysRequest{Limit: 1000})
		require.NoError(t, err)
		require.Len(t, list.Keys, 1000)
		require.Equal(t, want, store.gets-gets)
	}
}

func TestALargeRecordTakesThePlaceOfSeveral(t *testing.T) {
	store := newStore()
	ring := openSlots(t, store, 8)
	for _, id := range []string{"a", "b", "c", "d", "large"} {
		createKey(t, ring, id)
		describeKey(t, ring, id)
	}
	for range 120 { // versions, which take some 24 KB
		rotateKey(t, ring, "large")
	}
	describeKey(t, ring, "large")
	require.Less(t, keyring.CachedRecords(ring), 4)
	for range 120 { // it is more than there is room for, and still kept
		rotateKey(t, ring, "large")
	}
	describeKey(t, ring, "large")
	require.Equal(t, 1, keyring.CachedRecords(ring))
	describeKey(t, ring, "a")
	require.Equal(t, 1, keyring.CachedRecords(ring), "it leaves as others do")
}

func TestADeletedKeyIsWiped(t *testing.T) {
	ring := openRing(t, newStore())
	createKey(t, ring, "k")
	old := encrypt(t, ring, "k", nil)
	rotateKey(t, ring, "k")
	encrypt(t, ring, "k", nil)
	require.Equal(t, 2, keyring.OpenKeys(ring))
	deleteNow(t, ring, "k")
	require.Zero(t, keyring.OpenKeys(ring))
	require.Zero(t, keyring.CachedRecords(ring))
	createKey(t, ring, "k")
	require.Equal(t, kms.ErrDecrypt, decrypt(t, ring, old, nil))
}

func TestAnsweredKeysAreTheReceivers(t *testing.T) {
	ring := openRing(t, newStore())
	_, err := ring.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k", Tags: map[string]string{"a": "b"}})
	require.NoError(t, err)
	for range 2 {
		key := describeKey(t, ring, "k")
		require.Equal(t, "b", key.Tags["a"])
		key.Tags["a"] = "changed"
	}
}
