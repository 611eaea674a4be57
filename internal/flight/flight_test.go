package flight_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/flight"
)

type group = flight.Group[string, *int]

// counted returns a group that counts the values it has released, each of which it sets to -1.
func counted(released *atomic.Int32) *group {
	return &group{Release: func(v *int) {
		released.Add(1)
		*v = -1
	}}
}

// slowly returns a load of value 7 that takes d, and counts how often it was called.
func slowly(d time.Duration, calls *atomic.Int32) func(context.Context) (*int, error) {
	return func(ctx context.Context) (*int, error) {
		calls.Add(1)
		v := 7
		select {
		case <-time.After(d):
			return &v, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestCallersAtTheSameTimeShareALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, released, shared, used atomic.Int32
		g := counted(&released)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				s, err := g.Do(t.Context(), "k", slowly(time.Second, &calls), func(v *int) {
					require.Equal(t, 7, *v, "must not be released before everybody has used it")
					used.Add(1)
				})
				require.NoError(t, err)
				if s {
					shared.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, calls.Load())
		require.EqualValues(t, 99, shared.Load())
		require.EqualValues(t, 100, used.Load())
		require.EqualValues(t, 1, released.Load())
	})
}

func TestCallersAfterALoadBeginAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, released atomic.Int32
		g := counted(&released)
		for range 3 {
			shared, err := g.Do(t.Context(), "k", slowly(time.Second, &calls), func(*int) {})
			require.NoError(t, err)
			require.False(t, shared)
		}
		require.EqualValues(t, 3, calls.Load())
		require.EqualValues(t, 3, released.Load())
	})
}

func TestOtherKeysAreOtherLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		var g group
		go g.Do(t.Context(), "a", slowly(time.Second, &calls), func(*int) {})
		synctest.Wait()
		shared, err := g.Do(t.Context(), "b", slowly(time.Second, &calls), func(*int) {})
		require.NoError(t, err)
		require.False(t, shared)
		require.EqualValues(t, 2, calls.Load())
	})
}

func TestAnErrorGoesToAllAndReleasesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var released atomic.Int32
		g := counted(&released)
		failure := errors.New("failure")
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := g.Do(t.Context(), "k", func(context.Context) (*int, error) {
					time.Sleep(time.Second)
					return nil, failure
				}, func(*int) { t.Error("there is no value to use") })
				require.ErrorIs(t, err, failure)
			})
		}
		wg.Wait()
		require.Zero(t, released.Load())
	})
}

func TestACallerWhoLeavesHarmsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, released atomic.Int32
		g := counted(&released)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := g.Do(ctx, "k", slowly(time.Minute, &calls), func(*int) { t.Error("used after leaving") })
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
		synctest.Wait()
		shared, err := g.Do(t.Context(), "k", slowly(time.Minute, &calls), func(v *int) { require.Equal(t, 7, *v) })
		require.NoError(t, err)
		require.True(t, shared)
		wg.Wait()
		require.EqualValues(t, 1, calls.Load())
		require.EqualValues(t, 1, released.Load())
	})
}

func TestALoadThatAllHaveLeftIsCancelledAndNotJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		var g group
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var cancelled atomic.Bool
		_, err := g.Do(ctx, "k", func(ctx context.Context) (*int, error) {
			<-ctx.Done()
			time.Sleep(time.Hour) // it is slow to obey
			cancelled.Store(true)
			return nil, ctx.Err()
		}, func(*int) {})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		shared, err := g.Do(t.Context(), "k", slowly(time.Second, &calls), func(v *int) { require.Equal(t, 7, *v) })
		require.NoError(t, err)
		require.False(t, shared)
		time.Sleep(2 * time.Hour)
		require.True(t, cancelled.Load())
	})
}

func TestAValueThatNobodyWaitsForIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var released atomic.Int32
		g := counted(&released)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := g.Do(ctx, "k", func(context.Context) (*int, error) {
			time.Sleep(time.Minute)
			return new(int), nil
		}, func(*int) {})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Zero(t, released.Load())
		time.Sleep(time.Minute)
		synctest.Wait()
		require.EqualValues(t, 1, released.Load())
	})
}

func TestALoadThatAllHaveLeftDoesNotDisturbTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		var g group
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := g.Do(ctx, "k", func(context.Context) (*int, error) {
			time.Sleep(time.Minute)
			return new(int), nil
		}, func(*int) {})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		go g.Do(t.Context(), "k", slowly(time.Hour, &calls), func(*int) {})
		time.Sleep(2 * time.Minute)
		shared, err := g.Do(t.Context(), "k", slowly(time.Hour, &calls), func(v *int) { require.Equal(t, 7, *v) })
		require.NoError(t, err)
		require.True(t, shared)
		require.EqualValues(t, 1, calls.Load())
	})
}

func TestTheLoadHasTheValuesOfTheFirstCallerAndAnEndOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type name struct{}
		var g group
		var seen context.Context
		_, err := g.Do(context.WithValue(t.Context(), name{}, "caller"), "k", func(ctx context.Context) (*int, error) {
			seen = ctx
			require.Equal(t, "caller", ctx.Value(name{}))
			require.NoError(t, ctx.Err())
			return new(int), nil
		}, func(*int) {})
		require.NoError(t, err)
		synctest.Wait()
		require.ErrorIs(t, seen.Err(), context.Canceled)
	})
}

func TestAPanicReachesEveryCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var released, panics atomic.Int32
		g := counted(&released)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				defer func() {
					if recover() == "bug" {
						panics.Add(1)
					}
				}()
				g.Do(t.Context(), "k", func(context.Context) (*int, error) {
					time.Sleep(time.Second)
					panic("bug")
				}, func(*int) {})
			})
		}
		wg.Wait()
		require.EqualValues(t, 5, panics.Load())
		require.Zero(t, released.Load())
	})
}

func TestALoadThatEndsItsGoroutineIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var released atomic.Int32
		g := counted(&released)
		_, err := g.Do(t.Context(), "k", func(context.Context) (*int, error) {
			runtime.Goexit()
			return new(int), nil
		}, func(*int) { t.Error("there is no value to use") })
		require.ErrorContains(t, err, "ended its goroutine")
		require.Zero(t, released.Load())
	})
}

func TestNothingIsLoadedWithAContextThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var g group
		_, err := g.Do(ctx, "k", func(context.Context) (*int, error) {
			t.Error("loaded")
			return new(int), nil
		}, func(*int) { t.Error("used") })
		require.ErrorIs(t, err, context.Canceled)
		synctest.Wait()
	})
}

// abandonedVariable makes a child process of a test leave a load that panics.
const abandonedVariable = "FLIGHT_TEST_ABANDONED"

func TestAPanicThatNobodyWaitsForEndsTheProcess(t *testing.T) {
	if os.Getenv(abandonedVariable) != "" {
		ctx, cancel := context.WithCancel(t.Context())
		var g group
		g.Do(ctx, "k", func(ctx context.Context) (*int, error) {
			cancel()
			<-ctx.Done()
			panic("bug")
		}, func(*int) {})
		select {}
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=1m")
	child.Env = append(os.Environ(), abandonedVariable+"=1")
	out, err := child.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "panic: bug")
}

// A lateContext ends once the load is over, so that its caller finds both at the same time.
type lateContext struct {
	context.Context
	cancel func()
}

func (c lateContext) Done() <-chan struct{} {
	synctest.Wait()
	c.cancel()
	return c.Context.Done()
}

func TestAPanicReachesACallerWhoLeavesAtTheSameTime(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var g group
			require.PanicsWithValue(t, "bug", func() {
				g.Do(lateContext{ctx, cancel}, "k", func(context.Context) (*int, error) { panic("bug") }, func(*int) {})
			})
		})
	}
}
