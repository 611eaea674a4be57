package retry_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/retry"
)

func TestABreakerOpensAfterFailuresInARow(t *testing.T) {
	b := retry.NewBreaker(3, time.Hour)
	for range 2 {
		require.NoError(t, b.Allow())
		b.Failed(errTemporary)
	}
	b.Succeeded() // what came before it does not count any more
	for range 3 {
		require.NoError(t, b.Allow())
		b.Failed(errTemporary)
	}
	require.EqualError(t, b.Allow(), "breaker is open after 3 failures in a row, the last of them: temporary")
	open, opened := b.State()
	require.True(t, open)
	require.Equal(t, uint64(1), opened)
}

func TestAnOpenBreakerHidesTheChainOfSomebodyElsesError(t *testing.T) {
	b := retry.NewBreaker(1, time.Hour)
	b.Failed(context.DeadlineExceeded)
	require.NotErrorIs(t, b.Allow(), context.DeadlineExceeded)
}

func TestAnOpenBreakerLetsOneCallInEachPauseThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := retry.NewBreaker(1, time.Second)
		b.Failed(errTemporary)
		require.Error(t, b.Allow(), "the first probe is a pause away")
		for range 3 { // probes that never report hold up nobody
			time.Sleep(time.Second)
			require.NoError(t, b.Allow())
			require.Error(t, b.Allow())
		}
	})
}

func TestAProbeThatSucceedsClosesTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := retry.NewBreaker(2, time.Second)
		for range 5 {
			b.Failed(errTemporary)
		}
		time.Sleep(time.Second)
		require.NoError(t, b.Allow())
		b.Failed(errTemporary)
		require.Error(t, b.Allow(), "a probe that fails leaves it open")
		time.Sleep(time.Second)
		require.NoError(t, b.Allow())
		b.Succeeded()
		for range 10 {
			require.NoError(t, b.Allow())
		}
		open, opened := b.State()
		require.False(t, open)
		require.Equal(t, uint64(1), opened, "failures of an open breaker do not open it again")
		b.Failed(errTemporary)
		require.NoError(t, b.Allow(), "it needs as many failures as before")
	})
}

func TestABreakerIsSafeForConcurrentUse(t *testing.T) {
	b := retry.NewBreaker(3, time.Nanosecond)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if b.Allow() == nil {
					b.Failed(errTemporary)
					b.Succeeded()
				}
				b.State()
			}
		})
	}
	wg.Wait()
	require.NoError(t, b.Allow())
}
