package vault

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// ownClient returns a client as a program has one that uses Vault for other things too.
func ownClient(t *testing.T, address string, transport http.RoundTripper) *api.Client {
	t.Helper()
	own, err := api.NewClient(&api.Config{Address: address, HttpClient: &http.Client{Transport: transport}})
	require.NoError(t, err)
	own.SetToken("hvs.own-token")
	own.SetNamespace("own")
	own.AddHeader("X-Own", "yes")
	return own
}

func TestANamespaceIsThatOfEachRequest(t *testing.T) {
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.Path+" "+r.Header.Get("X-Vault-Namespace"))
		io.WriteString(w, `{"auth":{"client_token":"t","lease_duration":0},"data":{}}`)
	}))
	defer server.Close()
	c, err := newClient(t.Context(), Config{Address: server.URL, Namespace: "a/b", Auth: appRole()})
	require.NoError(t, err)
	defer c.close()
	require.NoError(t, c.do(t.Context(), "GET", "k", nil, nil))
	require.Equal(t, []string{"/v1/auth/approle/login a/b", "/v1/auth/token/lookup-self a/b", "/v1/k a/b"}, seen)
}

func TestVaultsEnvironmentChangesNothing(t *testing.T) {
	for name, value := range map[string]string{
		"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "hvs.environment", "VAULT_NAMESPACE": "environment", "VAULT_SKIP_VERIFY": "true",
		"VAULT_CACERT": "/none", "VAULT_HEADERS": `{"x":"y"}`, "VAULT_CLIENT_TIMEOUT": "never",
	} {
		t.Setenv(name, value)
	}
	var seen http.Header
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		io.WriteString(w, `{}`)
	})
	require.NoError(t, c.do(t.Context(), "GET", "k", nil, nil))
	require.Equal(t, "hvs.token", seen.Get(tokenHeader))
	require.NotContains(t, seen, namespaceHeader)
	require.NotContains(t, seen, "X")
	server := serveTLS(t, newAuthority(t), "localhost", ok, nil)
	require.ErrorIs(t, tryDial(t, Config{Address: server.URL}), kms.ErrUnavailable, "certificates are checked")
}

func TestAClientOfTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		own := ownClient(t, "https://vault.example", v)
		own.SetToken(v.give(time.Hour))
		before := own.Headers()
		c, err := newClientFrom(t.Context(), own, Config{})
		require.NoError(t, err)
		require.NoError(t, use(t, c))
		seen := v.requests("plaintext/k")[0]
		require.Equal(t, own.Token(), seen.token)
		require.Equal(t, "own", seen.ns)
		require.Equal(t, "yes", c.header.Get("X-Own"))

		time.Sleep(35 * time.Minute)
		require.Zero(t, v.count(renewPath), "its token is the caller's to renew")
		next := v.give(time.Hour)
		own.SetToken(next)
		require.NoError(t, use(t, c))
		synctest.Wait()
		require.NoError(t, use(t, c))
		calls := v.requests("plaintext/k")
		require.Equal(t, next, calls[len(calls)-1].token, "and to replace")
		c.close()
		require.Equal(t, before, own.Headers())
		require.Equal(t, next, own.Token())
		require.Equal(t, "https://vault.example", own.Address())
		require.ErrorIs(t, use(t, c), kms.ErrClosed)
	})
}

func TestAClientOfTheCallersWithAnotherLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		own := ownClient(t, "https://vault.example", v)
		own.AddHeader(tokenHeader, "hvs.own-token")
		own.SetClientTimeout(3 * time.Second)
		c, err := newClientFrom(t.Context(), own, Config{Auth: appRole(), Namespace: "other", MaxConcurrent: 2})
		require.NoError(t, err)
		defer c.close()
		require.NoError(t, use(t, c))
		for _, r := range v.requests("") {
			require.NotEqual(t, "hvs.own-token", r.token)
			require.Equal(t, "other", r.ns)
		}
		require.Equal(t, 2, cap(c.slots))

		v.set(func() { v.delay = time.Hour })
		start := time.Now()
		require.ErrorIs(t, use(t, c), kms.ErrUnavailable)
		require.Equal(t, 3*time.Second, time.Since(start), "its timeout is used")
	})
}

func TestAClientOfTheCallersBehindAPath(t *testing.T) {
	var path string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		io.WriteString(w, `{"data":{}}`)
	}))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c, err := newClientFrom(t.Context(), ownClient(t, server.URL+"/vault", transport), Config{})
	require.NoError(t, err)
	defer c.close()
	require.NoError(t, c.do(t.Context(), "GET", "k", nil, nil))
	require.Equal(t, "/vault/v1/k", path)
}

func TestClientsOfTheCallersThatAreRefused(t *testing.T) {
	v := newBubbleVault()
	good := ownClient(t, "https://vault.example", v)
	without := ownClient(t, "https://vault.example", v)
	without.ClearToken()
	tests := map[string]struct {
		own  *api.Client
		cfg  Config
		text string
	}{
		"none":         {nil, Config{}, "client is nil"},
		"an address":   {good, Config{Address: "https://other.example"}, "an address is given beside a client"},
		"TLS":          {good, Config{TLS: TLS{ServerName: "x"}}, "TLS settings are given beside a client"},
		"plain HTTP":   {ownClient(t, "http://vault.example", v), Config{}, "want https://"},
		"no token":     {without, Config{}, "token has 0 bytes"},
		"a bad login":  {good, Config{Auth: AppRoleAuth{}}, "no role id"},
		"a bad mount":  {good, Config{KVMount: "/"}, "KV mount"},
		"a bad engine": {good, Config{Engine: 9}, "engine is 9"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := newClientFrom(t.Context(), tt.own, tt.cfg)
			require.ErrorIs(t, err, kms.ErrInvalidConfig)
			require.ErrorContains(t, err, tt.text)
		})
	}
	require.Empty(t, v.requests(""))
}
