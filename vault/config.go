package vault

import (
	"cmp"
	"log/slog"

	"github.com/objectkms/kms"
)

// Engine says how Vault keeps master keys.
type Engine uint8

// The engines.
const (
	// Transit keeps master keys in the Transit secrets engine: they never leave Vault.
	Transit Engine = iota
	// KV2 keeps sealed master keys in the KV secrets engine, version 2, and wraps data keys in this process.
	KV2
)

// Config is a Vault or OpenBao server, the credentials to use, and where the keys are. The zero value of every optional field is right.
// The environment variables of Vault's own tools, such as VAULT_ADDR and VAULT_TOKEN, change nothing here.
type Config struct {
	// Address is the URL of the server, https://host or https://host:port. A proxy of the environment (HTTPS_PROXY, NO_PROXY)
	// is respected.
	Address string
	// Auth is how to get a token: [TokenAuth], [TokenFileAuth], [AppRoleAuth], [KubernetesAuth] or [CertAuth], by value.
	Auth Auth
	// Engine is Transit or KV2.
	Engine Engine
	// Namespace is the Vault Enterprise or OpenBao namespace of every path, also of logins. Empty: the root namespace.
	Namespace string
	// TransitMount is where the Transit engine is mounted. Empty: "transit".
	TransitMount string
	// KVMount is where a KV engine of version 2 is mounted. Empty: "secret".
	KVMount string
	// KeyPrefix is the path below KVMount that holds the records of keys. Empty: "objectkms".
	KeyPrefix string
	// TLS is how the server is recognized, and this process to it.
	TLS TLS
	// AllowPlainHTTP permits an http:// address that is not a loopback address: tokens and data keys then cross the network in clear,
	// which is logged as a warning.
	AllowPlainHTTP bool
	// MaxConcurrent is how many requests are under way at once at most; others wait. 0 means 64.
	MaxConcurrent int
	// Logger receives what no returned error says: warnings about certificates that are not checked, plain HTTP and memory that cannot be
	// locked, and renewals that fail in the background. Nil: Logger of [kms.Options], where a Manager opens the configuration; else silent.
	Logger *slog.Logger
}

// TLS is how a server is recognized, and this process to it. Files are PEM. The minimum version is TLS 1.2.
type TLS struct {
	// CAFile holds the certificates of the authorities to trust, in place of the system's. It is read when the backend is opened.
	CAFile string
	// CertFile and KeyFile are the client's certificate, with its chain, and its key. They are read again at each handshake.
	CertFile string
	KeyFile  string
	// ServerName is the name in the server's certificate, where it is not that of the address.
	ServerName string
	// InsecureSkipVerify accepts any certificate: everybody on the path can then be the server. It is for tests, and is logged as a warning.
	InsecureSkipVerify bool
}

// The defaults of Config.
const (
	defaultTransitMount  = "transit"
	defaultKVMount       = "secret"
	defaultKeyPrefix     = "objectkms"
	defaultMaxConcurrent = 64
)

var (
	_ kms.BackendConfig = Config{}
	_ kms.LoggingConfig = Config{}
)

// BackendType returns "vault-transit" or "vault-kv2".
func (c Config) BackendType() string {
	if c.Engine == KV2 {
		return "vault-kv2"
	}
	return "vault-transit"
}

// WithLogger returns the configuration with the logger, unless it has one of its own. It implements [kms.LoggingConfig].
func (c Config) WithLogger(logger *slog.Logger) kms.BackendConfig {
	if c.Logger == nil {
		c.Logger = logger
	}
	return c
}

// withDefaults returns the configuration with every zero value replaced by what it means.
func (c Config) withDefaults() Config {
	c.TransitMount = cmp.Or(c.TransitMount, defaultTransitMount)
	c.KVMount = cmp.Or(c.KVMount, defaultKVMount)
	c.KeyPrefix = cmp.Or(c.KeyPrefix, defaultKeyPrefix)
	c.MaxConcurrent = cmp.Or(c.MaxConcurrent, defaultMaxConcurrent)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
