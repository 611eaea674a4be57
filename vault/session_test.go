package vault

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// together runs n calls at once and returns their errors.
func together(n int, call func() error) []error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range errs {
		wg.Go(func() { errs[i] = call() })
	}
	wg.Wait()
	return errs
}

func TestOneLoginHoweverManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.revoke()
		v.set(func() { v.delay = time.Second })
		require.ErrorIs(t, c.do(t.Context(), "GET", "sys/../x", nil, nil), kms.ErrInvalidRequest)
		for _, err := range together(200, func() error { return use(t, c) }) {
			require.NoError(t, err)
		}
		require.Equal(t, 2, v.count("/login"), "one at the opening, one after the token died")
		require.EqualValues(t, 2, c.stats().Logins)
	})
}

func TestATokenThatDiesWithAThousandCallsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.set(func() { v.delay = 10 * time.Millisecond })
		time.AfterFunc(25*time.Millisecond, v.revoke)
		for _, err := range together(1000, func() error { return use(t, c) }) {
			require.NoError(t, err)
		}
		require.Equal(t, 2, v.count("/login"))
		require.LessOrEqual(t, v.count("plaintext/k"), 1000+64, "who has waited for a slot comes with the new token")
		require.LessOrEqual(t, v.count("lookup-self"), 2+1, "one question for each login, and one whether the token is dead")
	})
}

func TestARequestIsRepeatedOnceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.set(func() {
			v.intercept = func(req *http.Request, _ string) *http.Response {
				if strings.Contains(req.URL.Path, "/transit/") {
					v.revoke()
				}
				return nil
			}
		})
		require.ErrorIs(t, use(t, c), kms.ErrPermission)
		require.Equal(t, 2, v.count("plaintext/k"))
		require.Equal(t, 2, v.count("/login"))
	})
}

func TestARefusalByAPolicyCostsNoLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.set(func() { v.denied = "transit/datakey/plaintext/k" })
		v.forget()
		for range 500 {
			err := use(t, c)
			require.ErrorIs(t, err, kms.ErrPermission)
			require.NotContains(t, err.Error(), "login")
		}
		require.Equal(t, 500, v.count("plaintext/k"))
		require.Equal(t, 1, v.count("lookup-self"), "what is known for a second is not asked again")
		require.Zero(t, v.count("/login"))
		time.Sleep(barredPause)
		require.ErrorIs(t, use(t, c), kms.ErrPermission)
		require.Equal(t, 2, v.count("lookup-self"))
		for _, err := range together(500, func() error { return c.do(t.Context(), "GET", v.denied, nil, nil) }) {
			require.ErrorIs(t, err, kms.ErrPermission)
		}
		require.LessOrEqual(t, v.count("lookup-self"), 20, "one for those who were refused while it was under way, and one more for those after it")
	})
}

func TestARefusalByAPolicyHidesNoTokenThatDiesAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.set(func() { v.denied = "sys/mounts" })
		require.ErrorIs(t, c.do(t.Context(), "GET", "sys/mounts", nil, nil), kms.ErrPermission)
		v.revoke()
		require.NoError(t, use(t, c))
	})
}

func TestManyBarredRequestsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		for i := range maxBarred + 10 {
			path := fmt.Sprintf("transit/keys/k%d", i)
			v.set(func() { v.denied = path })
			require.ErrorIs(t, c.do(t.Context(), "GET", path, nil, nil), kms.ErrPermission)
		}
		require.LessOrEqual(t, len(c.session.barred), maxBarred)
	})
}

func TestCredentialsThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.set(func() { v.secret = "" })
		v.revoke()
		v.forget()
		for _, err := range together(1000, func() error { return use(t, c) }) {
			require.ErrorIs(t, err, kms.ErrPermission)
		}
		require.Equal(t, 1, v.count("/login"), "all have the refusal of one login")

		v.forget()
		end := time.Now().Add(10 * time.Minute)
		for time.Now().Before(end) {
			err := use(t, c)
			require.ErrorIs(t, err, kms.ErrPermission)
			require.NotErrorIs(t, err, kms.ErrInvalidRequest, "Vault's 400 to a login is a refusal")
			require.ErrorContains(t, err, "login by approle: vault answered 400: invalid role or secret ID")
			time.Sleep(100 * time.Millisecond)
		}
		logins := v.requests("/login")
		require.LessOrEqual(t, len(logins), 10*60/30+5, "a pause that doubles up to 30 s lies between two logins")
		require.GreaterOrEqual(t, len(logins), 10*60/30)
		require.Equal(t, len(logins), len(v.requests("")), "nothing else is asked")
		require.ErrorIs(t, c.health(t.Context()), kms.ErrPermission)
		require.False(t, c.stats().TokenAlive)

		v.set(func() { v.secret = bubbleSecret })
		time.Sleep(longestPause)
		require.NoError(t, use(t, c))
		require.NoError(t, c.health(t.Context()))

		v.set(func() { v.secret = "" })
		v.revoke()
		require.ErrorIs(t, use(t, c), kms.ErrPermission)
		v.set(func() { v.secret = bubbleSecret })
		time.Sleep(firstPause)
		require.NoError(t, use(t, c), "after a success the pause is a short one again")
	})
}

// Vault 1.13 answers 500 to a wrong secret id.
func TestCredentialsThatAreGoneForAServerThatBlamesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.set(func() {
			v.intercept = func(req *http.Request, _ string) *http.Response {
				if strings.HasSuffix(req.URL.Path, "/login") {
					return respond(500, `{"errors":["invalid secret id"]}`)
				}
				return nil
			}
		})
		v.revoke()
		v.forget()
		for range 100 {
			require.ErrorIs(t, use(t, c), kms.ErrPermission)
		}
		require.Equal(t, 1, v.count("/login"), "the refusal is remembered")
		for range 20 {
			time.Sleep(longestPause)
			require.ErrorIs(t, use(t, c), kms.ErrPermission)
		}
		require.False(t, c.stats().BreakerOpen)
	})
}

func TestAnOpeningWithoutCredentialsFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		v.secret = ""
		_, err := v.tryOpen(t, Config{Auth: appRole()})
		require.ErrorIs(t, err, kms.ErrPermission)
		_, err = v.tryOpen(t, Config{Auth: TokenAuth{kms.NewSecret([]byte("dead"))}})
		require.ErrorIs(t, err, kms.ErrPermission)
		_, err = v.tryOpen(t, Config{Auth: TokenFileAuth{filepath.Join(t.TempDir(), "none")}})
		require.ErrorIs(t, err, kms.ErrPermission)
		require.ErrorIs(t, err, os.ErrNotExist)
	})
}

func TestALoginThatIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.revoke()
		v.set(func() {
			v.intercept = func(req *http.Request, _ string) *http.Response {
				if strings.HasSuffix(req.URL.Path, "/login") {
					return lost()
				}
				return nil
			}
		})
		for range 3 {
			err := use(t, c)
			require.ErrorIs(t, err, kms.ErrUnavailable)
			require.NotErrorIs(t, err, kms.ErrPermission)
		}
		v.set(func() { v.intercept = nil })
		require.NoError(t, use(t, c), "there is no pause after what is no refusal")
	})
}

func TestACheckThatIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.set(func() {
			v.denied = "transit/datakey/plaintext/k"
			v.intercept = func(req *http.Request, _ string) *http.Response {
				if strings.HasSuffix(req.URL.Path, lookupPath) {
					return respond(500, `{"errors":["internal error"]}`)
				}
				return nil
			}
		})
		err := use(t, c)
		require.ErrorIs(t, err, kms.ErrUnavailable, "nobody knows whether the token is dead")
		require.Equal(t, 1, v.count("/login"))
	})
}

func TestACallerWhoLeavesEndsNobodysLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.revoke()
		v.set(func() { v.delay = time.Second })
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond) // in the middle of the login
		defer cancel()
		first := make(chan error)
		go func() { first <- c.do(ctx, "GET", "transit/keys/k", nil, nil) }()
		time.Sleep(500 * time.Millisecond)
		second := make(chan error)
		go func() { second <- use(t, c) }()
		err := <-first
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, kms.ErrUnavailable)
		require.NoError(t, <-second)
		require.Equal(t, 2, v.count("/login"))
	})
}

func TestCloseDuringALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.revoke()
		v.set(func() { v.delay = 10 * time.Second })
		errs := make(chan []error)
		go func() { errs <- together(50, func() error { return use(t, c) }) }()
		time.Sleep(25 * time.Second) // refused, found dead, logging in
		start := time.Now()
		c.close()
		require.Zero(t, time.Since(start), "it waits for no answer")
		for _, err := range <-errs {
			require.ErrorIs(t, err, kms.ErrClosed)
			require.NotErrorIs(t, err, context.Canceled)
		}
		require.ErrorIs(t, use(t, c), kms.ErrClosed)
		require.ErrorIs(t, c.health(t.Context()), kms.ErrClosed)
		require.Nil(t, c.session.token.secret)
		c.close()
	})
}

func TestCloseEndsTheCallsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.set(func() { v.delay = time.Hour })
		errs := make(chan []error)
		go func() { errs <- together(200, func() error { return use(t, c) }) }()
		synctest.Wait()
		require.Equal(t, 64, c.stats().InFlight)
		c.close()
		require.Zero(t, c.stats().InFlight, "it waits until they have ended")
		for _, err := range <-errs {
			require.ErrorIs(t, err, kms.ErrClosed)
		}
	})
}

func TestATokenThatMayNotAskAboutItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		v.silent = true
		c := v.open(t, appRole())
		v.set(func() { v.denied = "sys/mounts" })
		for range 600 { // a minute of refusals by a policy
			require.ErrorIs(t, c.do(t.Context(), "GET", "sys/mounts", nil, nil), kms.ErrPermission)
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, v.count("/login"), 4, "it is replaced twice a minute at most")
		v.revoke()
		time.Sleep(silentPause)
		require.NoError(t, use(t, c), "a dead one is found out in the end")
	})
}
