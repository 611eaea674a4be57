// Package quickstart runs the first example over a real server.
package quickstart

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/testenv"
)

func TestQuickstartOverVault(t *testing.T) {
	s := testenv.StartServer(t, testenv.ServerOptions{TLS: testenv.NewAuthority(t)})
	s.DefaultMounts(t)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, make([]byte, 100_003), 0o600))
	for range 2 { // the second run finds what the first has left
		cmd := exec.CommandContext(t.Context(), "go", "run", "github.com/objectkms/kms/examples/quickstart", "-vault", file)
		cmd.Env = append(os.Environ(), "VAULT_ADDR="+s.URL(), "VAULT_TOKEN="+s.RootToken(), "VAULT_CACERT="+s.CAFile(), "VAULT_NAMESPACE=")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Contains(t, string(out), "Enabled, version 1\n")
		require.Contains(t, string(out), ": version 2; version 1 still decrypts\n")
		require.Contains(t, string(out), "another object's name: kms: Decrypt: decryption failed")
		require.NotContains(t, string(out), s.RootToken())
	}
}
