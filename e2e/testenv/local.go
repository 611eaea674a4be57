// Package testenv gives tests a backend to work with: a fresh key directory, or a real Vault server.
//
// [Local] and [Vault] return a configuration to open. Who needs more of Vault starts with [NewMounts], [StartServer] or [StartCluster].
package testenv

import (
	"crypto/rand"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// Local returns the configuration of a key directory that nobody else uses, and that is gone when the test has ended.
func Local(t testing.TB) kms.Config {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("key directories are not supported on Windows")
	}
	root := make([]byte, 32)
	rand.Read(root)
	return kms.Config{Backend: local.Config{
		Dir:                 filepath.Join(t.TempDir(), "keys"),
		RootKey:             kms.NewSecret(root),
		AllowUnlockedMemory: true,
	}}
}
