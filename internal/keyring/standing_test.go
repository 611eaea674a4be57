package keyring_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

func TestStandings(t *testing.T) {
	date := time.Unix(1_800_000_000, 0)
	tests := []struct {
		keyring.Standing
		valid          bool
		enabled, stays error
		expired        bool // at the date
	}{
		{keyring.Standing{State: kms.KeyEnabled}, true, nil, nil, false},
		{keyring.Standing{State: kms.KeyDisabled}, true, kms.ErrKeyDisabled, nil, false},
		{keyring.Standing{State: kms.KeyPendingDeletion, Deletion: date}, true, kms.ErrKeyPendingDeletion, kms.ErrKeyPendingDeletion, true},
		{keyring.Standing{State: kms.KeyEnabled, Deletion: date}, false, nil, nil, false},
		{keyring.Standing{State: kms.KeyPendingDeletion}, false, kms.ErrKeyPendingDeletion, kms.ErrKeyPendingDeletion, true},
		{keyring.Standing{State: "Other"}, false, nil, nil, false},
	}
	for _, tt := range tests {
		require.Equal(t, tt.valid, tt.Check() == nil, "%v", tt.Standing)
		require.ErrorIs(t, tt.MustBeEnabled(), tt.enabled, "%v", tt.Standing)
		require.ErrorIs(t, tt.MustStay(), tt.stays, "%v", tt.Standing)
		require.Equal(t, tt.expired, tt.Expired(date), "%v", tt.Standing)
	}
	pending := tests[2].Standing
	require.False(t, pending.Expired(date.Add(-1)))
}

func TestGenerationsOnlyRise(t *testing.T) {
	var g keyring.Generations
	require.Zero(t, g.Least("a"))
	g.Note("a", 7)
	g.Note("a", 3)
	require.Equal(t, uint64(7), g.Least("a"))
	require.Zero(t, g.Least("b"))
}
