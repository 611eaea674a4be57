package jumpmatrix

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/destruction/clock/jumpclock"
)

// The jumps.
const (
	forward  = 60 * day
	backward = -3650 * day
)

// When the clock jumps: while the service runs that is restarted then, while the next one runs, or both.
const (
	before = "before a restart"
	after  = "after a restart"
	both   = "before and after a restart"
)

// The ways in which a key can go.
const (
	byWorker = "sweeps of the worker"
	byHand   = "a sweep by hand"
	byTime   = "RemoveExpiredKeys"
)

// A cell is one combination, and what must come of it.
type cell struct {
	jump time.Duration
	when string
	how  string
	goes bool // the key may go, since nobody who looks can know better
}

// cells returns all combinations. A key whose clock has jumped goes by a sweep only where a service was started after the jump, by a time that was never
// shown before: to it that is the time. RemoveExpiredKeys is for who has a better clock, and believes it.
func cells() (all []cell) {
	for _, jump := range []time.Duration{forward, backward} {
		for _, when := range []string{before, after, both} {
			for _, how := range []string{byWorker, byHand, byTime} {
				goes := jump == forward && (how == byTime || when == before)
				all = append(all, cell{jump, when, how, goes})
			}
		}
	}
	return all
}

// Run holds every combination against a backend.
func Run(t *testing.T, open func(t *testing.T) kms.BackendConfig) {
	for _, c := range cells() {
		t.Run(fmt.Sprintf("%+d days %s, %s", c.jump/day, c.when, c.how), func(t *testing.T) {
			In(t, open, c.run)
		})
	}
}

func (c cell) run(t *testing.T, w *World) {
	w.create(t, "k")
	w.create(t, "rescued")
	blob, kept := w.encrypt(t, "k"), w.encrypt(t, "rescued")
	w.schedule(t, "k")
	w.schedule(t, "rescued")
	Pass(90 * time.Minute)
	if c.when != after {
		w.Jump(c.jump)
		c.mustStayWhileItRuns(t, w, blob)
	}
	w.Restart(t)
	if c.when != before {
		Pass(90 * time.Minute) // sweeps
		w.Jump(c.jump)
		c.mustStayWhileItRuns(t, w, blob)
	}
	w.rescue(t, "rescued", kept)
	c.remove(t, w)
	require.Equal(t, !c.goes, w.has(t, "k"))
	require.True(t, w.has(t, "rescued"))
	w.mustOpen(t, "rescued", kept)
	if !c.goes {
		c.mustGoInTheEnd(t, w, blob)
	}
}

// mustStayWhileItRuns makes sure that no sweep removes anything after a jump in the life of the service, and that a decryption goes by the date.
func (c cell) mustStayWhileItRuns(t *testing.T, w *World, blob []byte) {
	t.Helper()
	Pass(3 * time.Hour)
	require.ErrorIs(t, w.Status().Sweep.Err, kms.ErrUnavailable)
	_, err := w.SweepExpiredKeys(t.Context())
	require.ErrorIs(t, err, kms.ErrUnavailable)
	require.True(t, w.Status().Sweep.Halted)
	require.True(t, w.has(t, "k"))
	if c.jump == backward {
		w.mustOpen(t, "k", blob)
		return
	}
	_, err = w.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob})
	require.ErrorIs(t, err, kms.ErrKeyPendingDeletion, "past the date, by this clock")
}

// remove tries to have the key removed.
func (c cell) remove(t *testing.T, w *World) {
	t.Helper()
	switch c.how {
	case byWorker:
		Pass(day - 2*time.Hour)
		require.True(t, w.has(t, "k"), "not within a day, whatever the clock says")
		Pass(4 * time.Hour)
	case byHand:
		report, err := w.SweepExpiredKeys(t.Context())
		if c.goes {
			require.NoError(t, err)
			require.Equal(t, []string{"k"}, report.Removed)
		} else {
			require.ErrorIs(t, err, kms.ErrUnavailable)
		}
	case byTime:
		_, err := w.RemoveExpiredKeys(t.Context(), jumpclock.Now())
		require.NoError(t, err)
		_, err = w.RemoveExpiredKeys(t.Context(), jumpclock.Now().Add(8*day))
		require.ErrorIs(t, err, kms.ErrInvalidRequest, "a time that has not come")
	}
}

// mustGoInTheEnd puts the clock right: then the key goes as if nothing had been, and not a day before its time.
func (c cell) mustGoInTheEnd(t *testing.T, w *World, blob []byte) {
	t.Helper()
	described, err := w.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	w.PutRight()
	if c.jump == forward && c.when == both {
		// The second jump was found out, but the first one was the time for the service after it.
		w.mustBeBehind(t)
		w.state = kms.SweepState{HighWater: jumpclock.Now()} // an operator's doing
	}
	w.Restart(t)
	w.mustOpen(t, "k", blob)
	Pass(time.Until(described.Key.DeletionDate) - time.Hour)
	_, err = w.SweepExpiredKeys(t.Context())
	require.NoError(t, err)
	require.True(t, w.has(t, "k"))
	Pass(day - time.Hour)
	require.True(t, w.has(t, "k"), "seen for less than a day")
	Pass(3 * time.Hour)
	require.Equal(t, []string{"rescued"}, w.keys(t))
}

// mustBeBehind makes sure that a service with the right time does not trust it where a later one was shown.
func (w *World) mustBeBehind(t *testing.T) {
	t.Helper()
	w.Restart(t)
	_, err := w.SweepExpiredKeys(t.Context())
	require.ErrorIs(t, err, kms.ErrUnavailable)
	require.ErrorContains(t, err, "behind")
	require.False(t, w.Status().Sweep.Halted)
}
