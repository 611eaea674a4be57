package backend_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/vault"
)

func runningLocal() kms.Config {
	return kms.Config{
		Backend: local.Config{Dir: "/keys", RootKey: kms.NewSecret(rootKey())},
		Options: kms.Options{DefaultKeyID: "main", Timeout: 1500 * time.Millisecond, Authorize: func(context.Context, string, string, kms.EncryptionContext) error { return nil }},
	}
}

func runningVault() kms.Config {
	return kms.Config{Backend: vault.Config{Address: "https://v:1", Auth: vault.TokenAuth{Token: secretOf(hush)}, Engine: vault.KV2, KVMount: "kv", MaxConcurrent: 3}}
}

func merge(t *testing.T, running kms.Config, patch string) kms.Config {
	t.Helper()
	cfg, err := withStatic().Merge(running, []byte(patch))
	require.NoError(t, err)
	return cfg
}

func TestMergeChangesOnlyWhatItIsTold(t *testing.T) {
	running := runningLocal()
	cfg := merge(t, running, `{"cache_ttl_seconds":60}`)
	require.Equal(t, time.Minute, cfg.Cache.TTL)
	require.Equal(t, 1500*time.Millisecond, cfg.Timeout)
	require.Equal(t, "main", cfg.DefaultKeyID)
	require.NotNil(t, cfg.Authorize)
	require.Empty(t, cfg.Former)
	require.Equal(t, "/keys", localOf(t, cfg.Backend).Dir)
	require.Equal(t, rootKey(), localOf(t, cfg.Backend).RootKey.Bytes())
	require.Zero(t, running.Cache.TTL)

	cfg = merge(t, running, `{"default_key_id":"","enable_cache":false}`)
	require.Empty(t, cfg.DefaultKeyID)
	require.True(t, cfg.Cache.Disabled)
}

func TestMergeOfNothing(t *testing.T) {
	cfg := merge(t, runningVault(), ` { } `)
	require.Equal(t, hush, string(vaultOf(t, cfg.Backend).Auth.(vault.TokenAuth).Token.Bytes()))
	require.Equal(t, 3, vaultOf(t, cfg.Backend).MaxConcurrent)
	cfg = merge(t, runningVault(), `{"default_key_id":null,"namespace":null}`)
	require.Equal(t, "vault-kv2", cfg.Backend.BackendType())
}

// The secrets of the result live and die on their own.
func TestMergeCopiesSecrets(t *testing.T) {
	running := runningLocal()
	running.Former = []kms.BackendConfig{runningVault().Backend}
	for _, patch := range []string{`{}`, `{"allow_unlocked_memory":true}`, `{"backend_type":"local","key_dir":"/keys/"}`} {
		cfg := merge(t, running, patch)
		backend.Destroy(cfg)
		require.Equal(t, rootKey(), localOf(t, running.Backend).RootKey.Bytes())
		require.Equal(t, hush, string(vaultOf(t, running.Former[0]).Auth.(vault.TokenAuth).Token.Bytes()))
	}
	withPassphrase := kms.Config{Backend: local.Config{Dir: "/keys", Passphrase: secretOf(hush)}}
	backend.Destroy(merge(t, withPassphrase, `{"allow_unlocked_memory":true}`))
	require.Equal(t, hush, string(localOf(t, withPassphrase.Backend).Passphrase.Bytes()))
	vaultOnly := runningVault()
	for _, patch := range []string{`{}`, `{"max_concurrent":9}`} {
		backend.Destroy(merge(t, vaultOnly, patch))
		require.Equal(t, hush, string(vaultOf(t, vaultOnly.Backend).Auth.(vault.TokenAuth).Token.Bytes()))
	}
}

func TestMergeOfSingleFields(t *testing.T) {
	c := vaultOf(t, merge(t, runningVault(), `{"backend_type":"vault","namespace":"team","auth_method":{"Token":{"token":"new"}}}`).Backend)
	require.Equal(t, "new", string(c.Auth.(vault.TokenAuth).Token.Bytes()))
	require.Equal(t, "team", c.Namespace)
	require.Equal(t, vault.KV2, c.Engine, "vault is the engine that runs")
	require.Equal(t, "kv", c.KVMount)

	c = vaultOf(t, merge(t, runningVault(), `{"kv_mount":""}`).Backend)
	require.Empty(t, c.KVMount)

	l := localOf(t, merge(t, runningLocal(), `{"passphrase":"hush-hush"}`).Backend)
	require.Nil(t, l.RootKey, "one root key takes the place of another")
	require.Equal(t, hush, string(l.Passphrase.Bytes()))
	l = localOf(t, merge(t, runningLocal(), `{"root_key_file":"/f"}`).Backend)
	require.Equal(t, local.Config{Dir: "/keys", RootKeyFile: "/f"}, l)
}

func TestMergeOntoAPointer(t *testing.T) {
	running := runningLocal()
	c := localOf(t, running.Backend)
	running.Backend = &c
	cfg := merge(t, running, `{"allow_unlocked_memory":true}`)
	require.True(t, localOf(t, cfg.Backend).AllowUnlockedMemory)
	require.False(t, c.AllowUnlockedMemory)
	require.Empty(t, cfg.Former)
}

const vaultPatch = `{"backend_type":"vault","address":"https://v:1","auth_method":{"token":"hush-hush"}`

func TestMergeKeepsTheBackendBeforeAmongFormer(t *testing.T) {
	cfg := merge(t, runningLocal(), vaultPatch+`}`)
	require.Equal(t, "vault-transit", cfg.Backend.BackendType())
	require.Len(t, cfg.Former, 1)
	require.Equal(t, rootKey(), localOf(t, cfg.Former[0]).RootKey.Bytes())
	require.Equal(t, "main", cfg.DefaultKeyID)

	cfg = merge(t, cfg, `{"engine":"kv2"}`)
	require.Equal(t, "vault-kv2", cfg.Backend.BackendType())
	require.Len(t, cfg.Former, 2)
	require.Equal(t, "vault-transit", cfg.Former[0].BackendType())
	require.Equal(t, hush, string(vaultOf(t, cfg.Former[0]).Auth.(vault.TokenAuth).Token.Bytes()))

	cfg = merge(t, cfg, `{"backend_type":"local","key_dir":"/keys","master_key":"`+key()+`"}`)
	require.Len(t, cfg.Former, 2, "what runs again is not former")
	require.Equal(t, "vault-kv2", cfg.Former[0].BackendType())
	require.Equal(t, "vault-transit", cfg.Former[1].BackendType())

	cfg = merge(t, runningLocal(), `{"key_dir":"/elsewhere"}`)
	require.Equal(t, "/keys", localOf(t, cfg.Former[0]).Dir)
	cfg = merge(t, runningVault(), `{"kv_mount":"elsewhere"}`)
	require.Equal(t, "kv", vaultOf(t, cfg.Former[0]).KVMount)
}

func TestMergeWithAListOfFormer(t *testing.T) {
	running := runningLocal()
	running.Former = []kms.BackendConfig{runningVault().Backend}
	require.Len(t, merge(t, running, `{"timeout_seconds":1}`).Former, 1)
	require.Empty(t, merge(t, running, `{"former":[]}`).Former)
	require.Empty(t, merge(t, running, vaultPatch+`,"former":[]}`).Former)
	cfg := merge(t, running, vaultPatch+`,"former":[{"backend_type":"local","key_dir":"/x","root_key_file":"/f"}]}`)
	require.Len(t, cfg.Former, 1)
	require.Equal(t, "/x", localOf(t, cfg.Former[0]).Dir)
}

func TestMergeWithABackendOfOnesOwn(t *testing.T) {
	running := kms.Config{Backend: staticConfig{"n", "m"}}
	require.Equal(t, kms.Config{Backend: staticConfig{"n", "m"}, Options: kms.Options{DefaultKeyID: "n"}}, merge(t, running, `{"default_key_id":"n"}`))
	cfg := merge(t, running, `{"Name":"other"}`)
	require.Equal(t, staticConfig{"other", ""}, cfg.Backend, "its fields are a whole description")
	require.Equal(t, []kms.BackendConfig{staticConfig{"n", "m"}}, cfg.Former)
	require.Empty(t, merge(t, running, `{"backend_type":"static","Name":"n","Material":"m"}`).Former)
	require.Equal(t, []kms.BackendConfig{staticConfig{"n", "m"}}, merge(t, running, vaultPatch+`}`).Former)
}

func TestPatchesThatAreRefused(t *testing.T) {
	tests := []struct {
		name        string
		running     kms.Config
		patch, want string
	}{
		{"unknown field", runningLocal(), `{"kee_dir":"/k"}`, "kee_dir: unknown field"},
		{"a field of another backend", runningLocal(), `{"address":"https://v"}`, "address: unknown field"},
		{"another backend in part", runningLocal(), `{"backend_type":"vault","address":"https://v"}`, "auth_method: missing"},
		{"an unknown backend", runningLocal(), `{"backend_type":"gcp"}`, "backend_type: got"},
		{"nothing of a directory", runningLocal(), `{"key_dir":""}`, "key_dir: missing"},
		{"two root keys", runningLocal(), `{"passphrase":"hush-hush","root_key_file":"/f"}`, "root_key_file: given with passphrase"},
		{"a summary sent back", runningLocal(), `{"passphrase":"[secret]"}`, "passphrase: it is the sign"},
		{"the engine of another type", runningVault(), `{"backend_type":"vault-kv2","engine":"transit"}`, `engine: got "transit"`},
		{"half a method", runningVault(), `{"auth_method":{"AppRole":{"role_id":"r"}}}`, "auth_method.AppRole.secret_id: missing"},
		{"the credentials for another server", runningVault(), `{"address":"https://evil:1"}`, "auth_method: missing: credentials"},
		{"an option out of bounds", runningVault(), `{"retry_attempts":0}`, "retry_attempts: got"},
		{"former in part", runningVault(), `{"former":[{"backend_type":"local","key_dir":"/k"}]}`, "former[0].master_key: missing"},
		{"not valid in the end", runningLocal(), `{"root_key_file":"/keys/f"}`, "the root key file lies"},
		{"no JSON", runningLocal(), `{`, "not JSON"},
		{"nothing runs", kms.Config{}, `{"timeout_seconds":1}`, "backend_type: missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := backend.Merge(tt.running, []byte(tt.patch))
			requireInvalid(t, err, tt.want)
			require.Equal(t, kms.Config{}, cfg)
			if c, ok := tt.running.Backend.(local.Config); ok {
				require.Equal(t, rootKey(), c.RootKey.Bytes())
			}
		})
	}
}
