package backend_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/vault"
)

// setenv sets variables, given as NAME=value, and takes all others of ours away.
func setenv(t *testing.T, variables ...string) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "KMS_") || strings.HasPrefix(name, "RUSTFS_KMS_") {
			t.Setenv(name, "")
		}
	}
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
}

func fileWith(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestLocalFromTheEnvironment(t *testing.T) {
	for name, variables := range map[string][]string{
		"ours":    {"KMS_BACKEND=local", "KMS_LOCAL_KEY_DIR=/keys", "KMS_LOCAL_MASTER_KEY=" + key()},
		"aliases": {"RUSTFS_KMS_BACKEND=Local", "RUSTFS_KMS_KEY_DIR=/keys", "RUSTFS_KMS_LOCAL_MASTER_KEY=" + key()},
		"both":    {"KMS_BACKEND=local", "RUSTFS_KMS_BACKEND=local", "KMS_KEY_DIR=/keys", "KMS_LOCAL_KEY_DIR=/keys", "RUSTFS_KMS_LOCAL_MASTER_KEY=" + key()},
		"a file":  {"KMS_BACKEND=local", "KMS_LOCAL_KEY_DIR=/keys", "KMS_LOCAL_MASTER_KEY_FILE=" + fileWith(t, key()+"\n")},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, variables...)
			cfg, err := backend.ConfigFromEnv()
			require.NoError(t, err)
			c := localOf(t, cfg.Backend)
			require.Equal(t, "/keys", c.Dir)
			require.Equal(t, rootKey(), c.RootKey.Bytes())
		})
	}
}

func TestPassphrasesFromTheEnvironment(t *testing.T) {
	const odd = `p "ä" \ <&> `
	for text, want := range map[string]string{odd: odd, odd + "\n": odd, odd + "\r\n": odd, odd + "\n\n": odd + "\n", "x\r": "x"} {
		setenv(t, "KMS_BACKEND=local", "KMS_LOCAL_KEY_DIR=/keys", "KMS_LOCAL_PASSPHRASE_FILE="+fileWith(t, text))
		cfg, err := backend.ConfigFromEnv()
		require.NoError(t, err)
		require.Equal(t, want, string(localOf(t, cfg.Backend).Passphrase.Bytes()))
	}
	setenv(t, "KMS_BACKEND=local", "KMS_LOCAL_KEY_DIR=/keys", "KMS_LOCAL_PASSPHRASE="+odd)
	cfg, err := backend.ConfigFromEnv()
	require.NoError(t, err)
	require.Equal(t, odd, string(localOf(t, cfg.Backend).Passphrase.Bytes()))
}

func TestOptionsFromTheEnvironment(t *testing.T) {
	setenv(t, "KMS_BACKEND=local", "KMS_LOCAL_KEY_DIR=/keys", "KMS_LOCAL_ROOT_KEY_FILE=/f", "KMS_LOCAL_ALLOW_UNLOCKED_MEMORY=true", "KMS_DEFAULT_KEY_ID=main",
		"RUSTFS_KMS_TIMEOUT_SECS=5", "KMS_RETRY_ATTEMPTS=4", "KMS_ENABLE_CACHE=false", "KMS_MAX_CACHED_KEYS=10", "KMS_CACHE_TTL_SECS=60",
		"KMS_ALLOW_IMMEDIATE_DELETION=true", "KMS_DECRYPT_WITH_DISABLED_KEYS=true", "KMS_SOMETHING_ELSE=1")
	cfg, err := backend.ConfigFromEnv()
	require.NoError(t, err)
	require.Equal(t, kms.Config{
		Backend: local.Config{Dir: "/keys", RootKeyFile: "/f", AllowUnlockedMemory: true},
		Options: kms.Options{
			DefaultKeyID: "main", Timeout: 5 * time.Second, RetryAttempts: 4, Cache: kms.CacheOptions{Disabled: true, MaxKeys: 10, TTL: time.Minute},
			AllowImmediateDeletion: true, DecryptWithDisabledKeys: true,
		},
	}, cfg)
}

func TestVaultFromTheEnvironment(t *testing.T) {
	setenv(t, "KMS_BACKEND=vault", "KMS_VAULT_ENGINE=kv2", "KMS_VAULT_ADDRESS=https://v:1", "KMS_VAULT_TOKEN=hush-hush", "KMS_VAULT_NAMESPACE=n",
		"KMS_VAULT_MOUNT_PATH=t", "RUSTFS_KMS_VAULT_TRANSIT_METADATA_KV_MOUNT=kv", "KMS_VAULT_KEY_PREFIX=p", "KMS_VAULT_CA_CERT=/ca", "KMS_VAULT_CLIENT_CERT=/c",
		"KMS_VAULT_CLIENT_KEY=/k", "KMS_VAULT_TLS_SERVER_NAME=name", "KMS_VAULT_SKIP_TLS_VERIFY=true", "KMS_VAULT_ALLOW_INSECURE=true", "KMS_VAULT_MAX_CONCURRENT=5")
	cfg, err := backend.ConfigFromEnv()
	require.NoError(t, err)
	c := vaultOf(t, cfg.Backend)
	require.Equal(t, hush, string(c.Auth.(vault.TokenAuth).Token.Bytes()))
	c.Auth = nil
	require.Equal(t, vault.Config{
		Address: "https://v:1", Engine: vault.KV2, Namespace: "n", TransitMount: "t", KVMount: "kv", KeyPrefix: "p",
		TLS:            vault.TLS{CAFile: "/ca", CertFile: "/c", KeyFile: "/k", ServerName: "name", InsecureSkipVerify: true},
		AllowPlainHTTP: true, MaxConcurrent: 5,
	}, c)
}

func TestAuthFromTheEnvironment(t *testing.T) {
	tests := []struct {
		variables []string
		want      vault.Auth
	}{
		{[]string{"KMS_VAULT_TOKEN=hush-hush"}, vault.TokenAuth{Token: secretOf(hush)}},
		{[]string{"RUSTFS_KMS_VAULT_TOKEN_FILE=/t"}, vault.TokenFileAuth{Path: "/t"}},
		{[]string{"KMS_VAULT_APPROLE_ROLE_ID=r", "KMS_VAULT_APPROLE_SECRET_ID=hush-hush", "KMS_VAULT_APPROLE_MOUNT=m"}, vault.AppRoleAuth{Mount: "m", RoleID: "r", SecretID: secretOf(hush)}},
		{[]string{"KMS_VAULT_APPROLE_ROLE_ID=r", "KMS_VAULT_APPROLE_SECRET_ID_FILE=/s"}, vault.AppRoleAuth{RoleID: "r", SecretIDFile: "/s"}},
		{[]string{"KMS_VAULT_KUBERNETES_ROLE=r", "KMS_VAULT_KUBERNETES_MOUNT=m", "KMS_VAULT_KUBERNETES_JWT_PATH=/j"}, vault.KubernetesAuth{Mount: "m", Role: "r", JWTFile: "/j"}},
		{[]string{"KMS_VAULT_CERT_NAME=n", "KMS_VAULT_CERT_MOUNT=m", "KMS_VAULT_CLIENT_CERT=/c", "KMS_VAULT_CLIENT_KEY=/k"}, vault.CertAuth{Mount: "m", Name: "n"}},
	}
	for _, tt := range tests {
		t.Run(tt.variables[0], func(t *testing.T) {
			setenv(t, append(tt.variables, "KMS_BACKEND=vault-kv2", "KMS_VAULT_ADDRESS=https://v:1")...)
			cfg, err := backend.ConfigFromEnv()
			require.NoError(t, err)
			require.Equal(t, exposed(tt.want), exposed(vaultOf(t, cfg.Backend).Auth))
		})
	}
}

func TestAConfigurationFileFromTheEnvironment(t *testing.T) {
	path := fileWith(t, `{"backend_type":"local","key_dir":"/keys","root_key_file":"/f"}`)
	setenv(t, "KMS_CONFIG_FILE="+path)
	cfg, err := backend.ConfigFromEnv()
	require.NoError(t, err)
	require.Equal(t, "/keys", localOf(t, cfg.Backend).Dir)

	setenv(t, "RUSTFS_KMS_CONFIG_FILE="+path, "KMS_VAULT_TOKEN=hush-hush")
	_, err = backend.ConfigFromEnv()
	requireInvalid(t, err, "KMS_VAULT_TOKEN is set with RUSTFS_KMS_CONFIG_FILE")
}

func TestEnvironmentsThatAreRefused(t *testing.T) {
	tests := []struct {
		name, variables, want string
	}{
		{"no backend", "KMS_VAULT_TOKEN=hush-hush", "KMS_BACKEND: missing"},
		{"unknown backend", "KMS_BACKEND=gcp", `KMS_BACKEND: got "gcp"`},
		{"unknown backend by its alias", "RUSTFS_KMS_BACKEND=gcp", `RUSTFS_KMS_BACKEND: got "gcp"`},
		{"two values", "KMS_BACKEND=local RUSTFS_KMS_BACKEND=vault", "KMS_BACKEND and RUSTFS_KMS_BACKEND differ"},
		{"two values of an alias", "KMS_BACKEND=local KMS_KEY_DIR=/a KMS_LOCAL_KEY_DIR=/b", "KMS_LOCAL_KEY_DIR and KMS_KEY_DIR differ"},
		{"two secrets", "KMS_BACKEND=local KMS_LOCAL_PASSPHRASE=hush-hush KMS_LOCAL_PASSPHRASE_FILE=/none", "KMS_LOCAL_PASSPHRASE_FILE is set with KMS_LOCAL_PASSPHRASE"},
		{"a file that is not there", "KMS_BACKEND=local KMS_LOCAL_KEY_DIR=/k KMS_LOCAL_PASSPHRASE_FILE=/does/not/exist", "KMS_LOCAL_PASSPHRASE_FILE: invalid configuration: open /does/not/exist"},
		{"no directory", "KMS_BACKEND=local KMS_LOCAL_PASSPHRASE=hush-hush", "KMS_LOCAL_KEY_DIR: missing"},
		{"no root key", "KMS_BACKEND=local KMS_LOCAL_KEY_DIR=/k", "KMS_LOCAL_MASTER_KEY: missing"},
		{"a root key that is a passphrase", "KMS_BACKEND=local KMS_LOCAL_KEY_DIR=/k RUSTFS_KMS_LOCAL_MASTER_KEY=hush-hush", "RUSTFS_KMS_LOCAL_MASTER_KEY: want 32 bytes in base64"},
		{"another backend's variable", "KMS_BACKEND=local KMS_LOCAL_KEY_DIR=/k KMS_LOCAL_PASSPHRASE=hush-hush KMS_VAULT_ADDRESS=https://v", "KMS_VAULT_ADDRESS: unknown field"},
		{"no number", "KMS_BACKEND=local KMS_TIMEOUT_SECS=30s", `KMS_TIMEOUT_SECS: got "30s", want a whole number`},
		{"a number with zeros", "KMS_BACKEND=local KMS_TIMEOUT_SECS=030", `KMS_TIMEOUT_SECS: got "030", want a whole number`},
		{"a number out of bounds", "KMS_BACKEND=local KMS_TIMEOUT_SECS=0", `KMS_TIMEOUT_SECS: got "0", want a whole number from 1 to 3600`},
		{"no boolean", "KMS_BACKEND=local KMS_ENABLE_CACHE=yes", `KMS_ENABLE_CACHE: got "yes", want true or false`},
		{"text that is not UTF-8", "KMS_BACKEND=local KMS_LOCAL_KEY_DIR=/k\xff", "KMS_LOCAL_KEY_DIR: not UTF-8"},
		{"two methods", "KMS_BACKEND=vault KMS_VAULT_ADDRESS=https://v KMS_VAULT_TOKEN=hush-hush KMS_VAULT_TOKEN_FILE=/t", "KMS_VAULT_TOKEN_FILE is set with KMS_VAULT_TOKEN"},
		{"no method", "KMS_BACKEND=vault KMS_VAULT_ADDRESS=https://v", "KMS_VAULT_TOKEN: missing"},
		{"half a method", "KMS_BACKEND=vault KMS_VAULT_ADDRESS=https://v KMS_VAULT_APPROLE_SECRET_ID=hush-hush", "KMS_VAULT_APPROLE_ROLE_ID: missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			setenv(t, strings.Fields(tt.variables)...)
			cfg, err := backend.ConfigFromEnv()
			requireInvalid(t, err, tt.want)
			require.NotErrorIs(t, err, kms.ErrNotConfigured)
			require.Equal(t, kms.Config{}, cfg)
		})
	}
}

func TestAnEmptyEnvironmentIsNoConfiguration(t *testing.T) {
	setenv(t, "KMS_BACKEND=", "KMS_STATIC_KEY=demo:x", "RUSTFS_KMS_ENABLE=true")
	_, err := backend.ConfigFromEnv()
	require.ErrorIs(t, err, kms.ErrNotConfigured)
	require.ErrorContains(t, err, "KMS_BACKEND")
}
