// Package conformance runs the suite that every backend must pass over both engines on real servers.
package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend/backendtest"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A place is where a backend's keys are.
type place struct {
	*testenv.Mounts
	config vault.Config
}

// harness runs the suite with fresh mounts for each backend. restart is called between two backends over the same mounts, and returns the mounts
// as they are to be seen from then on.
func harness(engine vault.Engine, mounts func(*testing.T) *testenv.Mounts, restart func(*testing.T, *testenv.Mounts) *testenv.Mounts) backendtest.Harness {
	places := make(map[kms.Backend]place)
	open := func(t *testing.T, p place) kms.Backend {
		b, err := p.config.Open(t.Context())
		require.NoError(t, err)
		places[b] = p
		return b
	}
	at := func(m *testenv.Mounts) place { return place{m, m.Config(engine)} }
	return backendtest.Harness{
		Open: func(t *testing.T) kms.Backend { return open(t, at(mounts(t))) },
		Reopen: func(t *testing.T, b kms.Backend) kms.Backend {
			require.NoError(t, b.Close())
			return open(t, at(restart(t, places[b].Mounts)))
		},
		Damage: func(t *testing.T, b kms.Backend, keyID string) {
			m := places[b].Mounts
			m.Write(t, m.KV+"/data/objectkms/keys/"+keyID, map[string]any{"data": map[string]any{"damaged": "yes"}})
			// What somebody else does is seen within seconds, but not later than a change of one's own.
			_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "of-no-account"})
			require.NoError(t, err)
			_, err = b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "of-no-account", Immediate: true, ConfirmKeyID: "of-no-account"})
			require.NoError(t, err)
		},
	}
}

func engines(t *testing.T, run func(t *testing.T, engine vault.Engine)) {
	for name, engine := range map[string]vault.Engine{"Transit": vault.Transit, "KV2": vault.KV2} {
		t.Run(name, func(t *testing.T) { run(t, engine) })
	}
}

// The server is that of VAULT_ADDR where it is set, or else one in memory.
func TestInMemory(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		m := testenv.NewMounts(t)
		fresh := func(t *testing.T) *testenv.Mounts { return m.Fresh(t) }
		backendtest.Run(t, harness(engine, fresh, func(_ *testing.T, m *testenv.Mounts) *testenv.Mounts { return m }))
	})
}

// maxFileKeyID is the length of the longest key id that Vault's storage "file" has a file name for.
const maxFileKeyID = 104

// A restart is one of the server here, by kill -9.
func TestFile(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		s := testenv.StartServer(t, testenv.ServerOptions{Storage: testenv.File})
		fresh := func(t *testing.T) *testenv.Mounts { return s.Mounts(t) }
		h := harness(engine, fresh, func(t *testing.T, m *testenv.Mounts) *testenv.Mounts {
			s.Kill()
			s.Start(t)
			s.Unseal(t)
			return m
		})
		h.MaxKeyID = maxFileKeyID
		backendtest.Run(t, h)
	})
}

// Every backend uses another node of the cluster: two of three forward what they are asked to the leader.
func TestCluster(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		c := testenv.StartCluster(t)
		next := 0
		elsewhere := func(t *testing.T, m *testenv.Mounts) *testenv.Mounts {
			next = (next + 1) % len(c.Nodes)
			return m.At(t, c.Nodes[next].URL())
		}
		fresh := func(t *testing.T) *testenv.Mounts { return elsewhere(t, c.Nodes[0].Mounts(t)) }
		backendtest.Run(t, harness(engine, fresh, elsewhere))
	})
}
