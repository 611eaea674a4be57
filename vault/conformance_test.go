package vault_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend/backendtest"
	"github.com/objectkms/kms/vault"
)

// The suite runs over a fake server here, and over real ones in the nested module e2e.
func TestConformance(t *testing.T) {
	t.Run("Transit", func(t *testing.T) { backendtest.Run(t, harness(vault.Transit)) })
	t.Run("KV2", func(t *testing.T) { backendtest.Run(t, harness(vault.KV2)) })
}

func harness(engine vault.Engine) backendtest.Harness {
	var servers sync.Map // of *fakeVault, by the backend
	open := func(t *testing.T, f *fakeVault) kms.Backend {
		b := f.open(t, engine)
		servers.Store(kms.Backend(b), f)
		return b
	}
	serverOf := func(b kms.Backend) *fakeVault {
		f, _ := servers.Load(b)
		return f.(*fakeVault)
	}
	return backendtest.Harness{
		Open: func(t *testing.T) kms.Backend { return open(t, newFakeVault()) },
		Reopen: func(t *testing.T, b kms.Backend) kms.Backend {
			require.NoError(t, b.Close())
			return open(t, serverOf(b))
		},
		Damage: func(t *testing.T, b kms.Backend, id string) {
			f := serverOf(b)
			f.put("objectkms/keys/"+id, `{"record":"damaged"}`)
			// What somebody else does is seen late, but not later than a change of one's own.
			createKey(t, b, "of-no-account")
			removeKey(t, b, "of-no-account")
		},
	}
}
