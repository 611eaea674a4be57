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

func TestHealth(t *testing.T) {
	const up, down = `{"initialized":true,"sealed":false,"standby":true}`, `{"initialized":false,"sealed":true}`
	tests := []struct {
		name   string
		status int
		body   string
		fails  string // empty: healthy
	}{
		{"active", 200, up, ""},
		{"standby", 429, up, ""},
		{"secondary for disaster recovery", 472, up, ""},
		{"performance standby", 473, up, ""},
		{"not initialized", 501, down, "not initialized"},
		{"sealed", 503, down, "sealed"},
		{"a status of the future", 474, up, "health is 474"},
		{"an internal error", 500, `{"errors":["x"]}`, "none of Vault's"},
		{"HTML", 200, `<html>Log in</html>`, "none of Vault's"},
		{"HTML of a proxy that is busy", 429, `<html>`, "none of Vault's"},
		{"another JSON", 200, `{"status":"ok"}`, "none of Vault's"},
		{"half of what is asked", 200, `{"initialized":true}`, "none of Vault's"},
		{"nothing", 200, ``, "none of Vault's"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newBubbleVault()
				c := v.open(t, appRole())
				v.set(func() {
					v.intercept = func(req *http.Request, _ string) *http.Response {
						if strings.HasSuffix(req.URL.Path, "sys/health") {
							return respond(tt.status, tt.body)
						}
						return nil
					}
				})
				err := c.health(t.Context())
				if tt.fails == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, kms.ErrUnavailable)
				require.ErrorContains(t, err, tt.fails)
			})
		})
	}
}

func TestHealthIsNobodysSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		c.header.Set(namespaceHeader, "team")
		require.NoError(t, c.health(t.Context()))
		require.NoError(t, use(t, c))
		seen := v.requests("sys/health")[0]
		require.Equal(t, "GET", seen.method)
		require.Empty(t, seen.token)
		require.Empty(t, seen.ns, "sys/health belongs to no namespace")
		require.Equal(t, "team", v.requests("plaintext/k")[0].ns)
	})
}

func TestHealthIsAskedWhateverElseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.always(500, `{"errors":["x"]}`)
		for range breakerFailures {
			require.Error(t, use(t, c))
		}
		v.set(func() { v.intercept = nil })
		require.NoError(t, c.health(t.Context()), "the breaker does not hide that the server works again")

		time.Sleep(breakerPause)
		require.NoError(t, use(t, c))
		v.set(func() { v.delay = time.Minute })
		go together(100, func() error { return use(t, c) })
		synctest.Wait()
		require.Equal(t, 64, c.stats().InFlight)
		v.set(func() { v.delay = 0 })
		start := time.Now()
		require.NoError(t, c.health(t.Context()))
		require.Zero(t, time.Since(start))
	})
}
