package jumpclock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/destruction/clock/jumpclock"
)

func TestTheWallClockJumpsAlone(t *testing.T) { jumpsAlone(t) }

func TestTheWallClockJumpsAloneInABubble(t *testing.T) { synctest.Test(t, jumpsAlone) }

func jumpsAlone(t *testing.T) {
	defer jumpclock.Set(0)
	for _, jump := range []time.Duration{60 * 24 * time.Hour, -3650 * 24 * time.Hour} {
		jumpclock.Set(0)
		before := jumpclock.Now()
		jumpclock.Set(jump)
		after := jumpclock.Now()
		passed := after.Sub(before)
		require.GreaterOrEqual(t, passed, time.Duration(0))
		require.Less(t, passed, time.Hour, "the monotonic clock goes on")
		require.Less(t, jumpclock.Since(before), time.Hour)
		require.Greater(t, jumpclock.Until(before), -time.Hour)
		require.InDelta(t, jump.Hours(), after.Round(0).Sub(before.Round(0)).Hours(), 1, "the wall clock has jumped")
		require.InDelta(t, before.Add(jump).Unix(), after.Unix(), 3600)
	}
}
