package vault

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// times returns when requests were made, counted from start.
func times(start time.Time, requests []seenRequest) []time.Duration {
	var at []time.Duration
	for _, r := range requests {
		at = append(at, r.at.Sub(start))
	}
	return at
}

func TestRenewalAtHalfTheTimeToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		start := time.Now()
		c := v.open(t, appRole())
		time.Sleep(2*time.Hour + time.Minute)
		require.Equal(t, []time.Duration{30 * time.Minute, time.Hour, 90 * time.Minute, 2 * time.Hour}, times(start, v.requests(renewPath)))
		require.Equal(t, 1, v.count("/login"))
		require.NoError(t, use(t, c))
		stats := c.stats()
		require.EqualValues(t, 4, stats.Renewals)
		require.True(t, stats.TokenAlive)
		require.Equal(t, start.Add(3*time.Hour), stats.TokenExpires)
	})
}

func TestALoginWhenTheLongestTimeIsNear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		v.longest = 90 * time.Minute
		start := time.Now()
		c := v.open(t, appRole())
		for range 24 * 60 {
			time.Sleep(time.Minute)
			require.NoError(t, use(t, c))
		}
		synctest.Wait() // a login may be under way
		require.Zero(t, v.count("lookup-self")-v.count("/login"), "no token was ever found dead")
		logins := times(start, v.requests("/login"))
		require.Equal(t, []time.Duration{0, time.Hour, 2 * time.Hour}, logins[:3], "a renewal that brings no more than half is the last one")
	})
}

func TestALoginAtHalfTheTimeOfATokenThatIsNotRenewable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		v.fixed = true
		start := time.Now()
		v.open(t, appRole())
		time.Sleep(time.Hour + time.Minute)
		require.Equal(t, []time.Duration{0, 30 * time.Minute, time.Hour}, times(start, v.requests("/login")))
		require.Zero(t, v.count(renewPath))
	})
}

func TestALoginWhereARenewalIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		v.denied = renewPath
		start := time.Now()
		c := v.open(t, appRole())
		time.Sleep(31 * time.Minute)
		require.Equal(t, []time.Duration{0, 30 * time.Minute}, times(start, v.requests("/login")))
		require.EqualValues(t, 1, c.stats().RenewalFailures)
		require.EqualValues(t, 2, c.stats().Logins)
	})
}

func TestATokenThatNeverDiesIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, TokenAuth{kms.NewSecret([]byte(v.give(0)))})
		time.Sleep(1000 * time.Hour)
		require.Equal(t, 1, len(v.requests("")))
		require.NoError(t, use(t, c))
		require.Zero(t, c.stats().TokenExpires)
		require.True(t, c.stats().TokenAlive)
	})
}

func TestAGivenTokenIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		given := kms.NewSecret([]byte(v.give(10 * time.Minute)))
		c := v.open(t, TokenAuth{given})
		given.Destroy() // it is the caller's
		start := time.Now()
		time.Sleep(10 * time.Hour)
		require.NoError(t, use(t, c))
		require.Equal(t, 5*time.Minute, times(start, v.requests(renewPath))[0])
		v.revoke()
		require.ErrorIs(t, use(t, c), kms.ErrPermission)
		v.forget()
		for range 100 {
			require.ErrorIs(t, use(t, c), kms.ErrPermission)
		}
		time.Sleep(10 * time.Hour)
		require.Empty(t, v.requests(""), "nobody asks with a token that is dead")
	})
}

func TestAGivenTokenStaysTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		v.fixed = true
		text := v.give(time.Hour)
		given := kms.NewSecret([]byte(text))
		for range 2 {
			c, err := v.tryOpen(t, Config{Auth: TokenAuth{given}})
			require.NoError(t, err)
			require.NoError(t, use(t, c))
			c.close()
			require.Equal(t, text, string(given.Bytes()))
		}
		c := v.open(t, TokenAuth{given})
		given.Destroy()
		time.Sleep(45 * time.Minute)
		require.Zero(t, c.stats().LoginFailures, "what is asked about is a copy")
		require.NoError(t, use(t, c))
	})
}

func TestAGivenTokenAtTheEndOfItsLongestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		v.longest = 90 * time.Minute
		c := v.open(t, TokenAuth{kms.NewSecret([]byte(v.give(time.Hour)))})
		time.Sleep(90*time.Minute - 1500*time.Millisecond)
		require.NoError(t, use(t, c), "it is used up to its end")
		require.Less(t, len(v.requests("")), 60, "and what can bring no more is not asked for all the time")
		time.Sleep(time.Hour)
		require.ErrorIs(t, use(t, c), kms.ErrPermission)
	})
}

func TestARenewalThatIsNotAnsweredIsTriedAgainWhileTheTokenLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		var log journal
		c, err := v.tryOpen(t, Config{Auth: appRole(), Logger: log.logger()})
		require.NoError(t, err)
		defer c.close()
		v.set(func() {
			v.intercept = func(req *http.Request, _ string) *http.Response {
				if strings.Contains(req.URL.Path, "/auth/") {
					return lost()
				}
				return nil
			}
		})
		start := time.Now()
		for range 29 {
			time.Sleep(time.Minute + time.Second)
			require.NoError(t, use(t, c), "calls do not notice")
		}
		time.Sleep(5 * time.Minute)
		tried := times(start, v.requests(renewPath))
		require.Equal(t, []time.Duration{0, 1, 3, 7, 15, 31, 61, 91}, relative(tried[:8]))
		require.Zero(t, v.count("/login")-1, "a login would not be answered either")
		require.Contains(t, log.String(), "the token could not be renewed")
		v.set(func() { v.intercept = nil })
		time.Sleep(longestPause)
		require.Greater(t, time.Until(c.stats().TokenExpires), 59*time.Minute)
		require.Equal(t, 1, v.count("/login"))
	})
}

// relative returns times in seconds after the first.
func relative(at []time.Duration) []time.Duration {
	var seconds []time.Duration
	for _, d := range at {
		seconds = append(seconds, (d-at[0])/time.Second)
	}
	return seconds
}

func TestATokenThatCouldNotBeRenewedIsReplacedWhenItHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.set(func() {
			v.intercept = func(req *http.Request, _ string) *http.Response {
				if strings.HasSuffix(req.URL.Path, renewPath) {
					return lost()
				}
				return nil
			}
		})
		time.Sleep(2 * time.Hour)
		sent := len(v.requests(""))
		time.Sleep(time.Hour)
		require.Equal(t, sent, len(v.requests("")), "nothing is asked for a token that is dead and that nobody needs")
		v.forget()
		require.NoError(t, use(t, c))
		require.Equal(t, 1, v.count("/login"))
		require.Equal(t, 1, v.count("plaintext/k"), "nothing is sent with a token that has expired")
	})
}

func TestRefusedCredentialsLeaveALivingTokenInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		v.fixed = true
		c := v.open(t, appRole())
		v.set(func() { v.secret = "" })
		time.Sleep(59 * time.Minute)
		require.Greater(t, v.count("/login"), 1)
		require.NoError(t, use(t, c))
		v.set(func() { v.denied = "sys/mounts" })
		err := c.do(t.Context(), "GET", "sys/mounts", nil, nil)
		require.ErrorIs(t, err, kms.ErrPermission)
		require.NotContains(t, err.Error(), "login", "it is the policy that refuses this")
		time.Sleep(2 * time.Minute)
		require.ErrorIs(t, use(t, c), kms.ErrPermission)
	})
}

func TestGarbledAnswersToLoginsAndRenewals(t *testing.T) {
	for _, body := range []string{``, `{}`, `{"auth":null}`, `{"auth":{}}`, `{"auth":{"client_token":""}}`, `{"auth":{"client_token":"a b"}}`, `{"auth":{"client_token":"a\nb"}}`, `{"auth":7}`, `{"auth":{"client_token":7}}`} {
		t.Run(body, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newBubbleVault()
				v.intercept = func(*http.Request, string) *http.Response { return respond(200, body) }
				_, err := v.tryOpen(t, Config{Auth: appRole()})
				require.ErrorIs(t, err, kms.ErrUnavailable)
				_, err = v.tryOpen(t, Config{Auth: TokenAuth{kms.NewSecret([]byte("token"))}})
				require.ErrorIs(t, err, kms.ErrUnavailable)

				v.set(func() { v.intercept = nil })
				c := v.open(t, appRole())
				v.set(func() { v.intercept = func(*http.Request, string) *http.Response { return respond(200, body) } })
				time.Sleep(31 * time.Minute)
				require.Zero(t, c.stats().Renewals)
				require.NotZero(t, c.stats().RenewalFailures)
				require.True(t, c.stats().TokenAlive)
			})
		})
	}
}

func TestATimeToLiveBeyondAllReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		v.intercept = func(req *http.Request, _ string) *http.Response {
			if strings.HasSuffix(req.URL.Path, "/login") {
				return respond(200, `{"auth":{"client_token":"t","lease_duration":9223372036854775807,"renewable":true}}`)
			}
			return nil
		}
		c := v.open(t, appRole())
		require.True(t, c.stats().TokenAlive)
		require.Equal(t, time.Now().AddDate(0, 0, 3650), c.stats().TokenExpires)
	})
}
