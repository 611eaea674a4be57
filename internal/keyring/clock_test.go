package keyring_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
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
