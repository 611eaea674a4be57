package vault

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// always makes every response the same.
func (v *bubbleVault) always(status int, body string) {
	v.set(func() { v.intercept = func(*http.Request, string) *http.Response { return respond(status, body) } })
}

func TestTheBreakerOpensAndClosesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.always(503, `{"errors":["Vault is sealed"]}`)
		v.forget()
		for range breakerFailures {
			require.ErrorContains(t, use(t, c), "vault answered 503")
		}
		for range 100 {
			err := use(t, c)
			require.ErrorIs(t, err, kms.ErrUnavailable)
			require.ErrorContains(t, err, "breaker is open after 5 failures in a row, the last of them: backend is unavailable: vault answered 503: Vault is sealed")
		}
		require.Len(t, v.requests(""), breakerFailures, "nothing is sent while it is open")
		require.True(t, c.stats().BreakerOpen)

		v.forget()
		start := time.Now()
		for time.Since(start) < 10*time.Second {
			time.Sleep(10 * time.Millisecond)
			require.ErrorIs(t, use(t, c), kms.ErrUnavailable)
		}
		require.Len(t, v.requests(""), 10, "one call a second is let through")

		v.set(func() { v.intercept = nil })
		time.Sleep(breakerPause)
		for range 10 {
			require.NoError(t, use(t, c))
		}
		require.False(t, c.stats().BreakerOpen)
		require.EqualValues(t, 1, c.stats().BreakerOpened)
	})
}

func TestAHealthyServerClosesTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.always(503, `{"initialized":true,"sealed":true}`)
		for range breakerFailures {
			require.ErrorIs(t, use(t, c), kms.ErrUnavailable)
		}
		require.ErrorIs(t, c.health(t.Context()), kms.ErrUnavailable)
		require.True(t, c.stats().BreakerOpen)
		v.set(func() { v.intercept = nil })
		require.ErrorContains(t, use(t, c), "breaker is open")
		require.NoError(t, c.health(t.Context()))
		require.NoError(t, use(t, c), "who is told that the server works finds it so")
	})
}

func TestWhatOpensTheBreaker(t *testing.T) {
	tests := map[string]struct {
		answer func() *http.Response
		opens  bool
	}{
		"no answer":                 {lost, true},
		"a garbled one":             {func() *http.Response { return respond(200, `{"data`) }, true},
		"a garbled 404":             {func() *http.Response { return respond(404, `<html>`) }, true},
		"an internal error":         {func() *http.Response { return respond(500, `{"errors":["x"]}`) }, true},
		"a bad gateway":             {func() *http.Response { return respond(502, `<html>`) }, true},
		"a redirect":                {func() *http.Response { return respond(302, ``) }, true},
		"too many requests":         {func() *http.Response { return respond(429, `{"errors":["x"]}`) }, false},
		"a node that lags behind":   {func() *http.Response { return respond(412, `{"errors":["x"]}`) }, false},
		"a name that is too long":   {func() *http.Response { return respond(500, `{"errors":["open /k: file name too long"]}`) }, false},
		"a wrong request":           {func() *http.Response { return respond(400, `{"errors":["x"]}`) }, false},
		"nothing there":             {func() *http.Response { return respond(404, `{"errors":[]}`) }, false},
		"a mount that is not there": {func() *http.Response { return respond(404, `{"errors":["x"]}`) }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newBubbleVault()
				c := v.open(t, appRole())
				v.set(func() { v.intercept = func(*http.Request, string) *http.Response { return tt.answer() } })
				for range 20 {
					require.Error(t, use(t, c))
				}
				require.Equal(t, tt.opens, c.stats().BreakerOpen)
			})
		})
	}
}

func TestCallersInAHurryDoNotOpenTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.set(func() { v.delay = 10 * time.Second })
		for i := range 40 {
			ctx, cancel := context.WithTimeout(t.Context(), patience-time.Millisecond)
			if i%2 == 0 {
				ctx, cancel = context.WithCancel(t.Context())
				time.AfterFunc(5*time.Second, cancel)
			}
			require.Error(t, c.do(ctx, "GET", "a", nil, nil))
			cancel()
		}
		require.False(t, c.stats().BreakerOpen)
		for range breakerFailures {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			require.ErrorIs(t, c.do(ctx, "GET", "a", nil, nil), kms.ErrUnavailable)
			cancel()
		}
		require.True(t, c.stats().BreakerOpen, "a server that answers nobody is down")
	})
}

func TestLoginsDoNotHammerAServerThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.revoke()
		v.always(500, `{"errors":["x"]}`)
		time.Sleep(2 * time.Hour)
		v.forget()
		start := time.Now()
		for time.Since(start) < 10*time.Second {
			time.Sleep(10 * time.Millisecond)
			require.ErrorIs(t, use(t, c), kms.ErrUnavailable)
		}
		require.LessOrEqual(t, len(v.requests("")), 15)
		v.set(func() { v.intercept = nil })
		time.Sleep(breakerPause)
		require.NoError(t, use(t, c))
	})
}

func TestRequestsAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c, err := v.tryOpen(t, Config{Auth: appRole(), MaxConcurrent: 3})
		require.NoError(t, err)
		defer c.close()
		var now, most atomic.Int64
		v.set(func() {
			v.intercept = func(*http.Request, string) *http.Response {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Second)
				now.Add(-1)
				return nil
			}
		})
		start := time.Now()
		go func() {
			time.Sleep(1500 * time.Millisecond)
			require.Equal(t, 3, c.stats().InFlight)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := c.do(ctx, "GET", "a", nil, nil)
			require.ErrorIs(t, err, context.DeadlineExceeded, "waiting obeys the context")
			require.ErrorContains(t, err, "waited for the requests before it")
		}()
		for _, err := range together(30, func() error { return use(t, c) }) {
			require.NoError(t, err)
		}
		require.Equal(t, 10*time.Second, time.Since(start))
		require.EqualValues(t, 3, most.Load())
		require.False(t, c.stats().BreakerOpen)
	})
}

// Those who have slots wait for the login, which must not wait for them.
func TestALoginWaitsForNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c, err := v.tryOpen(t, Config{Auth: appRole(), MaxConcurrent: 1})
		require.NoError(t, err)
		defer c.close()
		v.revoke()
		for _, err := range together(10, func() error { return use(t, c) }) {
			require.NoError(t, err)
		}
	})
}
