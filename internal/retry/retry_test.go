package retry_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/retry"
)

var errTemporary = errors.New("temporary")

func temporary(err error) bool {
	return errors.Is(err, errTemporary) || errors.Is(err, retry.ErrTimeout)
}

// failing returns an attempt that fails n times.
func failing(n int, err error) func(context.Context) error {
	return func(context.Context) error {
		if n--; n >= 0 {
			return err
		}
		return nil
	}
}

func TestAttemptsUntilSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts, err := retry.Policy{Attempts: 5}.Do(t.Context(), temporary, failing(3, errTemporary))
		require.NoError(t, err)
		require.Equal(t, 4, attempts)
	})
}

func TestAttemptsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, n := range []int{-1, 0, 1, 3} {
			attempts, err := retry.Policy{Attempts: n}.Do(t.Context(), temporary, failing(9, errTemporary))
			require.ErrorIs(t, err, errTemporary)
			require.Equal(t, max(n, 1), attempts)
		}
	})
}

func TestAnErrorForGoodEndsIt(t *testing.T) {
	final := errors.New("final")
	attempts, err := retry.Policy{Attempts: 5}.Do(t.Context(), temporary, failing(9, final))
	require.Equal(t, final, err)
	require.Equal(t, 1, attempts)
}

func TestWaitsGrowAndAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := retry.Policy{Attempts: 8, Base: time.Second, Max: 4 * time.Second}
		bounds := []time.Duration{0, 1, 2, 4, 4, 4, 4, 4}
		var waited []time.Duration
		for range 50 {
			last, n := time.Now(), 0
			policy.Do(t.Context(), temporary, func(context.Context) error {
				wait := time.Since(last)
				require.LessOrEqual(t, wait, bounds[n]*time.Second)
				waited = append(waited, wait)
				last = time.Now()
				n++
				return errTemporary
			})
		}
		longest := time.Duration(0)
		distinct := map[time.Duration]bool{}
		for _, wait := range waited {
			longest = max(longest, wait)
			distinct[wait] = true
		}
		require.Greater(t, longest, 3*time.Second, "the wait must grow to its bound")
		require.Greater(t, len(distinct), 100, "the wait must be random")
	})
}

func TestTheDefaultWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			start := time.Now()
			retry.Policy{Attempts: 2}.Do(t.Context(), temporary, failing(9, errTemporary))
			require.LessOrEqual(t, time.Since(start), 100*time.Millisecond)
		}
		start := time.Now()
		retry.Policy{Attempts: 101}.Do(t.Context(), temporary, failing(200, errTemporary))
		require.Less(t, time.Since(start), 100*5*time.Second)
		require.Greater(t, time.Since(start), 100*time.Second)
	})
}

func TestAnAttemptThatTimesOutIsSeenAsSuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		attempts, err := retry.Policy{Attempts: 3, Timeout: time.Second}.Do(t.Context(), temporary, func(ctx context.Context) error {
			calls++
			<-ctx.Done()
			return ctx.Err()
		})
		require.ErrorIs(t, err, retry.ErrTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3, attempts)
		require.Equal(t, 3, calls)
	})
}

func TestATimeoutKeepsTheErrorOfTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := retry.Policy{Timeout: time.Second}.Do(t.Context(), temporary, func(context.Context) error {
			time.Sleep(time.Second + time.Nanosecond)
			return errTemporary
		})
		require.ErrorIs(t, err, retry.ErrTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errTemporary)
	})
}

func TestAFailureWithinTheTimeoutIsNone(t *testing.T) {
	_, err := retry.Policy{Timeout: time.Hour}.Do(t.Context(), temporary, failing(1, errTemporary))
	require.Equal(t, errTemporary, err)
}

func TestTheLongestWaitBindsTheFirstToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			start := time.Now()
			retry.Policy{Attempts: 2, Base: time.Hour, Max: time.Second}.Do(t.Context(), temporary, failing(9, errTemporary))
			require.Less(t, time.Since(start), time.Second)
		}
	})
}

func TestASuccessIsASuccessHoweverLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		attempts, err := retry.Policy{Timeout: time.Minute}.Do(ctx, temporary, func(context.Context) error {
			time.Sleep(time.Hour)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 1, attempts)
	})
}

func TestTheCallersContextEndsAnAttempt(t *testing.T) {
	for _, policy := range []retry.Policy{{Attempts: 9, Timeout: time.Minute}, {Attempts: 1}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			attempts, err := policy.Do(ctx, temporary, func(ctx context.Context) error {
				<-ctx.Done()
				return errTemporary
			})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, errTemporary)
			require.NotErrorIs(t, err, retry.ErrTimeout)
			require.Equal(t, 1, attempts)
		})
	}
}

func TestTheCallersContextEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		start := time.Now()
		attempts, err := retry.Policy{Attempts: 1000, Base: time.Hour, Max: time.Hour}.Do(ctx, temporary, func(context.Context) error {
			time.AfterFunc(time.Millisecond, cancel)
			return errTemporary
		})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, errTemporary)
		require.Equal(t, 1, attempts)
		require.Equal(t, time.Millisecond, time.Since(start))
	})
}

func TestNothingIsTriedWithAContextThatIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	attempts, err := retry.Policy{}.Do(ctx, temporary, func(context.Context) error {
		t.Error("tried")
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, attempts)
}

func TestWithoutATimeoutTheContextIsTheCallers(t *testing.T) {
	_, err := retry.Policy{}.Do(t.Context(), temporary, func(ctx context.Context) error {
		_, limited := ctx.Deadline()
		require.False(t, limited)
		return nil
	})
	require.NoError(t, err)
}

func TestTheLongestWaitsDoNotOverflow(t *testing.T) {
	tests := []struct {
		name string
		base time.Duration
		last int // the attempt after which the wait is cut short
	}{
		{"the first", math.MaxInt64, 1},
		{"doubled", 1 << 62, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				n := 0
				attempts, err := retry.Policy{Attempts: 9, Base: tt.base, Max: math.MaxInt64}.Do(ctx, temporary, func(context.Context) error {
					if n++; n == tt.last {
						time.AfterFunc(time.Millisecond, cancel)
					}
					return errTemporary
				})
				require.ErrorIs(t, err, context.Canceled)
				require.Equal(t, tt.last, attempts)
			})
		})
	}
}
