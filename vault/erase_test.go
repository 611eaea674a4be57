//go:build goexperiment.runtimesecret && linux && (amd64 || arm64)

package vault_test

import (
	runtimesecret "runtime/secret"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/vault"
)

// Requests are answered here in the goroutine that makes them, which is also the one that reads the answers.
func TestTheRootKeyIsHandledWhereTheRuntimeErases(t *testing.T) {
	f := newFakeVault()
	erased := make(map[string]bool)
	f.set(func(method, path string, _ []byte) (int, string) {
		if strings.HasPrefix(path, "secret/data/") {
			erased[method+" "+path] = runtimesecret.Enabled()
		}
		return 0, ""
	}, nil)
	createKey(t, f.open(t, vault.KV2), "k")
	f.open(t, vault.KV2)
	require.True(t, erased["GET secret/data/"+rootEntry])
	require.True(t, erased["POST secret/data/"+rootEntry])
	require.False(t, erased["POST secret/data/objectkms/keys/k"], "records hold no key in the clear")
	require.Contains(t, erased, "POST secret/data/objectkms/keys/k")
}
