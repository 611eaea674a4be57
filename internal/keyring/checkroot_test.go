package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

func TestARootKeyThatOpensNoRecordIsRefused(t *testing.T) {
	store, foreign := newStore(), newStore()
	ring := openRing(t, store)
	require.NoError(t, keyring.CheckRoot(t.Context(), ring), "a store without records fits every root key")
	createKey(t, openRing(t, foreign), "x")
	for _, id := range []string{"a", "b", "c", "d"} {
		createKey(t, ring, id)
	}
	require.NoError(t, keyring.CheckRoot(t.Context(), ring))
	for _, id := range []string{"a", "b", "c"} {
		store.put(id, foreign.raw("x"))
	}
	require.NoError(t, keyring.CheckRoot(t.Context(), ring), "one opens: the others are damaged, and hide no key")
	store.put("d", foreign.raw("x"))
	require.ErrorIs(t, keyring.CheckRoot(t.Context(), ring), kms.ErrKeyMaterial)
	require.NoError(t, ring.Close())
	require.Equal(t, kms.ErrClosed, keyring.CheckRoot(t.Context(), ring))
}

func TestRecordsThatSayNothingOfTheRootKeyArePassedOver(t *testing.T) {
	broken := errors.New("disk is on fire")
	for _, tt := range []struct{ fault, want error }{
		{kms.ErrKeyNotFound, nil},
		{fmt.Errorf("%w: %w", kms.ErrKeyMaterial, kms.ErrPermission), nil},
		{kms.ErrKeyMaterial, kms.ErrKeyMaterial},
		{broken, broken},
		{context.Canceled, context.Canceled},
	} {
		store := newStore()
		ring := openRing(t, store)
		createKey(t, ring, "a")
		store.fault = func(op string) error {
			if op == "Get" {
				return tt.fault
			}
			return nil
		}
		require.ErrorIs(t, keyring.CheckRoot(t.Context(), ring), tt.want)
		store.fault = nil
	}
}
