package vault

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/jumpclock"
)

// Tokens are renewed when they must be, however the clock jumps: the server has its own.
func TestJumpsLeaveTheRenewalOfTokensAlone(t *testing.T) {
	for _, jump := range []time.Duration{60 * 24 * time.Hour, -3650 * 24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				jumpclock.Set(0)
				defer jumpclock.Set(0)
				v := newBubbleVault()
				start := time.Now()
				c := v.open(t, appRole())
				time.Sleep(10 * time.Minute)
				jumpclock.Set(jump)
				require.NoError(t, use(t, c))
				time.Sleep(85 * time.Minute)
				require.Equal(t, []time.Duration{30 * time.Minute, time.Hour, 90 * time.Minute}, times(start, v.requests(renewPath)))
				require.Equal(t, 1, v.count("/login"))
				require.NoError(t, use(t, c))
				require.True(t, c.stats().TokenAlive)

				v.revoke() // a token that is dead is replaced
				require.NoError(t, use(t, c))
				require.Equal(t, 2, v.count("/login"))
			})
		})
	}
}
