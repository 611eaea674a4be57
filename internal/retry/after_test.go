package retry_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/retry"
)

// busy is a failure after which the other side asks to be left alone.
type busy time.Duration

func (busy) Error() string                   { return "busy" }
func (b busy) RetryAfter() time.Duration     { return time.Duration(b) }
func (b busy) wrapped(context.Context) error { return fmt.Errorf("%w: %w", errTemporary, b) }

func TestTheNextAttemptWaitsAsLongAsItIsAsked(t *testing.T) {
	const base = 100 * time.Millisecond
	tests := []struct {
		name     string
		asked    time.Duration
		min, max time.Duration
	}{
		{"not at all", 0, 0, base},
		{"two seconds", 2 * time.Second, 2 * time.Second, 2*time.Second + base},
		{"longer than the longest wait", time.Hour, 5 * time.Second, 5*time.Second + base},
		{"a negative time", -time.Hour, 0, base},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				distinct := map[time.Duration]bool{}
				for range 20 {
					start := time.Now()
					attempts, err := retry.Policy{Attempts: 2}.Do(t.Context(), temporary, busy(tt.asked).wrapped)
					require.ErrorIs(t, err, errTemporary)
					require.Equal(t, 2, attempts)
					require.GreaterOrEqual(t, time.Since(start), tt.min)
					require.LessOrEqual(t, time.Since(start), tt.max)
					distinct[time.Since(start)] = true
				}
				require.Greater(t, len(distinct), 10, "all who were asked at once must not come back at once")
			})
		})
	}
}

func TestNothingIsWaitedForThatTheContextDoesNotLiveToSee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		attempts, err := retry.Policy{Attempts: 9}.Do(ctx, temporary, busy(2*time.Second).wrapped)
		require.Equal(t, 1, attempts)
		require.ErrorIs(t, err, errTemporary)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "it has not ended yet")
		require.Zero(t, time.Since(start))

		attempts, _ = retry.Policy{Attempts: 2}.Do(ctx, temporary, busy(time.Second).wrapped)
		require.Equal(t, 2, attempts)
	})
}
