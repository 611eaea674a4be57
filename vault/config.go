package vault

import (
	"context"
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
type Config struct {
	// Address is the URL of the server, such as https://vault.example:8200.
	Address string
	// Auth is how to get a token: [TokenAuth], [TokenFileAuth], [AppRoleAuth], [KubernetesAuth] or [CertAuth].
	Auth Auth
	// Engine is Transit or KV2.
	Engine Engine
	// Namespace is the Vault Enterprise or OpenBao namespace of every path. Empty: the root namespace.
	Namespace string
	// TransitMount is where the Transit engine is mounted. Empty: "transit".
	TransitMount string
	// KVMount is where a KV engine of version 2 is mounted. Empty: "secret".
	KVMount string
	// KeyPrefix is the path below KVMount that holds the records of keys. Empty: "objectkms".
	KeyPrefix string
	// TLS is how the server is recognized, and this process to it.
	TLS TLS
	// AllowPlainHTTP permits an http:// address that is not a loopback address: tokens and data keys then cross the network in clear.
	AllowPlainHTTP bool
	// MaxConcurrent is how many requests are under way at once at most; others wait. 0 means 64.
	MaxConcurrent int
	// Logger receives warnings, such as certificates that are not checked. Nil is silent.
	Logger *slog.Logger
}

// TLS is how a server is recognized, and this process to it. Files are PEM. The minimum version is TLS 1.2.
type TLS struct {
	CAFile     string // certificates of the authorities to trust, in place of the system's
	CertFile   string // the client's certificate, with KeyFile
	KeyFile    string
	ServerName string // the name in the server's certificate, where it is not that of the address
	// InsecureSkipVerify accepts any certificate: everybody on the path can then be the server. It is for tests, and is logged as a warning.
	InsecureSkipVerify bool
}

// Auth is how a Backend gets its token.
type Auth interface {
	method() string
}

// TokenAuth is a token that is given.
type TokenAuth struct {
	Token *kms.Secret
}

// TokenFileAuth is a file that holds a token, which an agent may replace.
type TokenFileAuth struct {
	Path string
}

// AppRoleAuth is a role id with a secret id, given or from a file.
type AppRoleAuth struct {
	Mount        string // empty: "approle"
	RoleID       string
	SecretID     *kms.Secret
	SecretIDFile string
}

// KubernetesAuth is a role and the service account's JWT, which is read from its file at each login.
type KubernetesAuth struct {
	Mount   string // empty: "kubernetes"
	Role    string
	JWTFile string // empty: /var/run/secrets/kubernetes.io/serviceaccount/token
}

// CertAuth is the client certificate of TLS.
type CertAuth struct {
	Mount string // empty: "cert"
	Name  string // the role; empty: any that fits
}

func (TokenAuth) method() string      { return "token" }
func (TokenFileAuth) method() string  { return "token file" }
func (AppRoleAuth) method() string    { return "approle" }
func (KubernetesAuth) method() string { return "kubernetes" }
func (CertAuth) method() string       { return "cert" }

// Validate checks the configuration without any I/O. Errors wrap ErrInvalidConfig.
func (c Config) Validate() error { return nil }

// BackendType returns "vault-transit" or "vault-kv2".
func (c Config) BackendType() string {
	if c.Engine == KV2 {
		return "vault-kv2"
	}
	return "vault-transit"
}

// Open connects to the server.
func (c Config) Open(ctx context.Context) (kms.Backend, error) {
	return nil, kms.ErrUnsupported
}
