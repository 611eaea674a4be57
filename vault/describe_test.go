package vault_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

func TestConfigurationsOfOnePlaceHaveOneIdentity(t *testing.T) {
	base := vault.Config{Address: "https://vault.example:8200"}
	same := []vault.Config{
		{Address: "https://vault.example:8200/"},
		{Address: "HTTPS://Vault.Example:8200"},
		{Address: "https://user:hunter2@vault.example:8200"},
		{Address: "https://vault.example:8200", TransitMount: "transit/", KVMount: "secret", KeyPrefix: "/objectkms/"},
		{Address: "https://vault.example:8200", Auth: vault.TokenAuth{Token: kms.NewSecret([]byte("t"))}, MaxConcurrent: 3},
	}
	for _, cfg := range same {
		require.Equal(t, base.Identity(), cfg.Identity())
	}
	others := []vault.Config{
		{Address: "https://vault.example:8201"},
		{Address: "http://vault.example:8200"},
		{Address: "https://vault.example:8200", Namespace: "a"},
		{Address: "https://vault.example:8200", TransitMount: "other"},
		{Address: "https://vault.example:8200", KVMount: "other"},
		{Address: "https://vault.example:8200", KeyPrefix: "other"},
		{Address: "https://vault.example:8200", Engine: vault.KV2},
	}
	for _, cfg := range others {
		require.NotEqual(t, base.Identity(), cfg.Identity())
	}
}

func TestWhatAConfigurationSaysOfItselfIsNoSecret(t *testing.T) {
	secret := func() *kms.Secret { return kms.NewSecret([]byte("hunter2")) }
	tests := []struct {
		auth vault.Auth
		want string
	}{
		{nil, ""},
		{vault.TokenAuth{Token: secret()}, "token"},
		{vault.TokenFileAuth{Path: "/token"}, "token file"},
		{vault.AppRoleAuth{RoleID: "r", SecretID: secret()}, "approle"},
		{vault.KubernetesAuth{Role: "r"}, "kubernetes"},
		{vault.CertAuth{Name: "n"}, "cert"},
	}
	for _, tt := range tests {
		cfg := vault.Config{Address: "https://u:hunter2@vault.example:8200/?t=hunter2#hunter2", Auth: tt.auth}
		require.Equal(t, tt.want, cfg.Settings()["auth"])
		require.NotContains(t, cfg.Identity()+fmt.Sprint(cfg.Settings()), "hunter2")
	}
	require.NotContains(t, vault.Config{Address: "https://hunter2:%zz@x"}.Identity(), "hunter2")
}
