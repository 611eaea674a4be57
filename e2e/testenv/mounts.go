package testenv

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

// Mounts are a Transit engine and a KV engine of version 2 that only this test uses.
type Mounts struct {
	Address string // the server's URL
	CAFile  string // the authority of its certificate; empty: the system's, or no TLS
	Token   string // may do everything
	Transit string // where the Transit engine is mounted
	KV      string // where the KV engine is mounted

	client *api.Client
	shared bool // with others, on a server that stays
}

// Vault returns the configuration of a Vault with the Transit engine that nobody else uses. It is on the server of VAULT_ADDR with VAULT_TOKEN where
// those are set, and else on one that is started for this test.
func Vault(t testing.TB) kms.Config {
	t.Helper()
	return kms.Config{Backend: NewMounts(t).Config(vault.Transit)}
}

// NewMounts mounts fresh engines, and unmounts them when the test has ended. They are on the server of VAULT_ADDR with VAULT_TOKEN where those are
// set, with VAULT_CACERT for its certificate, and else on one that is started for this test. The server may be OpenBao.
func NewMounts(t testing.TB) *Mounts {
	t.Helper()
	url := os.Getenv(api.EnvVaultAddress)
	if url == "" {
		return StartServer(t, ServerOptions{}).Mounts(t)
	}
	token := os.Getenv(api.EnvVaultToken)
	if token == "" {
		t.Fatalf("testenv: %s is set, but not %s", api.EnvVaultAddress, api.EnvVaultToken)
	}
	return newMounts(t, Mounts{Address: url, CAFile: os.Getenv(api.EnvVaultCACert), Token: token, shared: true})
}

// leaveNothing removes something from a server that stays when the test has ended. What is on a server of the test's own goes with it.
func (m *Mounts) leaveNothing(t testing.TB, what string, remove func(ctx context.Context, what string) error) {
	if !m.shared {
		return
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := remove(context.Background(), what); err != nil {
			t.Errorf("testenv: %s stays on the server: %v", what, err)
		}
	})
}

// Mounts mounts fresh engines on this server. They go with the server.
func (s *Server) Mounts(t testing.TB) *Mounts {
	t.Helper()
	return newMounts(t, Mounts{Address: s.url, CAFile: s.ca, Token: s.keys.root})
}

// DefaultMounts mounts the engines where a configuration that names no mounts looks for them. It can be done once for a server.
func (s *Server) DefaultMounts(t testing.TB) *Mounts {
	t.Helper()
	m := &Mounts{Address: s.url, CAFile: s.ca, Token: s.keys.root, Transit: "transit", KV: "secret", client: s.Client(t)}
	m.mountBoth(t)
	return m
}

// Fresh mounts other engines on the same server.
func (m *Mounts) Fresh(t testing.TB) *Mounts {
	t.Helper()
	return newMounts(t, *m)
}

// newMounts mounts engines with new names on the server that place is on.
func newMounts(t testing.TB, place Mounts) *Mounts {
	t.Helper()
	m := &place
	m.Transit, m.KV = unique("transit"), unique("kv")
	m.client = newClient(t, m.Address, m.CAFile, m.Token)
	m.mountBoth(t)
	return m
}

func (m *Mounts) mountBoth(t testing.TB) {
	t.Helper()
	m.mount(t, m.Transit, &api.MountInput{Type: "transit"})
	m.mount(t, m.KV, &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}})
	// A KV engine becomes one of version 2 some time after it was mounted, and refuses requests until then.
	eventually(t, "waiting for the KV engine", func(ctx context.Context) error {
		_, err := m.client.Logical().WriteWithContext(ctx, m.KV+"/config", map[string]any{"max_versions": 0})
		return err
	})
}

func (m *Mounts) mount(t testing.TB, path string, input *api.MountInput) {
	t.Helper()
	must(t, m.client.Sys().MountWithContext(t.Context(), path, input), "mounting an engine")
	m.leaveNothing(t, path, m.client.Sys().UnmountWithContext)
}

// unique returns a name that nothing else on the server has.
func unique(kind string) string { return kind + "-" + strings.ToLower(rand.Text()[:10]) }

// Client returns a client with the token that may do everything.
func (m *Mounts) Client() *api.Client { return m.client }

// Config returns the configuration of an engine here, with the token that may do everything.
func (m *Mounts) Config(engine vault.Engine) vault.Config {
	return m.ConfigWith(engine, vault.TokenAuth{Token: kms.NewSecret([]byte(m.Token))})
}

// ConfigWith returns the configuration of an engine here, with the given credentials.
func (m *Mounts) ConfigWith(engine vault.Engine, auth vault.Auth) vault.Config {
	return vault.Config{
		Address: m.Address, Auth: auth, Engine: engine,
		TransitMount: m.Transit, KVMount: m.KV,
		TLS: vault.TLS{CAFile: m.CAFile},
	}
}

// At returns the same engines as seen through a proxy, or another node of the cluster.
func (m *Mounts) At(t testing.TB, url string) *Mounts {
	t.Helper()
	other := *m
	other.Address, other.client = url, newClient(t, url, m.CAFile, m.Token)
	return &other
}
