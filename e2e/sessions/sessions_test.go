// Package sessions logs in to a real server in every way, and takes the credentials away again.
package sessions

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/faultproxy"
	"github.com/objectkms/kms/e2e/internal/sample"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startProxy mounts engines and puts a proxy in front of them.
func startProxy(t *testing.T) (*faultproxy.Proxy, *testenv.Mounts) {
	t.Helper()
	m := testenv.NewMounts(t)
	p := faultproxy.Start(t, m.Address)
	return p, m.At(t, p.URL())
}

func open(t *testing.T, config kms.BackendConfig) *vault.Backend {
	t.Helper()
	b, err := config.Open(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b.(*vault.Backend)
}

func makeKey(t *testing.T, b *vault.Backend, id string) sample.DataKey {
	t.Helper()
	_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
	require.NoError(t, err)
	key, err := sample.New(t.Context(), b, id, nil)
	require.NoError(t, err)
	return key
}

func appRole(r *testenv.Role) vault.AppRoleAuth {
	return vault.AppRoleAuth{Mount: r.Mount, RoleID: r.ID, SecretID: kms.NewSecret([]byte(r.SecretID))}
}

// logins counts the logins that were tried.
func logins(p *faultproxy.Proxy) int {
	return p.Count(func(r faultproxy.Request) bool {
		return r.Method != http.MethodGet && strings.HasPrefix(r.URI, "/v1/auth/") && strings.HasSuffix(r.URI, "/login")
	})
}

// allAtOnce makes n calls at once, and returns their errors.
func allAtOnce(n int, call func() error) error {
	errs := make([]error, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			errs[i] = call()
		})
	}
	close(start)
	all.Wait()
	return errors.Join(errs...)
}

// A token dies with a thousand calls in flight: one of them logs in, and all succeed.
func TestOneLoginForAThousandCallsWithADeadToken(t *testing.T) {
	p, m := startProxy(t)
	role := m.NewRole(t, m.AllPolicy(t), time.Hour, time.Hour)
	config := m.ConfigWith(vault.Transit, appRole(role))
	config.MaxConcurrent = 1000
	b := open(t, config)
	key := makeKey(t, b, "k")
	require.Equal(t, 1, logins(p))
	for round := range 2 {
		// Half of the calls are on their way already when the token dies.
		var early sync.WaitGroup
		var earlyErr error
		early.Go(func() {
			earlyErr = allAtOnce(500, func() error { return key.Open(t.Context(), b) })
		})
		role.RevokeTokens(t)
		require.NoError(t, allAtOnce(500, func() error { return key.Open(t.Context(), b) }))
		early.Wait()
		require.NoError(t, earlyErr)
		require.Equal(t, 2+round, logins(p), "logins")
	}
	require.EqualValues(t, 3, b.ClientStats().Logins)
}

// Tokens that live for two seconds and cannot be renewed are replaced while they live: in six seconds of calls none fails.
func TestTokensAreReplacedBeforeTheyExpire(t *testing.T) {
	for name, maxTTL := range map[string]time.Duration{"renewed": time.Hour, "replaced": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			p, m := startProxy(t)
			role := m.NewRole(t, m.AllPolicy(t), 2*time.Second, maxTTL)
			b := open(t, m.ConfigWith(vault.Transit, appRole(role)))
			key := makeKey(t, b, "k")
			start := time.Now()
			for calls := 0; time.Since(start) < 6*time.Second; calls++ {
				require.NoError(t, key.Open(t.Context(), b), "call %d after %v", calls, time.Since(start))
			}
			stats := b.ClientStats()
			t.Logf("%d logins, %d renewals", stats.Logins, stats.Renewals)
			require.LessOrEqual(t, logins(p), 12)
			if maxTTL == time.Hour {
				require.EqualValues(t, 1, stats.Logins)
				require.NotZero(t, stats.Renewals)
			} else {
				require.Greater(t, stats.Logins, uint64(2))
			}
		})
	}
}

// A role that is gone: every call is ErrPermission, and Vault is not flooded with logins. When the role is back, so are the calls.
func TestARevokedRoleCausesNoStorm(t *testing.T) {
	p, m := startProxy(t)
	role := m.NewRole(t, m.AllPolicy(t), time.Hour, time.Hour)
	file := t.TempDir() + "/secret-id"
	writeFile(t, file, role.SecretID)
	b := open(t, m.ConfigWith(vault.Transit, vault.AppRoleAuth{Mount: role.Mount, RoleID: role.ID, SecretIDFile: file}))
	key := makeKey(t, b, "k")
	role.RevokeSecretIDs(t)
	role.RevokeTokens(t)
	p.Forget()
	start := time.Now()
	for calls := 0; time.Since(start) < 3*time.Second; calls += 100 {
		for range 100 {
			require.ErrorIs(t, key.Open(t.Context(), b), kms.ErrPermission)
		}
		require.ErrorIs(t, b.HealthCheck(t.Context()), kms.ErrPermission)
	}
	all := p.Count(func(r faultproxy.Request) bool { return r.URI != "/v1/sys/health" })
	t.Logf("%d logins, %d requests in all", logins(p), all)
	require.LessOrEqual(t, logins(p), 3)
	require.LessOrEqual(t, all, 30)

	writeFile(t, file, role.NewSecretID(t))
	require.Eventually(t, func() bool { return key.Open(t.Context(), b) == nil }, 40*time.Second, 100*time.Millisecond)
}

// A call that a policy refuses is ErrPermission, costs no login, and harms no other call.
func TestAPolicyRefuses(t *testing.T) {
	p, m := startProxy(t)
	admin := open(t, m.Config(vault.Transit))
	key, other := makeKey(t, admin, "mine"), makeKey(t, admin, "other")
	policy := m.Policy(t, fmt.Sprintf(`
		path "%[1]s/decrypt/mine" { capabilities = ["update"] }
		path "%[1]s/keys/*" { capabilities = ["read"] }
		path "%[2]s/*" { capabilities = ["read", "list"] }
	`, m.Transit, m.KV))
	role := m.NewRole(t, policy, time.Hour, time.Hour)
	b := open(t, m.ConfigWith(vault.Transit, appRole(role)))
	p.Forget()
	for range 20 {
		require.NoError(t, key.Open(t.Context(), b))
		require.ErrorIs(t, other.Open(t.Context(), b), kms.ErrPermission)
		_, err := sample.New(t.Context(), b, "mine", nil)
		require.ErrorIs(t, err, kms.ErrPermission)
	}
	require.Zero(t, logins(p))
}

// Login failures when a backend is opened.
func TestWrongCredentials(t *testing.T) {
	_, m := startProxy(t)
	role := m.NewRole(t, m.AllPolicy(t), time.Hour, time.Hour)
	for name, auth := range map[string]vault.Auth{
		"token":       vault.TokenAuth{Token: kms.NewSecret([]byte("hvs.wrong"))},
		"secret id":   vault.AppRoleAuth{Mount: role.Mount, RoleID: role.ID, SecretID: kms.NewSecret([]byte("wrong"))},
		"role id":     vault.AppRoleAuth{Mount: role.Mount, RoleID: "wrong", SecretID: kms.NewSecret([]byte(role.SecretID))},
		"no file":     vault.TokenFileAuth{Path: t.TempDir() + "/missing"},
		"no such way": vault.AppRoleAuth{Mount: "nothing", RoleID: role.ID, SecretID: kms.NewSecret([]byte(role.SecretID))},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.ConfigWith(vault.Transit, auth).Open(t.Context())
			require.Error(t, err)
			if name == "no such way" {
				require.NotErrorIs(t, err, kms.ErrKeyNotFound)
			} else {
				require.ErrorIs(t, err, kms.ErrPermission)
			}
			for _, secret := range []string{"hvs.wrong", role.SecretID} {
				require.NotContains(t, err.Error(), secret)
			}
		})
	}
}
