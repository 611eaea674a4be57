// Package vault keeps master keys in a Vault or OpenBao server.
//
// With engine Transit, the default, master keys never leave the server, and a data key costs one request. With engine KV2 the server only
// stores them, sealed under a root key beside them, and data keys are wrapped in this process: whoever can read that path has every master key.
//
//	keys, err := kms.Open(ctx, kms.Config{Backend: vault.Config{
//		Address: "https://vault.example:8200",
//		Auth:    vault.AppRoleAuth{RoleID: roleID, SecretIDFile: "/etc/objectkms/secret-id"},
//	}})
//
// The policies that a token needs, and what to do when something is lost, are in docs/VAULT.md.
package vault

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/objectkms/kms"
)

// Backend keeps master keys in Vault or OpenBao. It has all operations of [kms.Backend] and of every optional interface of a backend, with
// either engine, and is safe for concurrent use. Several processes may use the same keys; a change by another one is seen within five
// seconds, a new key at once. Make one with New or [Config.Open].
//
// Whatever keeps Vault from answering is ErrUnavailable, and so is an answer that is not Vault's: no such thing is taken for a wrong ciphertext
// or for a key that is not there. What a policy forbids is ErrPermission.
type Backend struct {
	engine
	client *client
	kind   string
}

// An engine is what a Backend does its work with.
type engine interface {
	kms.Backend
	kms.KeyStateChanger
	kms.KeyRotator
	kms.KeyImporter
	kms.KeyUpdater
	kms.DataKeyRewrapper
	kms.ExpiredKeyRemover
}

var (
	_ engine            = (*Backend)(nil)
	_ kms.BackendConfig = Config{}
)

// New opens the keys with a client of the caller's, which is not changed: its address, TLS, headers and namespace are used, and its own retries are
// not. Address and TLS of cfg must be empty. Where Auth is nil, the client's token is used; it is the caller's to renew.
//
// Errors are those of [Config.Open].
func New(ctx context.Context, server *api.Client, cfg Config) (*Backend, error) {
	c, err := newClientFrom(ctx, server, cfg)
	if err != nil {
		return nil, err
	}
	return open(ctx, c, cfg)
}

// Open connects to the server, logs in, and looks at the mounts. It makes nothing in Vault, but for the root key of engine KV2 at first use.
//
// Errors: ErrInvalidConfig where the configuration is malformed or a mount is none of the right engine; ErrPermission where the credentials are refused, or
// may not use a mount, which is also what Vault answers where there is none; ErrKeyMaterial where the root key of engine KV2 is
// missing beside records, damaged, or not theirs; ErrUnavailable where the server does not answer.
func (c Config) Open(ctx context.Context) (kms.Backend, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	connected, err := newClient(ctx, c)
	if err != nil {
		return nil, err
	}
	b, err := open(ctx, connected, c)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// open opens the engine over a client, which it closes where it fails.
func open(ctx context.Context, c *client, cfg Config) (*Backend, error) {
	b := &Backend{client: c, kind: cfg.BackendType()}
	var err error
	if b.engine, err = openEngine(ctx, c, cfg.withDefaults()); err != nil {
		c.close()
		return nil, err
	}
	return b, nil
}

func openEngine(ctx context.Context, c *client, cfg Config) (engine, error) {
	if err := c.checkMount(ctx, cfg.KVMount, mount{Type: "kv", Version: "2"}); err != nil {
		return nil, err
	}
	if cfg.Engine == KV2 {
		return openKV2(ctx, c, cfg)
	}
	if err := c.checkMount(ctx, cfg.TransitMount, mount{Type: "transit"}); err != nil {
		return nil, err
	}
	return openTransit(c, cfg), nil
}

// A mount is what is mounted at a path.
type mount struct {
	Type    string
	Version string // of a KV engine
}

// checkMount compares what is mounted at a path with what must be.
func (c *client) checkMount(ctx context.Context, path string, want mount) error {
	var answer struct {
		Data struct {
			Path    string
			Type    string
			Options struct{ Version string }
		}
	}
	err := c.do(ctx, http.MethodGet, "sys/internal/ui/mounts/"+path, nil, &answer)
	if isStatus(err, http.StatusForbidden) {
		return fmt.Errorf("nothing is mounted at %q, or no policy of the token has a path in it: %w", path, err)
	}
	if err != nil {
		return unlessNotFound(err)
	}
	if got := (mount{answer.Data.Type, answer.Data.Options.Version}); got != want {
		return fmt.Errorf("%w: %q is a mount of %.100q %.100q, want %q %q", kms.ErrInvalidConfig, path, got.Type, got.Version, want.Type, want.Version)
	}
	// Vault answers for a path inside a mount too. In front of the path there may be a namespace.
	if got := answer.Data.Path; !strings.HasSuffix("/"+got, "/"+path+"/") {
		return fmt.Errorf("%w: %q is inside the mount %.100q, want a mount", kms.ErrInvalidConfig, path, got)
	}
	return nil
}

// BackendType returns "vault-transit" or "vault-kv2".
func (b *Backend) BackendType() string { return b.kind }
