//go:build !unix

package testenv

import "testing"

// lock passes over the test: the server is started on Unix only.
func lock(t testing.TB, _ string) (unlock func()) {
	t.Helper()
	t.Skip("needs Unix to start a Vault server")
	return nil
}
