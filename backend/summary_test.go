package backend_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/vault"
)

func TestSummary(t *testing.T) {
	cfg := runningLocal()
	cfg.Former = []kms.BackendConfig{
		vault.Config{Address: "https://user:hush-hush@v:1/x?token=hush-hush#hush-hush", Auth: vault.TokenAuth{Token: secretOf(hush)}, TLS: vault.TLS{InsecureSkipVerify: true}},
		vault.Config{Address: "hush-hush", Engine: vault.KV2, Auth: vault.AppRoleAuth{SecretID: secretOf(hush)}, KVMount: "kv", KeyPrefix: "p"},
		local.Config{Dir: "/p", Passphrase: secretOf(hush)},
		&local.Config{Dir: "/f", RootKeyFile: "/file"},
		staticConfig{"n", hush},
		nil,
	}
	doc, err := backend.Standard().Summary(cfg)
	require.NoError(t, err)
	requireNoSecret(t, string(doc))
	require.JSONEq(t, `{"backend_type":"local","default_key_id":"main","timeout_seconds":1.5,"retry_attempts":3,"enable_cache":true,
		"cache_summary":{"max_keys":1000,"ttl_seconds":300},"allow_immediate_deletion":false,"decrypt_with_disabled_keys":false,
		"backend_summary":{"backend_type":"local","key_dir":"/keys","root_key_source":"master_key"},
		"former":[
			{"backend_type":"vault-transit","address":"https://v:1/x","auth_method_type":"token","mount_path":"transit","kv_mount":"secret","key_path_prefix":"objectkms","skip_tls_verify":true},
			{"backend_type":"vault-kv2","address":"not a URL","auth_method_type":"approle","kv_mount":"kv","key_path_prefix":"p"},
			{"backend_type":"local","key_dir":"/p","root_key_source":"passphrase"},
			{"backend_type":"local","key_dir":"/f","root_key_source":"root_key_file","root_key_file":"/file"},
			{"backend_type":"static"},
			{"backend_type":""}]}`, string(doc))
}

func TestSummaryOfOptions(t *testing.T) {
	s := backend.Summary(kms.Config{Backend: local.Config{}, Options: kms.Options{RetryAttempts: -4, Cache: kms.CacheOptions{Disabled: true}}})
	require.Equal(t, 1, s.RetryAttempts)
	require.False(t, s.EnableCache)
	require.Nil(t, s.Cache)
	text, err := json.Marshal(s)
	require.NoError(t, err)
	require.NotContains(t, string(text), "cache_summary")
}

func TestSummaryNamesTheMethod(t *testing.T) {
	for want, auth := range map[string]vault.Auth{
		"token": vault.TokenAuth{}, "approle": vault.AppRoleAuth{}, "kubernetes": vault.KubernetesAuth{}, "tokenfile": vault.TokenFileAuth{},
		"cert": vault.CertAuth{}, "custom": &vault.TokenAuth{},
	} {
		require.Equal(t, want, backend.Summary(kms.Config{Backend: vault.Config{Auth: auth}}).Backend.AuthMethod)
	}
}
