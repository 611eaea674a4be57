package clock_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/destruction/clock/jumpclock"
	"github.com/objectkms/kms/e2e/destruction/clock/jumpmatrix"
	"github.com/objectkms/kms/local"
)

// inWorld runs a test with a service over a key directory, for each jump.
func inWorld(test func(t *testing.T, w *jumpmatrix.World, jump time.Duration)) func(t *testing.T) {
	return func(t *testing.T) {
		for _, jump := range []time.Duration{60 * day, -3650 * day} {
			t.Run(jump.String(), func(t *testing.T) {
				jumpmatrix.In(t, directory, func(t *testing.T, w *jumpmatrix.World) { test(t, w, jump) })
			})
		}
	}
}

func create(t *testing.T, keys kms.KeyService, id string) {
	t.Helper()
	_, err := keys.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
	require.NoError(t, err)
}

// schedule lets a key go in a week, and returns how far that is, by the right clock.
func schedule(t *testing.T, keys kms.KeyService, id string) time.Duration {
	t.Helper()
	resp, err := keys.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, PendingWindowDays: 7})
	require.NoError(t, err)
	return time.Until(resp.Key.DeletionDate).Round(time.Hour)
}

func cancel(t *testing.T, keys kms.KeyService, id string) {
	t.Helper()
	_, err := keys.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionRequest{KeyID: id})
	require.NoError(t, err)
}

// No window ends earlier than a week after the latest time that the key has, whatever the clock says.
func aWindowIsNotShortened(t *testing.T, w *jumpmatrix.World, jump time.Duration) {
	create(t, w, "made.before")
	w.Jump(jump)
	create(t, w, "made.meanwhile")
	require.Equal(t, max(jump, 0)+7*day, schedule(t, w, "made.before"))
	require.Equal(t, jump+7*day, schedule(t, w, "made.meanwhile"))
	cancel(t, w, "made.meanwhile")
	w.PutRight()
	require.Equal(t, max(jump, 0)+7*day, schedule(t, w, "made.meanwhile"))
}

// A key that was made and scheduled by a clock far behind is past its date at once when the clock is put right. There is a day left to notice.
func aDayIsLeftToCancel(t *testing.T, w *jumpmatrix.World, jump time.Duration) {
	w.Jump(jump)
	w.Restart(t) // with the wrong time
	create(t, w, "lost")
	create(t, w, "saved")
	schedule(t, w, "lost")
	schedule(t, w, "saved")
	w.PutRight()
	w.Restart(t)
	jumpmatrix.Pass(23 * time.Hour)
	cancel(t, w, "saved")
	jumpmatrix.Pass(2 * time.Hour)
	_, err := w.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "saved"})
	require.NoError(t, err)
	_, err = w.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "lost"})
	if jump < 0 {
		require.ErrorIs(t, err, kms.ErrKeyNotFound)
		return
	}
	require.NoError(t, err, "its date is still to come")
}

// A worker that rotates does so once after a jump forward, and not at all after one back. Nothing is lost by it.
func rotationsGoByTheWallClock(t *testing.T, w *jumpmatrix.World, jump time.Duration) {
	require.NoError(t, w.Stop(t.Context()))
	w.Rotation = kms.RotationOptions{Interval: time.Hour, Jitter: -1, RotateAfter: 30 * day}
	require.NoError(t, w.Start(t.Context()))
	create(t, w, "k")
	wrapped, err := w.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "k", Plaintext: []byte("x")})
	require.NoError(t, err)
	w.Jump(jump)
	jumpmatrix.Pass(5 * day)
	key, err := w.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	wanted := uint32(1)
	if jump > 0 {
		wanted = 2
	}
	require.Equal(t, wanted, key.Key.Version)
	w.PutRight()
	jumpmatrix.Pass(29 * day)
	key, err = w.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	require.LessOrEqual(t, key.Key.Version, uint32(2))
	require.NoError(t, open(t, w, wrapped.Ciphertext))
}

// The counter of a directory is never behind the clock. Where it is lost, as by a power cut, and the clock was set back, what is written next could look older
// than what was there: that is refused, and works again when the clock is right.
func aLostCounterIsNotBegunAnewInThePast(t *testing.T) {
	defer jumpclock.Set(0)
	config := directory(t).(local.Config)
	b, err := config.Open(t.Context())
	require.NoError(t, err)
	create(t, b, "k")
	wrapped, err := b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "k", Plaintext: []byte("x")})
	require.NoError(t, err)
	require.NoError(t, b.Close())
	require.NoError(t, os.Truncate(filepath.Join(config.Dir, "lock"), 0))

	jumpclock.Set(-3650 * day)
	b, err = config.Open(t.Context())
	require.NoError(t, err)
	defer b.Close()
	require.NoError(t, open(t, b, wrapped.Ciphertext))
	_, err = b.(kms.KeyRotator).RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	create(t, b, "other")
	require.NoError(t, open(t, b, wrapped.Ciphertext), "nothing was lost")

	jumpclock.Set(0)
	rotated, err := b.(kms.KeyRotator).RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	require.Equal(t, uint32(2), rotated.Key.Version)
	require.NoError(t, open(t, b, wrapped.Ciphertext))
}
