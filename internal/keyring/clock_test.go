package keyring_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

// Every bubble of synctest begins at the same time, so that the second one has a clock that is behind the first one's.
func TestAClockThatIsBehindDoesNotShortenTheWindow(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, store *memStore) time.Time // the latest time in the record
	}{
		{"of a key made later", func(t *testing.T, store *memStore) time.Time {
			time.Sleep(100 * 24 * time.Hour)
			return createKey(t, openRing(t, store), "k").CreatedAt
		}},
		{"of a key rotated later", func(t *testing.T, store *memStore) time.Time {
			ring := openRing(t, store)
			createKey(t, ring, "k")
			time.Sleep(100 * 24 * time.Hour)
			return rotateKey(t, ring, "k").RotatedAt
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := newStore()
			var latest time.Time
			synctest.Test(t, func(t *testing.T) { latest = tt.make(t, store) })
			synctest.Test(t, func(t *testing.T) {
				ring := openRing(t, store)
				date := schedule(t, ring, "k")
				require.Equal(t, latest.AddDate(0, 0, 7), date)
				removed, err := ring.RemoveExpiredKeys(t.Context(), date.Add(-time.Second))
				require.NoError(t, err)
				require.Empty(t, removed)
				removed, err = ring.RemoveExpiredKeys(t.Context(), date)
				require.NoError(t, err)
				require.Equal(t, []string{"k"}, removed)
			})
		})
	}
}

func TestAnEarlierVersionMadeLaterCountsToo(t *testing.T) {
	store := newStore()
	var latest time.Time
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(100 * 24 * time.Hour)
		latest = createKey(t, openRing(t, store), "k").CreatedAt
	})
	synctest.Test(t, func(t *testing.T) {
		ring := openRing(t, store)
		require.True(t, rotateKey(t, ring, "k").RotatedAt.Before(latest))
		require.Equal(t, latest.AddDate(0, 0, 7), schedule(t, ring, "k"))
	})
}

func TestAnImmediateDeletionIsDatedNow(t *testing.T) {
	store := newStore()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		createKey(t, openRing(t, store), "k")
	})
	synctest.Test(t, func(t *testing.T) {
		resp, err := openRing(t, store).DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
		require.NoError(t, err)
		require.Equal(t, time.Now().UTC(), resp.Key.DeletionDate)
	})
}

// A record holds no year of five digits, and an imported key may come from any year of four.
func TestAWindowThatNoRecordCanHoldIsRefused(t *testing.T) {
	for made, fits := range map[string]bool{"9999-12-01T23:59:59Z": true, "9999-12-02T00:00:00Z": false, "9999-12-31T23:59:59Z": false} {
		t.Run(made, func(t *testing.T) {
			store := newStore()
			ring := openRing(t, store)
			bundle, err := keyring.SealBundle(bundleKey(), contentOf(1, edited(`["2000-01-01T00:00:00Z"]`, `["`+made+`"]`)))
			require.NoError(t, err)
			importAll(t, ring, bundle)
			before := store.writes
			resp, err := ring.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "a"})
			if fits {
				require.NoError(t, err)
				require.Equal(t, "9999-12-31T23:59:59Z", resp.Key.DeletionDate.Format(time.RFC3339))
				return
			}
			require.ErrorIs(t, err, kms.ErrInvalidRequest)
			require.ErrorContains(t, err, "the window would end in the year 10000, want at most 9999")
			require.Equal(t, before, store.writes)
			require.Equal(t, kms.KeyEnabled, listKeys(t, ring)[0].State)
			_, err = ring.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "a", Immediate: true, ConfirmKeyID: "a"})
			require.NoError(t, err)
		})
	}
}
