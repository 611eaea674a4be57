package vault

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// What is in the file of a credential is sent as it is, without the white space around it, or nothing is sent.
func FuzzCredentialFile(f *testing.F) {
	for _, text := range []string{
		"", " \n\t", "hvs.token\n", "\ufeffhvs.token", "two\nlines", " \u00a0x\u2028", "a b", "\x00", "\xff", strings.Repeat("x", maxTokenSize+1), strings.Repeat("x", maxCredentialSize+1), "x" + strings.Repeat(" ", maxCredentialSize),
	} {
		f.Add([]byte(text))
	}
	file := filepath.Join(f.TempDir(), "file")
	f.Fuzz(func(t *testing.T, text []byte) {
		require.NoError(t, os.WriteFile(file, text, 0o600))
		want := strings.TrimSpace(string(text))
		whole := want != "" && len(text) <= maxCredentialSize
		isToken := whole && len(want) <= maxTokenSize && !strings.ContainsFunc(want, func(c rune) bool { return c < '!' || c > '~' })

		requireSent(t, AppRoleAuth{RoleID: "r", SecretIDFile: file}, whole, "", map[string]string{"role_id": "r", "secret_id": want})
		requireSent(t, KubernetesAuth{Role: "r", JWTFile: file}, whole, "", map[string]string{"role": "r", "jwt": want})
		requireSent(t, TokenFileAuth{file}, isToken, want, nil)
	})
}

// requireSent checks what a login sends, if it sends anything. It is not answered.
func requireSent(t *testing.T, auth Auth, sends bool, token string, body any) {
	t.Helper()
	asked := false
	_, err := auth.source().login(t.Context(), func(_ context.Context, gotToken, _, _ string, gotBody, _ any) error {
		asked = true
		require.Equal(t, token, gotToken)
		require.EqualValues(t, body, gotBody)
		return kms.ErrUnavailable
	})
	require.Equal(t, sends, asked)
	if sends {
		require.Equal(t, kms.ErrUnavailable, err)
		return
	}
	require.ErrorIs(t, err, kms.ErrPermission)
}
