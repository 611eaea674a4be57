package backend_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/vault"
)

func fullRequest() *backend.ConfigureRequest {
	return &backend.ConfigureRequest{
		BackendType: "vault", Address: new("https://v:1"), AuthMethod: vault.AppRoleAuth{Mount: "m", RoleID: "r", SecretID: secretOf(hush)},
		Engine: new("kv2"), Namespace: new("n"), MountPath: new("t"), KVMount: new("kv"), KeyPathPrefix: new("p"), CACert: new("/ca"),
		ClientCert: new("/c"), ClientKey: new("/k"), TLSServerName: new("name"), SkipTLSVerify: new(true), AllowInsecure: new(true), MaxConcurrent: new(5),
		Former: []backend.ConfigureRequest{
			{BackendType: "local", KeyDir: new("/keys"), MasterKey: kms.NewSecret(rootKey()), FilePermissions: new(uint32(0o600)), AllowUnlockedMemory: new(true)},
			{BackendType: "local", KeyDir: new("/other"), Passphrase: secretOf("hush-hush\x01\"\\ä")},
			{BackendType: "local", KeyDir: new("/third"), RootKeyFile: new("/f")},
		},
		DefaultKeyID: new("main"), TimeoutSeconds: new(1), RetryAttempts: new(2), EnableCache: new(true), MaxCachedKeys: new(3), CacheTTLSeconds: new(4),
		AllowImmediateDeletion: new(true), DecryptWithDisabledKeys: new(true),
	}
}

func TestRequestToConfig(t *testing.T) {
	r := fullRequest()
	cfg, err := r.Config()
	require.NoError(t, err)
	r.Destroy() // the configuration has secrets of its own
	require.Zero(t, r.Former[0].MasterKey.Len())
	require.Zero(t, r.AuthMethod.(vault.AppRoleAuth).SecretID.Len())

	c := vaultOf(t, cfg.Backend)
	require.Equal(t, exposed(vault.AppRoleAuth{Mount: "m", RoleID: "r", SecretID: secretOf(hush)}), exposed(c.Auth))
	c.Auth = nil
	require.Equal(t, vault.Config{
		Address: "https://v:1", Engine: vault.KV2, Namespace: "n", TransitMount: "t", KVMount: "kv", KeyPrefix: "p",
		TLS:            vault.TLS{CAFile: "/ca", CertFile: "/c", KeyFile: "/k", ServerName: "name", InsecureSkipVerify: true},
		AllowPlainHTTP: true, MaxConcurrent: 5,
	}, c)
	require.Equal(t, kms.Options{
		DefaultKeyID: "main", Timeout: time.Second, RetryAttempts: 2, Cache: kms.CacheOptions{MaxKeys: 3, TTL: 4 * time.Second},
		AllowImmediateDeletion: true, DecryptWithDisabledKeys: true,
	}, cfg.Options)
	require.Equal(t, rootKey(), localOf(t, cfg.Former[0]).RootKey.Bytes())
	require.Equal(t, "hush-hush\x01\"\\ä", string(localOf(t, cfg.Former[1]).Passphrase.Bytes()))
	require.Equal(t, local.Config{Dir: "/third", RootKeyFile: "/f"}, cfg.Former[2])
}

// A configuration, its document and its request are three forms of one thing.
func TestRoundTrip(t *testing.T) {
	for _, auth := range []vault.Auth{
		vault.TokenAuth{Token: secretOf(hush)},
		vault.AppRoleAuth{RoleID: "r", SecretIDFile: "/s"},
		vault.KubernetesAuth{Mount: "m", Role: "r", JWTFile: "/j"},
		vault.TokenFileAuth{Path: "/t"},
		vault.CertAuth{Mount: "m", Name: "n"},
	} {
		r := fullRequest()
		r.AuthMethod = auth
		cfg, err := r.Config()
		require.NoError(t, err)
		doc, err := backend.MarshalConfig(cfg)
		require.NoError(t, err)
		again, err := backend.ParseConfig(doc.Bytes())
		require.NoError(t, err)
		requireSame(t, cfg, again)

		var read backend.ConfigureRequest
		require.NoError(t, json.Unmarshal(doc.Bytes(), &read))
		fromRequest, err := read.Config()
		require.NoError(t, err)
		requireSame(t, cfg, fromRequest)
	}
}

// requireSame compares configurations by the documents for them.
func requireSame(t *testing.T, want, got kms.Config) {
	t.Helper()
	wanted, err := backend.MarshalConfig(want)
	require.NoError(t, err)
	gotten, err := backend.MarshalConfig(got)
	require.NoError(t, err)
	require.JSONEq(t, string(wanted.Bytes()), string(gotten.Bytes()))
	require.Equal(t, backend.Summary(want), backend.Summary(got))
}

func TestARequestDoesNotShowItsSecrets(t *testing.T) {
	r := fullRequest()
	doc, err := json.Marshal(r)
	require.NoError(t, err)
	requireNoSecret(t, string(doc))
	require.Contains(t, string(doc), `"auth_method":{"AppRole":{"mount":"m","role_id":"r","secret_id":"[secret]"}}`)
	require.Contains(t, string(doc), `"master_key":"[secret]","file_permissions":"0600"`)
	requireNoSecret(t, fmt.Sprintf("%v %+v %#v", *r, *r, *r))

	requireInvalid(t, new(backend.ConfigureRequest).UnmarshalJSON(doc), "secret_id: it is the sign for a secret")
}

func TestRequestsThatAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*backend.ConfigureRequest)
		want   string
	}{
		{"no type", func(r *backend.ConfigureRequest) { r.BackendType = "" }, "backend_type: missing"},
		{"a field of another backend", func(r *backend.ConfigureRequest) { r.KeyDir = new("/k") }, "key_dir: unknown field"},
		{"an option inside former", func(r *backend.ConfigureRequest) { r.Former[1].RetryAttempts = new(1) }, "former[1].retry_attempts: not a field"},
		{"a number out of bounds", func(r *backend.ConfigureRequest) { r.TimeoutSeconds = new(-5) }, "timeout_seconds: got"},
		{"wider files", func(r *backend.ConfigureRequest) { r.Former[0].FilePermissions = new(uint32(0o644)) }, "former[0].file_permissions: got 0644"},
		{"a short key", func(r *backend.ConfigureRequest) { r.Former[0].MasterKey = secretOf(hush) }, "former[0].master_key: want 32 bytes"},
		{"a destroyed key", func(r *backend.ConfigureRequest) { r.Former[0].MasterKey = new(kms.Secret) }, "former[0].master_key: want 32 bytes"},
		{"a text that is not UTF-8", func(r *backend.ConfigureRequest) { r.Namespace = new("\xff") }, "namespace: not UTF-8"},
		{"a passphrase that is not UTF-8", func(r *backend.ConfigureRequest) { r.Former[1].Passphrase = secretOf("hush-hush\xff") }, "passphrase: not UTF-8"},
		{"an unknown method", func(r *backend.ConfigureRequest) { r.AuthMethod = (*vault.TokenAuth)(nil) }, "auth_method: *vault.TokenAuth has no form"},
		{"an unknown method inside former", func(r *backend.ConfigureRequest) { r.Former[2].AuthMethod = (*vault.CertAuth)(nil) }, "former[2].auth_method: *vault.CertAuth has no form"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := fullRequest()
			tt.change(r)
			cfg, err := r.Config()
			requireInvalid(t, err, tt.want)
			require.Equal(t, kms.Config{}, cfg)
		})
	}
}

func TestPayloadsThatAreRefused(t *testing.T) {
	for doc, want := range map[string]string{
		`[]`:                                   "got a list, want an object",
		`{"backend_type":"static","Name":"n"}`: `backend_type: got "static", want local, vault`,
		`{"key_dir":"/k"}`:                     "backend_type: missing",
		`{"backend_type":"local","passphrase":"hush-hush","kee_dir":"/k"}`:                                  "kee_dir: unknown field",
		`{"backend_type":"local","passphrase":"hush-hush","former":7}`:                                      "former: got a number, want a list",
		`{"backend_type":"local","former":[{"backend_type":"local","passphrase":"hush-hush","address":7}]}`: "former[0].address: unknown field",
	} {
		before := backend.ConfigureRequest{BackendType: "untouched"}
		r := before
		requireInvalid(t, r.UnmarshalJSON([]byte(doc)), want)
		require.Equal(t, before, r)
	}
}

// A payload in part is a request in part, which no Config can be made of.
func TestAPayloadInPart(t *testing.T) {
	var r backend.ConfigureRequest
	require.NoError(t, json.Unmarshal([]byte(`{"backend_type":"vault","timeout_seconds":9}`), &r))
	require.Equal(t, 9, *r.TimeoutSeconds)
	_, err := r.Config()
	requireInvalid(t, err, "address: missing")
}

func TestConfigsWithoutADocument(t *testing.T) {
	_, err := backend.MarshalConfig(kms.Config{})
	requireInvalid(t, err, "backend_type: missing")
	_, err = backend.MarshalConfig(kms.Config{Backend: staticConfig{}})
	require.ErrorIs(t, err, kms.ErrUnsupported)
	cfg := runningLocal()
	_, err = backend.MarshalConfig(cfg)
	requireInvalid(t, err, "timeout_seconds: 1.5s has no form in JSON")
	cfg.Timeout, cfg.Cache.TTL = 0, time.Millisecond
	_, err = backend.MarshalConfig(cfg)
	requireInvalid(t, err, "cache_ttl_seconds: 1ms has no form in JSON")
	cfg.Cache.TTL = 0
	cfg.Former = []kms.BackendConfig{vault.Config{Address: "https://v:1"}, staticConfig{}}
	_, err = backend.MarshalConfig(cfg)
	require.ErrorIs(t, err, kms.ErrUnsupported)
	require.ErrorContains(t, err, "former[1]")
	cfg.Former = []kms.BackendConfig{vault.Config{Address: "https://v:1\xff"}}
	_, err = backend.MarshalConfig(cfg)
	requireInvalid(t, err, "address: not UTF-8")
	cfg.Former = []kms.BackendConfig{local.Config{Dir: "/k", Passphrase: secretOf("[secret]")}}
	_, err = backend.MarshalConfig(cfg)
	requireInvalid(t, err, "passphrase: it is the sign for a secret")
}

// What is written can be read, up to the last byte.
func TestADocumentThatNobodyWouldReadIsNotWritten(t *testing.T) {
	cfg := kms.Config{Backend: local.Config{Dir: "/k", Passphrase: secretOf(strings.Repeat("x", 1<<20))}}
	_, err := backend.MarshalConfig(cfg)
	requireInvalid(t, err, "want at most 1048576")
	frame := len(`{"backend_type":"local","key_dir":"/k","passphrase":""}`)
	for _, size := range []int{1<<20 - frame, 1<<20 - frame + 1} {
		cfg.Backend = local.Config{Dir: "/k", Passphrase: secretOf(strings.Repeat("x", size))}
		doc, err := backend.MarshalConfig(cfg)
		if frame+size > 1<<20 {
			requireInvalid(t, err, "the document has 1048577 bytes, want at most 1048576")
			continue
		}
		require.NoError(t, err)
		again, err := backend.ParseConfig(doc.Bytes())
		require.NoError(t, err)
		requireSame(t, cfg, again)
	}
	// A line end has two bytes in the document that is read, and six in the one that would be written.
	const doc = `{"backend_type":"local","key_dir":"/k","passphrase":"%s"}`
	long := fmt.Sprintf(doc, strings.Repeat(`\n`, 1<<18))
	require.False(t, requireRoundTrip(t, parse(t, long), len(long)))
	var r backend.ConfigureRequest
	require.NoError(t, r.UnmarshalJSON([]byte(long)))
	_, err = r.Config()
	requireInvalid(t, err, "want at most 1048576")
	// What is fuzzed takes this much for certain to be written, also where each byte becomes six.
	long = `{"backend_type":"local","passphrase":"x","key_dir":"` + strings.Repeat("<", certainlyWritten) + `"}`
	require.True(t, requireRoundTrip(t, parse(t, long), len(long)))
}

func TestMarshalKeepsWhatZeroValuesMean(t *testing.T) {
	cfg := runningVault()
	cfg.RetryAttempts, cfg.Cache.Disabled = -1, true
	doc, err := backend.MarshalConfig(cfg)
	require.NoError(t, err)
	require.JSONEq(t, `{"backend_type":"vault-kv2","address":"https://v:1","auth_method":{"Token":{"token":"hush-hush"}},"kv_mount":"kv","max_concurrent":3,
		"retry_attempts":1,"enable_cache":false}`, string(doc.Bytes()))
}

// A list inside a list is refused where it is found. Each would be read once for every list around it.
func TestFormerBackendsAreNotNested(t *testing.T) {
	for doc, want := range map[string]string{
		`{"backend_type":"local","former":[{"backend_type":"local","former":[{"backend_type":"local"}]}]}`: "former[0].former: not a field of a former backend",
		`{"backend_type":"local","former":[{"backend_type":"local","timeout_seconds":1}]}`:                 "former[0].timeout_seconds: not a field of a former backend",
	} {
		var r backend.ConfigureRequest
		requireInvalid(t, json.Unmarshal([]byte(doc), &r), want)
	}
}
