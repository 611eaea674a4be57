package outages

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/faultproxy"
	"github.com/objectkms/kms/e2e/internal/sample"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

const (
	rate     = 500             // calls a second
	recovery = 2 * time.Second // from a new leader to calls that succeed
)

// A call is one use of a key: when it was, and what came of it.
type call struct {
	start, end time.Time
	err        error
}

// load calls use at a steady rate until stop is closed, whether or not earlier calls have ended, and returns all calls in the order of their starts.
func load(ctx context.Context, stop <-chan struct{}, use func(ctx context.Context, i int) error) []call {
	var (
		calls []*call
		all   sync.WaitGroup
	)
	begun := time.Now()
	for i := 0; ; i++ {
		// What a busy machine has missed is made up for.
		timer := time.NewTimer(time.Until(begun.Add(time.Duration(i) * time.Second / rate)))
		select {
		case <-stop:
			timer.Stop()
			all.Wait()
			done := make([]call, len(calls))
			for i, c := range calls {
				done[i] = *c
			}
			return done
		case <-timer.C:
		}
		c := &call{start: time.Now()}
		calls = append(calls, c)
		all.Go(func() {
			c.err = use(ctx, i)
			c.end = time.Now()
		})
	}
}

// The leader of three nodes is killed while data keys are opened 500 times a second through a load balancer. Until there is a new leader calls
// may fail, but only as ErrUnavailable; two seconds after it is there, none does. The one that was killed comes back.
func TestLeaderKilledUnderLoad(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		c := testenv.StartCluster(t)
		leader := c.Leader(t)
		others := c.Without(leader)
		balancer := faultproxy.StartRelay(t, leader.URL(), others[0].URL(), others[1].URL())
		m := leader.Mounts(t).At(t, balancer.URL())
		b := open(t, m.Config(engine))
		keys := makeKeys(t, b)

		stop, done := make(chan struct{}), make(chan []call)
		go func() {
			done <- load(t.Context(), stop, func(ctx context.Context, i int) error {
				if i%50 == 0 { // master keys are asked for, too
					_, err := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: "key-0"})
					return err
				}
				return keys[i%len(keys)].Open(ctx, b)
			})
		}()
		time.Sleep(time.Second)
		killed := time.Now()
		leader.Kill()
		c.Leader(t, others...)
		elected := time.Now()
		time.Sleep(recovery + 2*time.Second)
		close(stop)
		calls := <-done

		requireOnlyOutage(t, calls, killed, elected)
		requireWhole(t, b, keys)
		leader.Start(t)
		leader.UnsealStandby(t)
		requireWhole(t, open(t, m.At(t, leader.URL()).Config(engine)), keys)
	})
}

// requireOnlyOutage checks that calls failed while there was no leader, and shortly after, and at no other time.
func requireOnlyOutage(t *testing.T, calls []call, killed, elected time.Time) {
	t.Helper()
	failed, lastFailure := 0, killed
	for _, c := range calls {
		if c.err == nil {
			continue
		}
		failed++
		require.ErrorIs(t, c.err, kms.ErrUnavailable)
		require.False(t, errors.Is(c.err, sample.ErrWrong))
		require.True(t, c.end.After(killed), "a call failed before the leader was killed: %v", c.err)
		if c.start.After(lastFailure) {
			lastFailure = c.start
		}
	}
	t.Logf("%d calls, %d failed; a new leader %v after the kill; the last call that failed began %v after the new leader",
		len(calls), failed, elected.Sub(killed).Round(time.Millisecond), lastFailure.Sub(elected).Round(time.Millisecond))
	require.Less(t, lastFailure.Sub(elected), recovery, "calls failed although there was a leader")
	require.True(t, calls[len(calls)-1].start.After(elected.Add(recovery)))
}
