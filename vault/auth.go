package vault

import (
	"fmt"

	"github.com/objectkms/kms"
)

// Auth is how a Backend gets its token. The methods are the types of this package, which are given by value.
//
// Whatever the method, the token is renewed at half its time to live, and where that is not possible, or brings no more than half of its first
// time, a new one takes its place while the old one still works. Tokens need the right to ask about themselves and to be renewed
// (auth/token/lookup-self, auth/token/renew-self), which Vault's policy "default" gives.
type Auth interface {
	// method returns a name for errors and logs.
	method() string
	// validate checks the values without any I/O. Errors wrap ErrInvalidConfig.
	validate() error
	// source returns what gets the tokens. Its secrets are copies of its own.
	source() *source
}

var (
	_ Auth = TokenAuth{}
	_ Auth = TokenFileAuth{}
	_ Auth = AppRoleAuth{}
	_ Auth = KubernetesAuth{}
	_ Auth = CertAuth{}
)

// TokenAuth is a token that is given. It is renewed while Vault allows it; when it is dead every call is ErrPermission, since there is nothing
// else to log in with.
type TokenAuth struct {
	// Token stays the caller's, who may destroy it once Open has returned, unless Open is to be called again.
	Token *kms.Secret
}

// TokenFileAuth is a file that holds a token and nothing else but white space at its end. An agent may replace the file: it is
// read again when it has changed, which is looked at once a second while the Backend is used, and whenever the token is refused.
type TokenFileAuth struct {
	Path string
}

// AppRoleAuth is a role id with a secret id, which is given or stands in a file: exactly one of the two.
type AppRoleAuth struct {
	// Mount is where the method is mounted. Empty: "approle".
	Mount string
	// RoleID is the id of the role, which is not secret.
	RoleID string
	// SecretID stays the caller's, as TokenAuth.Token does.
	SecretID *kms.Secret
	// SecretIDFile is read at each login.
	SecretIDFile string
}

// KubernetesAuth is a role and the JWT of the service account, which is read from its file at each login, since Kubernetes replaces it.
type KubernetesAuth struct {
	// Mount is where the method is mounted. Empty: "kubernetes".
	Mount string
	// Role is the name of the role to log in to.
	Role string
	// JWTFile is the path of the JWT. Empty: /var/run/secrets/kubernetes.io/serviceaccount/token.
	JWTFile string
}

// CertAuth is the client certificate of the TLS connection, Config.TLS.CertFile.
type CertAuth struct {
	// Mount is where the method is mounted. Empty: "cert".
	Mount string
	// Name is the role to log in to. Empty: any that the certificate fits.
	Name string
}

const defaultJWTFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"

func (TokenAuth) method() string      { return "token" }
func (TokenFileAuth) method() string  { return "token file" }
func (AppRoleAuth) method() string    { return "approle" }
func (KubernetesAuth) method() string { return "kubernetes" }
func (CertAuth) method() string       { return "cert" }

func (a TokenAuth) validate() error {
	if err := checkToken(a.Token.Bytes()); err != nil {
		return fmt.Errorf("%w: %w", kms.ErrInvalidConfig, err)
	}
	return nil
}

func (a TokenFileAuth) validate() error {
	return checkGiven("path of the token file", a.Path)
}

func (a AppRoleAuth) validate() error {
	if err := checkPath("mount of AppRole", a.Mount); err != nil {
		return err
	}
	if err := checkGiven("role id", a.RoleID); err != nil {
		return err
	}
	switch {
	case a.SecretID != nil && a.SecretIDFile != "":
		return fmt.Errorf("%w: both a secret id and a file of one are given, want one", kms.ErrInvalidConfig)
	case a.SecretID == nil && a.SecretIDFile == "":
		return fmt.Errorf("%w: neither a secret id nor a file of one is given, want one", kms.ErrInvalidConfig)
	case a.SecretID != nil && a.SecretID.Len() == 0:
		return fmt.Errorf("%w: the secret id is empty", kms.ErrInvalidConfig)
	}
	return nil
}

func (a KubernetesAuth) validate() error {
	if err := checkPath("mount of Kubernetes", a.Mount); err != nil {
		return err
	}
	return checkGiven("role of Kubernetes", a.Role)
}

func (a CertAuth) validate() error {
	return checkPath("mount of cert", a.Mount)
}

func checkGiven(what, value string) error {
	if value == "" {
		return fmt.Errorf("%w: no %s", kms.ErrInvalidConfig, what)
	}
	return nil
}

const maxTokenSize = 8 << 10 // bytes; those that hold their own data, as batch tokens do, have some hundreds

// checkToken checks that a token can stand in a header. The error holds nothing of it.
func checkToken(token []byte) error {
	if len(token) == 0 || len(token) > maxTokenSize {
		return fmt.Errorf("token has %d bytes, want 1 to %d", len(token), maxTokenSize)
	}
	for i, c := range token {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("token has a white space, control or other character at index %d, want printable ASCII", i)
		}
	}
	return nil
}
