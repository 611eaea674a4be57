package backend

// form is how the value of a variable becomes that of a field.
type form uint8

const (
	formText   form = iota
	formNumber      // decimal digits
	formBool        // true or false
	formFile        // the path of a file that holds the value
)

// A variable says a field of the document.
type variable struct {
	suffix  string   // its name without the prefix
	aliases []string // other suffixes
	path    string   // of the field
	form    form
}

const authPath = "auth_method."

// variables returns the table of all environment variables. Those of authentication are the last, and together for each method.
func variables() []variable {
	return []variable{
		{suffix: envConfigFile, path: "-"},
		{suffix: "BACKEND", path: "backend_type"},
		{suffix: "DEFAULT_KEY_ID", path: "default_key_id"},
		{suffix: "TIMEOUT_SECS", path: "timeout_seconds", form: formNumber},
		{suffix: "RETRY_ATTEMPTS", path: "retry_attempts", form: formNumber},
		{suffix: "ENABLE_CACHE", path: "enable_cache", form: formBool},
		{suffix: "MAX_CACHED_KEYS", path: "max_cached_keys", form: formNumber},
		{suffix: "CACHE_TTL_SECS", path: "cache_ttl_seconds", form: formNumber},
		{suffix: "ALLOW_IMMEDIATE_DELETION", path: "allow_immediate_deletion", form: formBool},
		{suffix: "DECRYPT_WITH_DISABLED_KEYS", path: "decrypt_with_disabled_keys", form: formBool},

		{suffix: "LOCAL_KEY_DIR", aliases: []string{"KEY_DIR"}, path: "key_dir"},
		{suffix: "LOCAL_MASTER_KEY", path: "master_key"},
		{suffix: "LOCAL_MASTER_KEY_FILE", path: "master_key", form: formFile},
		{suffix: "LOCAL_PASSPHRASE", path: "passphrase"},
		{suffix: "LOCAL_PASSPHRASE_FILE", path: "passphrase", form: formFile},
		{suffix: "LOCAL_ROOT_KEY_FILE", path: "root_key_file"},
		{suffix: "LOCAL_ALLOW_UNLOCKED_MEMORY", path: "allow_unlocked_memory", form: formBool},

		{suffix: "VAULT_ADDRESS", path: "address"},
		{suffix: "VAULT_ENGINE", path: "engine"},
		{suffix: "VAULT_NAMESPACE", path: "namespace"},
		{suffix: "VAULT_MOUNT_PATH", path: "mount_path"},
		{suffix: "VAULT_KV_MOUNT", aliases: []string{"VAULT_TRANSIT_METADATA_KV_MOUNT"}, path: "kv_mount"},
		{suffix: "VAULT_KEY_PREFIX", aliases: []string{"VAULT_TRANSIT_METADATA_PREFIX"}, path: "key_path_prefix"},
		{suffix: "VAULT_CA_CERT", path: "ca_cert"},
		{suffix: "VAULT_CLIENT_CERT", path: "client_cert"},
		{suffix: "VAULT_CLIENT_KEY", path: "client_key"},
		{suffix: "VAULT_TLS_SERVER_NAME", path: "tls_server_name"},
		{suffix: "VAULT_SKIP_TLS_VERIFY", path: "skip_tls_verify", form: formBool},
		{suffix: "VAULT_ALLOW_INSECURE", path: "allow_insecure", form: formBool},
		{suffix: "VAULT_MAX_CONCURRENT", path: "max_concurrent", form: formNumber},

		{suffix: "VAULT_TOKEN", path: "auth_method.Token.token"},
		{suffix: "VAULT_TOKEN_FILE", path: "auth_method.TokenFile.path"},
		{suffix: "VAULT_APPROLE_ROLE_ID", path: "auth_method.AppRole.role_id"},
		{suffix: "VAULT_APPROLE_SECRET_ID", path: "auth_method.AppRole.secret_id"},
		{suffix: "VAULT_APPROLE_SECRET_ID_FILE", path: "auth_method.AppRole.secret_id_file"},
		{suffix: "VAULT_APPROLE_MOUNT", path: "auth_method.AppRole.mount"},
		{suffix: "VAULT_KUBERNETES_ROLE", path: "auth_method.Kubernetes.role"},
		{suffix: "VAULT_KUBERNETES_JWT_PATH", path: "auth_method.Kubernetes.jwt_path"},
		{suffix: "VAULT_KUBERNETES_MOUNT", path: "auth_method.Kubernetes.mount"},
		{suffix: "VAULT_CERT_NAME", path: "auth_method.Cert.name"},
		{suffix: "VAULT_CERT_MOUNT", path: "auth_method.Cert.mount"},
	}
}
