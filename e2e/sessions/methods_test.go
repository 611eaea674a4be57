package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/faultproxy"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

// writeFile replaces a file in one step, as an agent does.
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func TestTokenFileIsReadAgain(t *testing.T) {
	m := testenv.NewMounts(t)
	policy := m.AllPolicy(t)
	path := filepath.Join(t.TempDir(), "token")
	first := m.NewToken(t, policy, time.Hour, time.Hour)
	writeFile(t, path, first+"\n")
	b := open(t, m.ConfigWith(vault.Transit, vault.TokenFileAuth{Path: path}))
	key := makeKey(t, b, "k")

	require.NoError(t, m.Client().Auth().Token().RevokeOrphanWithContext(t.Context(), first))
	require.ErrorIs(t, key.Open(t.Context(), b), kms.ErrPermission)
	writeFile(t, path, m.NewToken(t, policy, time.Hour, time.Hour))
	require.Eventually(t, func() bool { return key.Open(t.Context(), b) == nil }, 20*time.Second, 20*time.Millisecond)

	require.NoError(t, os.Remove(path))
	require.NoError(t, key.Open(t.Context(), b), "the token that was read lives on")
}

func TestAppRoleWithSecretIDInAFile(t *testing.T) {
	m := testenv.NewMounts(t)
	role := m.NewRole(t, m.AllPolicy(t), time.Hour, time.Hour)
	path := filepath.Join(t.TempDir(), "secret-id")
	writeFile(t, path, role.SecretID+"\n")
	b := open(t, m.ConfigWith(vault.Transit, vault.AppRoleAuth{Mount: role.Mount, RoleID: role.ID, SecretIDFile: path}))
	key := makeKey(t, b, "k")

	role.RevokeSecretIDs(t)
	writeFile(t, path, role.NewSecretID(t))
	role.RevokeTokens(t)
	require.NoError(t, key.Open(t.Context(), b), "the login reads the new secret id")
}

// The server asks who its clients are, and they ask who it is.
func TestCertificates(t *testing.T) {
	ours, others := testenv.NewAuthority(t), testenv.NewAuthority(t)
	s := testenv.StartServer(t, testenv.ServerOptions{TLS: ours})
	m := s.Mounts(t)
	mount := m.EnableAuth(t, "cert")
	m.Write(t, "auth/"+mount+"/certs/app", map[string]any{
		"certificate": readFile(t, ours.File), "allowed_common_names": "app", "token_policies": m.AllPolicy(t), "token_ttl": "2s", "token_max_ttl": "2s",
	})
	login := func(pair testenv.KeyPair, role string) vault.Config {
		config := m.ConfigWith(vault.Transit, vault.CertAuth{Mount: mount, Name: role})
		config.TLS.CertFile, config.TLS.KeyFile = pair.CertFile, pair.KeyFile
		return config
	}
	app := ours.Issue(t, "app")
	for _, role := range []string{"app", ""} {
		b := open(t, login(app, role))
		if role == "" {
			require.NoError(t, b.HealthCheck(t.Context()))
			continue
		}
		key := makeKey(t, b, "k")
		app = ours.Issue(t, "app") // the files hold another certificate now
		start := time.Now()
		for time.Since(start) < 4*time.Second {
			require.NoError(t, key.Open(t.Context(), b))
		}
		require.Greater(t, b.ClientStats().Logins, uint64(1))
	}
	for name, config := range map[string]vault.Config{
		"another name":      login(ours.Issue(t, "somebody"), "app"),
		"another authority": login(others.Issue(t, "app"), "app"),
		"another role":      login(app, "admin"),
	} {
		_, err := config.Open(t.Context())
		require.ErrorIs(t, err, kms.ErrPermission, name)
	}
}

func TestServersAreRecognized(t *testing.T) {
	ours, others := testenv.NewAuthority(t), testenv.NewAuthority(t)
	m := testenv.StartServer(t, testenv.ServerOptions{TLS: ours}).Mounts(t)
	for name, tt := range map[string]struct {
		tls vault.TLS
		ok  bool
	}{
		"its authority":      {vault.TLS{CAFile: ours.File}, true},
		"its name":           {vault.TLS{CAFile: ours.File, ServerName: "localhost"}, true},
		"unchecked":          {vault.TLS{InsecureSkipVerify: true}, true},
		"the system's":       {vault.TLS{}, false},
		"another authority":  {vault.TLS{CAFile: others.File}, false},
		"another name":       {vault.TLS{CAFile: ours.File, ServerName: "vault.example"}, false},
		"another name, skip": {vault.TLS{InsecureSkipVerify: true, ServerName: "vault.example"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			config := m.Config(vault.Transit)
			config.TLS = tt.tls
			b, err := config.Open(t.Context())
			if !tt.ok {
				require.ErrorIs(t, err, kms.ErrUnavailable)
				require.NotContains(t, err.Error(), m.Token)
				return
			}
			require.NoError(t, err)
			require.NoError(t, b.HealthCheck(t.Context()))
			require.NoError(t, b.Close())
		})
	}
	plain := m.Config(vault.Transit)
	plain.Address = strings.Replace(plain.Address, "https://", "http://", 1)
	_, err := plain.Open(t.Context())
	require.Error(t, err, "plain HTTP to a server that speaks TLS")
}

// Bytes that are cut off, changed or never come on a connection with TLS are never taken for an answer.
func TestBrokenConnections(t *testing.T) {
	authority := testenv.NewAuthority(t)
	server := testenv.StartServer(t, testenv.ServerOptions{TLS: authority})
	relay := faultproxy.StartRelay(t, server.URL())
	for _, engine := range []vault.Engine{vault.Transit, vault.KV2} {
		config := server.Mounts(t).Config(engine)
		key := makeKey(t, open(t, config), "k")
		config.Address = relay.URL()
		b := open(t, config)
		for _, kind := range []faultproxy.StreamFaultKind{faultproxy.CutStream, faultproxy.FlipByte, faultproxy.StallStream} {
			for _, after := range []int64{0, 5, 100, 1000, 1500, 2000, 3000} {
				relay.Fail(faultproxy.StreamFault{Kind: kind, After: after})
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				// Often nothing fails: the server has said all of it before that many bytes.
				err := key.Open(ctx, b)
				if err == nil {
					_, err = b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: key.KeyID})
				}
				if err != nil {
					require.True(t, errors.Is(err, kms.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded), "%v", err)
				}
				cancel()
			}
		}
		relay.Fail(faultproxy.StreamFault{})
		require.Eventually(t, func() bool { return key.Open(t.Context(), b) == nil }, 20*time.Second, 20*time.Millisecond)
	}
}

// tokenReviews is the part of the Kubernetes API that Vault asks whose a JWT is. It knows one service account by the given JWTs.
func tokenReviews(t *testing.T, known ...string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Spec struct{ Token string } `json:"spec"`
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		status := map[string]any{"authenticated": false}
		if slices.Contains(known, review.Spec.Token) {
			status = map[string]any{
				"authenticated": true,
				"user":          map[string]any{"username": "system:serviceaccount:storage:server", "uid": "the-uid"},
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
	}))
	t.Cleanup(s.Close)
	return s
}

func TestKubernetes(t *testing.T) {
	m := testenv.NewMounts(t)
	one, two, stranger := newJWT(t), newJWT(t), newJWT(t)
	cluster := tokenReviews(t, one, two)
	mount := m.EnableAuth(t, "kubernetes")
	m.Write(t, "auth/"+mount+"/config", map[string]any{
		"kubernetes_host": cluster.URL, "token_reviewer_jwt": newJWT(t), "disable_iss_validation": true,
		"disable_local_ca_jwt": true, "kubernetes_ca_cert": readFile(t, testenv.NewAuthority(t).File),
	})
	m.Write(t, "auth/"+mount+"/role/app", map[string]any{
		"bound_service_account_names": "server", "bound_service_account_namespaces": "storage",
		"token_policies": m.AllPolicy(t), "token_ttl": "2s", "token_max_ttl": "2s",
	})
	path := filepath.Join(t.TempDir(), "jwt")
	writeFile(t, path, one)
	config := m.ConfigWith(vault.Transit, vault.KubernetesAuth{Mount: mount, Role: "app", JWTFile: path})
	b := open(t, config)
	key := makeKey(t, b, "k")
	writeFile(t, path, two)
	for start := time.Now(); time.Since(start) < 4*time.Second; {
		require.NoError(t, key.Open(t.Context(), b))
	}
	require.Greater(t, b.ClientStats().Logins, uint64(1))

	writeFile(t, path, stranger)
	_, err := config.Open(t.Context())
	require.ErrorIs(t, err, kms.ErrPermission)
	require.NotContains(t, err.Error(), stranger)
	config.Auth = vault.KubernetesAuth{Mount: mount, Role: "another", JWTFile: path}
	_, err = config.Open(t.Context())
	require.ErrorIs(t, err, kms.ErrPermission)
}
