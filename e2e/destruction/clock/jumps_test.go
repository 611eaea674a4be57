package clock_test

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/destruction/clock/jumpclock"
	"github.com/objectkms/kms/e2e/destruction/clock/jumpmatrix"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/mock"
)

const day = 24 * time.Hour

// jumps is what runs with the other clock.
func jumps(t *testing.T) {
	t.Run("the library has the clock that jumps", theClockIsTheOtherOne)
	t.Run("directory", func(t *testing.T) { jumpmatrix.Run(t, directory) })
	t.Run("memory", func(t *testing.T) {
		jumpmatrix.Run(t, func(*testing.T) kms.BackendConfig { return mock.New() })
	})
	t.Run("caches live by the monotonic clock", inBubble(cachesLiveByTheMonotonicClock))
	t.Run("changes are seen at once", inBubble(changesAreSeenAtOnce))
	t.Run("bucket keys live by the monotonic clock", inBubble(bucketKeysLiveByTheMonotonicClock))
	t.Run("a window is not shortened", inWorld(aWindowIsNotShortened))
	t.Run("a day is left to cancel", inWorld(aDayIsLeftToCancel))
	t.Run("rotations go by the wall clock", inWorld(rotationsGoByTheWallClock))
	t.Run("a lost counter is not begun anew in the past", aLostCounterIsNotBegunAnewInThePast)
}

// directory configures an empty key directory.
func directory(t *testing.T) kms.BackendConfig {
	root := kms.NewSecret(bytes.Repeat([]byte{7}, 32))
	return local.Config{Dir: filepath.Join(t.TempDir(), "keys"), RootKey: root, AllowUnlockedMemory: true}
}

// Without this all other tests would be about nothing.
func theClockIsTheOtherOne(t *testing.T) {
	for _, config := range []kms.BackendConfig{directory(t), mock.New()} {
		b, err := config.Open(t.Context())
		require.NoError(t, err)
		defer b.Close()
		jumpclock.Set(1000 * day)
		resp, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
		jumpclock.Set(0)
		require.NoError(t, err)
		require.Greater(t, time.Until(resp.Key.CreatedAt), 999*day)
	}
}
