package keyring_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// A shortSighted store is a view of a store that does not see the changes of other views.
type shortSighted struct {
	*memStore
	stamp atomic.Uint64
}

func (s *shortSighted) Stamp(ctx context.Context) (uint64, bool, error) {
	_, stable, err := s.memStore.Stamp(ctx)
	return s.stamp.Load(), stable, err
}

func (s *shortSighted) Mutate(ctx context.Context, id string, change func(old []byte, generation uint64) ([]byte, error)) error {
	defer s.stamp.Add(1)
	return s.memStore.Mutate(ctx, id, change)
}

func TestWhatAnotherProcessHasJustMadeOpensOverAShortSightedStore(t *testing.T) {
	store := newStore()
	one, two := openRing(t, &shortSighted{memStore: store}), openRing(t, &shortSighted{memStore: store})
	createKey(t, one, "k")
	first := encrypt(t, two, "k", nil)
	rotateKey(t, one, "k")
	require.NoError(t, decrypt(t, two, encrypt(t, one, "k", nil), nil), "a version that is not in the record that is remembered")
	require.EqualValues(t, 2, describeKey(t, two, "k").Version, "the newer record is remembered")
	require.NoError(t, decrypt(t, two, first, nil))

	deleteNow(t, one, "k")
	createKey(t, one, "k")
	again := encrypt(t, one, "k", nil)
	require.NoError(t, decrypt(t, two, again, nil), "a key that was made again")
	require.ErrorIs(t, decrypt(t, two, first, nil), kms.ErrDecrypt)

	deleteNow(t, one, "k")
	again[len(again)-1] ^= 1
	require.ErrorIs(t, decrypt(t, two, again, nil), kms.ErrKeyNotFound, "a key that is gone")
}

// A ciphertext that does not open costs one look at the store, and one that does costs none.
func TestACiphertextThatDoesNotOpenIsLookedAtOnceMore(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	blob := encrypt(t, ring, "k", nil)
	gets := store.gets
	require.NoError(t, decrypt(t, ring, blob, nil))
	require.Equal(t, gets, store.gets)
	require.ErrorIs(t, decrypt(t, ring, blob, kms.EncryptionContext{"a": "b"}), kms.ErrDecrypt)
	require.Equal(t, gets+1, store.gets)

	store.fault = func(op string) error {
		if op == "Get" {
			return kms.ErrUnavailable
		}
		return nil
	}
	require.NoError(t, decrypt(t, ring, blob, nil))
	require.ErrorIs(t, decrypt(t, ring, blob, kms.EncryptionContext{"a": "b"}), kms.ErrUnavailable, "nobody knows whether it opens")
}
