package sessions

import (
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

// Only Vault Enterprise and OpenBao have namespaces: this runs on a server of VAULT_ADDR.
func TestNamespaces(t *testing.T) {
	m := testenv.NewMounts(t)
	const name = "objectkms-e2e"
	if _, err := m.Client().Logical().WriteWithContext(t.Context(), "sys/namespaces/"+name, nil); err != nil {
		t.Skipf("the server has no namespaces: %v", err)
	}
	t.Cleanup(func() { m.Client().Logical().Delete("sys/namespaces/" + name) })
	inside, err := m.Client().Clone()
	require.NoError(t, err)
	inside.SetToken(m.Token)
	inside.SetNamespace(name)
	require.NoError(t, inside.Sys().MountWithContext(t.Context(), "transit", &api.MountInput{Type: "transit"}))
	require.NoError(t, inside.Sys().MountWithContext(t.Context(), "secret", &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}}))
	for _, engine := range []vault.Engine{vault.Transit, vault.KV2} {
		config := m.Config(engine)
		outside := open(t, config)
		config.Namespace, config.TransitMount, config.KVMount, config.KeyPrefix = name, "transit", "secret", []string{"a", "b"}[engine]
		b := open(t, config)
		key := makeKey(t, b, "k")
		require.NoError(t, key.Open(t.Context(), b))
		require.NoError(t, b.HealthCheck(t.Context()))
		_, err = outside.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
		require.ErrorIs(t, err, kms.ErrKeyNotFound)
	}
}
