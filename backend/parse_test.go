package backend_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/vault"
)

func TestLocal(t *testing.T) {
	cfg := parse(t, `{"backend_type":"local","key_dir":"/keys","master_key":"`+key()+`","file_permissions":384,"allow_unlocked_memory":true}`)
	c := localOf(t, cfg.Backend)
	require.Equal(t, "/keys", c.Dir)
	require.Equal(t, rootKey(), c.RootKey.Bytes())
	require.Nil(t, c.Passphrase)
	require.Empty(t, c.RootKeyFile)
	require.True(t, c.AllowUnlockedMemory)
	require.Equal(t, kms.Options{}, cfg.Options)
	require.Empty(t, cfg.Former)
}

func TestLocalFromPassphraseOrFile(t *testing.T) {
	c := localOf(t, parse(t, `{"backend_type":"local","key_dir":"/keys","passphrase":"pässword \"\u00e4\ud83d\ude00\\\n"}`).Backend)
	require.Equal(t, "pässword \"ä😀\\\n", string(c.Passphrase.Bytes()))
	require.Nil(t, c.RootKey)

	c = localOf(t, parse(t, `{"backend_type":"local","key_dir":"/keys","root_key_file":"/dev-key"}`).Backend)
	require.Equal(t, local.Config{Dir: "/keys", RootKeyFile: "/dev-key"}, c)
}

func TestOptions(t *testing.T) {
	cfg := parse(t, `{"backend_type":"local","key_dir":"/keys","root_key_file":"/k","default_key_id":"main","timeout_seconds":5,"retry_attempts":4,
		"enable_cache":true,"max_cached_keys":10,"cache_ttl_seconds":60,"allow_immediate_deletion":true,"decrypt_with_disabled_keys":true}`)
	require.Equal(t, kms.Options{
		DefaultKeyID: "main", Timeout: 5 * time.Second, RetryAttempts: 4, Cache: kms.CacheOptions{MaxKeys: 10, TTL: time.Minute},
		AllowImmediateDeletion: true, DecryptWithDisabledKeys: true,
	}, cfg.Options)

	cfg = parse(t, `{"backend_type":"local","key_dir":"/keys","root_key_file":"/k","enable_cache":false}`)
	require.True(t, cfg.Cache.Disabled)
}

func TestVault(t *testing.T) {
	cfg := parse(t, `{"backend_type":"vault-kv2","address":"https://vault:8200","auth_method":{"Token":{"token":"hush-hush"}},"namespace":"team","mount_path":"tr",
		"kv_mount":"kv","key_path_prefix":"keys","ca_cert":"/ca.pem","client_cert":"/c.pem","client_key":"/k.pem","tls_server_name":"name","skip_tls_verify":true,
		"allow_insecure":true,"max_concurrent":9}`)
	c := vaultOf(t, cfg.Backend)
	require.Equal(t, hush, string(c.Auth.(vault.TokenAuth).Token.Bytes()))
	c.Auth = nil
	require.Equal(t, vault.Config{
		Address: "https://vault:8200", Engine: vault.KV2, Namespace: "team", TransitMount: "tr", KVMount: "kv", KeyPrefix: "keys",
		TLS:            vault.TLS{CAFile: "/ca.pem", CertFile: "/c.pem", KeyFile: "/k.pem", ServerName: "name", InsecureSkipVerify: true},
		AllowPlainHTTP: true, MaxConcurrent: 9,
	}, c)
}

func TestBackendTypes(t *testing.T) {
	const rest = `,"address":"https://vault:8200","auth_method":{"token":"hush-hush"}`
	tests := []struct{ doc, want string }{
		{`"vault"` + rest, "vault-transit"},
		{`"Vault"` + rest, "vault-transit"},
		{`"vault","engine":"transit"` + rest, "vault-transit"},
		{`"vault","engine":"KV2"` + rest, "vault-kv2"},
		{`"vault-transit"` + rest, "vault-transit"},
		{`"vault-transit","engine":"transit"` + rest, "vault-transit"},
		{`"VAULT_TRANSIT"` + rest, "vault-transit"},
		{`"VaultTransit"` + rest, "vault-transit"},
		{`"vault-kv2"` + rest, "vault-kv2"},
		{`"VaultKV2"` + rest, "vault-kv2"},
		{`"Local","key_dir":"/k","passphrase":"hush-hush"`, "local"},
		{`"LOCAL","key_dir":"/k","passphrase":"hush-hush"`, "local"},
	}
	for _, tt := range tests {
		t.Run(tt.doc, func(t *testing.T) {
			require.Equal(t, tt.want, parse(t, `{"backend_type":`+tt.doc+`}`).Backend.BackendType())
		})
	}
}

func TestAuthMethods(t *testing.T) {
	tests := []struct {
		auth string
		want vault.Auth
	}{
		{`{"Token":{"token":"hush-hush"}}`, vault.TokenAuth{Token: secretOf(hush)}},
		{`{"token":{"token":"hush-hush"}}`, vault.TokenAuth{Token: secretOf(hush)}},
		{`{"token":"hush-hush"}`, vault.TokenAuth{Token: secretOf(hush)}},
		{`{"AppRole":{"role_id":"r","secret_id":"hush-hush","mount":"m"}}`, vault.AppRoleAuth{Mount: "m", RoleID: "r", SecretID: secretOf(hush)}},
		{`{"AppRole":{"role_id":"r","secret_id":"hush-hush","secret_id_file":null}}`, vault.AppRoleAuth{RoleID: "r", SecretID: secretOf(hush)}},
		{`{"approle":{"role_id":"r","secret_id_file":"/f"}}`, vault.AppRoleAuth{RoleID: "r", SecretIDFile: "/f"}},
		{`{"app_role":{"role_id":"r","secret_id_file":"/f"}}`, vault.AppRoleAuth{RoleID: "r", SecretIDFile: "/f"}},
		{`{"Kubernetes":{"role":"r","mount":"m","jwt_path":"/j"}}`, vault.KubernetesAuth{Mount: "m", Role: "r", JWTFile: "/j"}},
		{`{"kubernetes":{"role":"r"}}`, vault.KubernetesAuth{Role: "r"}},
		{`{"TokenFile":{"path":"/t"}}`, vault.TokenFileAuth{Path: "/t"}},
		{`{"token_file":{"path":"/t"}}`, vault.TokenFileAuth{Path: "/t"}},
		{`{"tokenfile":{"path":"/t"}}`, vault.TokenFileAuth{Path: "/t"}},
		{`{"Cert":{"mount":"m","name":"n"}}`, vault.CertAuth{Mount: "m", Name: "n"}},
		{`{"cert":{}}`, vault.CertAuth{}},
	}
	for _, tt := range tests {
		t.Run(tt.auth, func(t *testing.T) {
			cfg := parse(t, `{"backend_type":"vault","address":"https://vault:8200","client_cert":"/c","client_key":"/k","auth_method":`+tt.auth+`}`)
			require.Equal(t, exposed(tt.want), exposed(vaultOf(t, cfg.Backend).Auth))
		})
	}
}

// exposed makes the secret of a method comparable.
func exposed(auth vault.Auth) []any {
	switch a := auth.(type) {
	case vault.TokenAuth:
		return []any{"token", string(a.Token.Bytes())}
	case vault.AppRoleAuth:
		return []any{a.Mount, a.RoleID, string(a.SecretID.Bytes()), a.SecretIDFile}
	}
	return []any{auth}
}

func TestFormer(t *testing.T) {
	cfg := parse(t, `{"backend_type":"vault","address":"https://vault:8200","auth_method":{"token":"hush-hush"},"former":[
		{"backend_type":"local","key_dir":"/old","master_key":"`+key()+`"} ,
		{"backend_type":"vault-kv2","address":"https://vault:8200","auth_method":{"TokenFile":{"path":"/t"}}}]}`)
	require.Len(t, cfg.Former, 2)
	require.Equal(t, "/old", localOf(t, cfg.Former[0]).Dir)
	require.Equal(t, rootKey(), localOf(t, cfg.Former[0]).RootKey.Bytes())
	require.Equal(t, vault.KV2, vaultOf(t, cfg.Former[1]).Engine)
	require.Empty(t, parse(t, `{"backend_type":"local","key_dir":"/k","root_key_file":"/f","former":[]}`).Former)
}

func TestDocumentsThatAreRefused(t *testing.T) {
	const local, vault = `{"backend_type":"local","key_dir":"/k","passphrase":"hush-hush"`, `{"backend_type":"vault","address":"https://v:1","auth_method":{"token":"hush-hush"}`
	tests := []struct{ name, doc, want string }{
		{"empty", ``, "not JSON, as byte 0 shows"},
		{"no JSON", `{"passphrase": hush-hush`, "not JSON, as byte 16 shows"},
		{"two documents", local + `}{}`, "not JSON"},
		{"cut off", local, "not JSON"},
		{"not UTF-8", local + "\xff", "not UTF-8"},
		{"too large", strings.Repeat(" ", 1<<20) + local + `}`, "want at most 1048576"},
		{"a list", `[]`, "got a list, want an object"},
		{"null", `null`, "got null, want an object"},
		{"text", `"hush-hush"`, "got text, want an object"},
		{"nothing", `{}`, "backend_type: missing"},
		{"no type", `{"backend_type":null}`, "backend_type: missing"},
		{"unknown type", `{"backend_type":"gcp"}`, `backend_type: got "gcp", want one of local, vault, vault-kv2, vault-transit`},
		{"type is no text", `{"backend_type":7}`, "backend_type: got a number, want text"},

		{"unknown field", local + `,"kee_dir":"/k"}`, "kee_dir: unknown field"},
		{"another case", local + `,"Default_Key_ID":"x"}`, "Default_Key_ID: unknown field"},
		{"another case of a backend's field", local + `,"Key_Dir":"/k"}`, "Key_Dir: unknown field, want key_dir"},
		{"a field with an odd name", local + `,"a b":"/k"}`, `"a b": unknown field`},
		{"a field with no name", local + `,"":"/k"}`, `"": unknown field`},
		{"a field with a long name", local + `,"` + strings.Repeat("x", 65) + `":1}`, `xxx"…: unknown field`},
		{"a field of another backend", local + `,"address":"https://v"}`, "address: unknown field"},
		{"a field of the other backend", vault + `,"key_dir":"/k"}`, "key_dir: unknown field"},
		{"a field twice", local + `,"key_dir":"/k"}`, "key_dir: given twice"},
		{"an option twice", local + `,"timeout_seconds":1,"timeout_seconds":1}`, "timeout_seconds: given twice"},
		{"a field twice, escaped", local + `,"key\u005fdir":"/k"}`, "key_dir: given twice"},
		{"a field twice, null", local + `,"key_dir":null}`, "key_dir: given twice"},
		{"an inner field twice", `{"backend_type":"vault","address":"https://v:1","auth_method":{"Token":{"token":"hush-hush","token":"hush-hush"}}}`, "auth_method.Token.token: given twice"},

		{"no directory", `{"backend_type":"local","passphrase":"hush-hush"}`, "key_dir: missing"},
		{"an empty directory", `{"backend_type":"local","key_dir":"","passphrase":"hush-hush"}`, "key_dir: missing"},
		{"no root key", `{"backend_type":"local","key_dir":"/k"}`, "master_key: missing, and passphrase and root_key_file too"},
		{"two root keys", local + `,"root_key_file":"/f"}`, "root_key_file: given with passphrase, want one of them"},
		{"a short master key", `{"backend_type":"local","key_dir":"/k","master_key":"aHVzaC1odXNo"}`, "master_key: want 32 bytes in base64"},
		{"a master key that is none", `{"backend_type":"local","key_dir":"/k","master_key":"hush-hush"}`, "master_key: want 32 bytes in base64"},
		{"a master key without padding", `{"backend_type":"local","key_dir":"/k","master_key":"` + strings.TrimRight(key(), "=") + `"}`, "master_key: want 32 bytes in base64"},
		{"a master key with odd last bits", `{"backend_type":"local","key_dir":"/k","master_key":"` + strings.Replace(key(), "c=", "d=", 1) + `"}`, "master_key: want 32 bytes in base64"},
		{"a master key in two lines", `{"backend_type":"local","key_dir":"/k","master_key":"` + key()[:20] + `\n` + key()[20:] + `"}`, "master_key: want 32 bytes in base64"},
		{"a master key of zeros", `{"backend_type":"local","key_dir":"/k","master_key":"` + strings.Repeat("A", 43) + `="}`, "all zero"},
		{"a master key as a number", `{"backend_type":"local","key_dir":"/k","master_key":7}`, "master_key: got a number, want text"},
		{"an empty passphrase", `{"backend_type":"local","key_dir":"/k","passphrase":""}`, "passphrase: empty"},
		{"a hidden passphrase", `{"backend_type":"local","key_dir":"/k","passphrase":"[secret]"}`, "passphrase: it is the sign for a secret"},
		{"half a character", `{"backend_type":"local","key_dir":"/k","passphrase":"hush-hush\ud800"}`, "passphrase: an escape is half of a surrogate pair"},
		{"the other half", `{"backend_type":"local","key_dir":"/k","passphrase":"hush-hush\udc00\ud800"}`, "passphrase: an escape is half of a surrogate pair"},
		{"half a character in a path", `{"backend_type":"local","passphrase":"hush-hush","key_dir":"\ud800x"}`, "key_dir: an escape is half of a surrogate pair"},
		{"half a character in a name", local + `,"\ud800":1}`, "the name of a field"},
		{"a key file in the directory", `{"backend_type":"local","key_dir":"/k","root_key_file":"/k/f"}`, "the root key file lies in the directory"},

		{"wider files", local + `,"file_permissions":420}`, "file_permissions: got 0644, want 0600, in decimal 384"},
		{"narrower files", local + `,"file_permissions":"0400"}`, "file_permissions: got 0400, want 0600, in decimal 384"},
		{"octal digits as a number", local + `,"file_permissions":600}`, "file_permissions: got 01130, want 0600, in decimal 384"},
		{"no octal digits", local + `,"file_permissions":"0800"}`, `file_permissions: got "0800", want octal digits`},
		{"a mode that is a boolean", local + `,"file_permissions":true}`, `file_permissions: got a boolean, want 384 or "0600"`},

		{"a timeout of 0", local + `,"timeout_seconds":0}`, `timeout_seconds: got "0", want a whole number from 1 to 3600`},
		{"a negative timeout", local + `,"timeout_seconds":-1}`, `timeout_seconds: got "-1", want a whole number from 1 to 3600`},
		{"half a second", local + `,"timeout_seconds":0.5}`, `timeout_seconds: got "0.5", want a whole number`},
		{"a power of ten", local + `,"timeout_seconds":1e1}`, `timeout_seconds: got "1e1", want a whole number`},
		{"a timeout too long", local + `,"timeout_seconds":3601}`, `timeout_seconds: got "3601", want a whole number from 1 to 3600`},
		{"a timeout beyond integers", local + `,"timeout_seconds":18446744073709551617}`, "timeout_seconds: got"},
		{"a timeout as text", local + `,"timeout_seconds":"30"}`, "timeout_seconds: got text, want a whole number"},
		{"no attempts", local + `,"retry_attempts":0}`, "retry_attempts: got"},
		{"too many attempts", local + `,"retry_attempts":101}`, "from 1 to 100"},
		{"a cache of nothing", local + `,"max_cached_keys":0}`, "max_cached_keys: got"},
		{"a cache that is too large", local + `,"max_cached_keys":1000001}`, "from 1 to 1000000"},
		{"a cache for ever", local + `,"cache_ttl_seconds":86401}`, "from 1 to 86400"},
		{"a boolean as text", local + `,"enable_cache":"true"}`, "enable_cache: got text, want true or false"},
		{"a boolean as a number", local + `,"allow_immediate_deletion":1}`, "allow_immediate_deletion: got a number, want true or false"},
		{"a default key that cannot be", local + `,"default_key_id":"\u0007"}`, "default key"},

		{"no address", `{"backend_type":"vault","auth_method":{"token":"hush-hush"}}`, "address: missing"},
		{"no auth", `{"backend_type":"vault","address":"https://v:1"}`, "auth_method: missing"},
		{"auth that is text", `{"backend_type":"vault","address":"https://v:1","auth_method":"hush-hush"}`, "auth_method: got text, want an object"},
		{"auth without a method", `{"backend_type":"vault","address":"https://v:1","auth_method":{}}`, "auth_method: 0 methods, want one of Token"},
		{"auth with two methods", `{"backend_type":"vault","address":"https://v:1","auth_method":{"token":"hush-hush","cert":{}}}`, "auth_method: 2 methods, want one of Token"},
		{"an unknown method", `{"backend_type":"vault","address":"https://v:1","auth_method":{"ldap":{}}}`, "auth_method.ldap: unknown method"},
		{"a token without one", `{"backend_type":"vault","address":"https://v:1","auth_method":{"Token":{}}}`, "auth_method.Token.token: missing"},
		{"an empty token", `{"backend_type":"vault","address":"https://v:1","auth_method":{"Token":{"token":""}}}`, "auth_method.Token.token: empty"},
		{"an empty short token", `{"backend_type":"vault","address":"https://v:1","auth_method":{"token":""}}`, "auth_method.token: empty"},
		{"a hidden token", `{"backend_type":"vault","address":"https://v:1","auth_method":{"token":"[secret]"}}`, "auth_method.token: it is the sign"},
		{"a token that is a number", `{"backend_type":"vault","address":"https://v:1","auth_method":{"token":7}}`, "auth_method.token: got a number, want an object"},
		{"an unknown field of a method", `{"backend_type":"vault","address":"https://v:1","auth_method":{"Token":{"token":"hush-hush","ttl":1}}}`, "auth_method.Token.ttl: unknown field"},
		{"a role that is missing", `{"backend_type":"vault","address":"https://v:1","auth_method":{"AppRole":{"secret_id":"hush-hush"}}}`, "auth_method.AppRole.role_id: missing"},
		{"a secret id that is missing", `{"backend_type":"vault","address":"https://v:1","auth_method":{"AppRole":{"role_id":"r"}}}`, "auth_method.AppRole.secret_id: missing"},
		{"two secret ids", `{"backend_type":"vault","address":"https://v:1","auth_method":{"AppRole":{"role_id":"r","secret_id":"hush-hush","secret_id_file":"/f"}}}`, "auth_method.AppRole.secret_id_file: given with secret_id"},
		{"a Kubernetes role that is missing", `{"backend_type":"vault","address":"https://v:1","auth_method":{"Kubernetes":{}}}`, "auth_method.Kubernetes.role: missing"},
		{"a token file that is missing", `{"backend_type":"vault","address":"https://v:1","auth_method":{"TokenFile":{"path":""}}}`, "auth_method.TokenFile.path: missing"},
		{"certificate that is missing", `{"backend_type":"vault","address":"https://v:1","auth_method":{"Cert":{}}}`, "client_cert: missing, with the method Cert"},
		{"certificate without its key", vault + `,"client_cert":"/c"}`, "client_cert: given without client_key"},
		{"a key in place of its path", vault + `,"client_cert":"/c","client_key":"-----BEGIN PRIVATE KEY-----hush-hush"}`, "client_key: want the path of a PEM file"},
		{"an unknown engine", vault + `,"engine":"kv1"}`, `engine: got "kv1", want transit or kv2`},
		{"engine and type differ", `{"backend_type":"vault-kv2","engine":"transit","address":"https://v:1","auth_method":{"token":"hush-hush"}}`, `engine: got "transit" with backend_type vault-kv2`},
		{"too many requests at once", vault + `,"max_concurrent":10001}`, "max_concurrent: got"},

		{"former is no list", local + `,"former":{}}`, "former: got an object, want a list"},
		{"former is of no objects", local + `,"former":["hush-hush"]}`, "former[0]: got text, want an object"},
		{"former is null inside", local + `,"former":[null]}`, "former[0]: got null, want an object"},
		{"former has no type", local + `,"former":[{}]}`, "former[0].backend_type: missing"},
		{"former has an option", local + `,"former":[` + local + `},` + local + `,"timeout_seconds":1}]}`, "former[1].timeout_seconds: not a field of a former backend"},
		{"former has former", local + `,"former":[` + local + `,"former":[]}]}`, "former[0].former: not a field of a former backend"},
		{"former is wrong inside", local + `,"former":[` + local + `},{"backend_type":"vault","address":"x","auth_method":{"Token":{"token":7}}}]}`, "former[1].auth_method.Token.token: got a number, want text"},
		{"former is not valid", local + `,"former":[{"backend_type":"local","key_dir":"/k","root_key_file":"/k/f"}]}`, "former[0]: invalid configuration: the root key file lies"},
		{"former has a field twice", local + `,"former":[{"backend_type":"local","backend_type":"local"}]}`, "former[0].backend_type: given twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := backend.ParseConfig([]byte(tt.doc))
			requireInvalid(t, err, tt.want)
			require.Equal(t, kms.Config{}, cfg)

			_, err = backend.Merge(kms.Config{}, []byte(tt.doc)) // of nothing, a patch is a whole document
			requireInvalid(t, err, tt.want)
		})
	}
}

func TestTheDocumentStaysAsItIs(t *testing.T) {
	doc := []byte(`{"backend_type":"local","key_dir":"/k","passphrase":"hush-hush","former":[{"backend_type":"vault","address":"https://v:1","auth_method":{"token":"hush-hush"}}]}`)
	before := string(doc)
	cfg, err := backend.ParseConfig(doc)
	require.NoError(t, err)
	require.Equal(t, before, string(doc))
	clear(doc)
	require.Equal(t, hush, string(localOf(t, cfg.Backend).Passphrase.Bytes()))
}

func TestDestroy(t *testing.T) {
	cfg := parse(t, `{"backend_type":"local","key_dir":"/k","passphrase":"hush-hush","former":[
		{"backend_type":"local","key_dir":"/o","master_key":"`+key()+`"},
		{"backend_type":"vault","address":"https://v:1","auth_method":{"token":"hush-hush"}},
		{"backend_type":"vault","address":"https://v:1","auth_method":{"AppRole":{"role_id":"r","secret_id":"hush-hush"}}},
		{"backend_type":"vault","address":"https://v:1","auth_method":{"TokenFile":{"path":"/f"}}}]}`)
	byPointer := localOf(t, cfg.Former[0])
	cfg.Former[0] = &byPointer
	backend.Destroy(cfg)
	require.Zero(t, localOf(t, cfg.Backend).Passphrase.Len())
	require.Zero(t, byPointer.RootKey.Len())
	require.Zero(t, vaultOf(t, cfg.Former[1]).Auth.(vault.TokenAuth).Token.Len())
	require.Zero(t, vaultOf(t, cfg.Former[2]).Auth.(vault.AppRoleAuth).SecretID.Len())
	backend.Destroy(kms.Config{Backend: (*local.Config)(nil)})
}

// What was made before the error is found is wiped.
func TestTheSecretsOfARefusedDocumentAreWiped(t *testing.T) {
	for _, rest := range []string{`,"former":[{}]`, `,"former":7`, `,"former":[{"backend_type":"made"},{"backend_type":"local"}]`, `,"default_key_id":"\u0007"`} {
		var made []*kms.Secret
		decoders := backend.Standard()
		decoders["made"] = func(json.RawMessage) (kms.BackendConfig, error) {
			made = append(made, secretOf(hush))
			return local.Config{Dir: "/k", Passphrase: made[len(made)-1]}, nil
		}
		_, err := decoders.ParseConfig([]byte(`{"backend_type":"made"` + rest + `}`))
		requireInvalid(t, err, "")
		_, err = decoders.Merge(kms.Config{}, []byte(`{"backend_type":"made"`+rest+`}`))
		requireInvalid(t, err, "")
		require.NotEmpty(t, made)
		for _, secret := range made {
			require.Zero(t, secret.Len())
		}
	}
}

func TestDecodersOfOnesOwn(t *testing.T) {
	decoders := withStatic()
	cfg, err := decoders.ParseConfig([]byte(`{"Name":"n","backend_type":"STATIC","Material":"m","timeout_seconds":7,"former":[{"backend_type":"Static","Name":"o"}]}`))
	require.NoError(t, err)
	require.Equal(t, kms.Config{Backend: staticConfig{"n", "m"}, Former: []kms.BackendConfig{staticConfig{"o", ""}}, Options: kms.Options{Timeout: 7 * time.Second}}, cfg)

	_, err = decoders.ParseConfig([]byte(`{"backend_type":"static","Nome":"n"}`))
	requireInvalid(t, err, "Nome")
	_, err = decoders.ParseConfig([]byte(`{"backend_type":"static","Name":"n","former":[{"backend_type":"static","Nome":"n"}]}`))
	requireInvalid(t, err, "former[0]: ")
	_, err = backend.ParseConfig([]byte(`{"backend_type":"static","Name":"n"}`))
	requireInvalid(t, err, "backend_type")
	require.NotContains(t, backend.Standard(), "static")
}

func TestDecodersThatAreOdd(t *testing.T) {
	boom := errors.New("boom")
	decoders := backend.Decoders{
		"fails":   func(json.RawMessage) (kms.BackendConfig, error) { return nil, boom },
		"nothing": func(json.RawMessage) (kms.BackendConfig, error) { return nil, nil },
		"absent":  nil,
		"my-kms":  func(json.RawMessage) (kms.BackendConfig, error) { return staticConfig{}, nil },
		"my_kms":  func(json.RawMessage) (kms.BackendConfig, error) { return staticConfig{"exact", ""}, nil },
	}
	_, err := decoders.ParseConfig([]byte(`{"backend_type":"fails"}`))
	requireInvalid(t, err, "boom")
	require.ErrorIs(t, err, boom)
	_, err = decoders.ParseConfig([]byte(`{"backend_type":"nothing"}`))
	requireInvalid(t, err, "backend_type: the decoder of nothing answered neither")
	_, err = decoders.ParseConfig([]byte(`{"backend_type":"absent"}`))
	requireInvalid(t, err, "backend_type: got")
	_, err = decoders.ParseConfig([]byte(`{"backend_type":"MyKMS"}`))
	requireInvalid(t, err, "backend_type: got")
	cfg, err := decoders.ParseConfig([]byte(`{"backend_type":"MY_KMS"}`))
	require.NoError(t, err)
	require.Equal(t, staticConfig{"exact", ""}, cfg.Backend)
}

// What a decoder is given holds secrets, and is wiped when it has returned.
func TestTheMessageOfADecoderIsWiped(t *testing.T) {
	var message []byte
	decoders := backend.Decoders{"static": func(doc json.RawMessage) (kms.BackendConfig, error) {
		message = doc
		require.JSONEq(t, `{"material":"hush-hush"}`, string(doc))
		return staticConfig{}, nil
	}}
	_, err := decoders.ParseConfig([]byte(`{"backend_type":"static","material":"hush-hush"}`))
	require.NoError(t, err)
	require.Equal(t, make([]byte, len(message)), message)
}
