package backend

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/vault"
)

// fileMode is the mode of the local backend's files, and the only one that may be asked for.
const fileMode = 0o600

// applyOptions sets the options that are given.
func (r *ConfigureRequest) applyOptions(o *kms.Options) {
	set(&o.DefaultKeyID, r.DefaultKeyID)
	set(&o.RetryAttempts, r.RetryAttempts)
	set(&o.Cache.MaxKeys, r.MaxCachedKeys)
	set(&o.AllowImmediateDeletion, r.AllowImmediateDeletion)
	set(&o.DecryptWithDisabledKeys, r.DecryptWithDisabledKeys)
	setSeconds(&o.Timeout, r.TimeoutSeconds)
	setSeconds(&o.Cache.TTL, r.CacheTTLSeconds)
	if r.EnableCache != nil {
		o.Cache.Disabled = !*r.EnableCache
	}
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func setSeconds(to *time.Duration, seconds *int) {
	if seconds != nil {
		*to = time.Duration(*seconds) * time.Second
	}
}

// backend makes the configuration that BackendType names. It takes the secrets over.
func (r *ConfigureRequest) backend() (kms.BackendConfig, error) {
	if r.BackendType == typeLocal {
		c, err := r.applyLocal(local.Config{})
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	var c vault.Config
	if r.BackendType == typeKV2 {
		c.Engine = vault.KV2
	}
	c, err := r.applyVault(c)
	switch {
	case err != nil:
		return nil, err
	case r.BackendType != typeVault && r.BackendType != c.BackendType():
		return nil, invalid("engine", "got %s with backend_type %s", strictjson.Show(*r.Engine), r.BackendType)
	}
	return c, nil
}

// applyLocal sets what is given. Where a root key comes from is one thing: a new one takes the place of another.
func (r *ConfigureRequest) applyLocal(c local.Config) (local.Config, error) {
	if r.FilePermissions != nil && *r.FilePermissions != fileMode {
		return c, invalid("file_permissions", "got %#o, want 0600, in decimal 384", *r.FilePermissions)
	}
	set(&c.Dir, r.KeyDir)
	set(&c.AllowUnlockedMemory, r.AllowUnlockedMemory)
	var given []string
	for name, is := range map[string]bool{"master_key": r.MasterKey != nil, "passphrase": r.Passphrase != nil, "root_key_file": !isEmpty(r.RootKeyFile)} {
		if is {
			given = append(given, name)
		}
	}
	slices.Sort(given)
	if len(given) > 1 {
		return c, invalid(given[1], "given with %s, want one of them", given[0])
	}
	if len(given) == 1 {
		c.RootKey, c.Passphrase, c.RootKeyFile = r.MasterKey, r.Passphrase, text(r.RootKeyFile)
	}
	switch {
	case c.Dir == "":
		return c, invalid("key_dir", "missing")
	case c.RootKey == nil && c.Passphrase == nil && c.RootKeyFile == "":
		return c, invalid("master_key", "missing, and passphrase and root_key_file too")
	}
	return c, nil
}

// applyVault sets what is given.
func (r *ConfigureRequest) applyVault(c vault.Config) (vault.Config, error) {
	if r.Engine != nil {
		switch strings.ToLower(*r.Engine) {
		case "transit":
			c.Engine = vault.Transit
		case "kv2":
			c.Engine = vault.KV2
		default:
			return c, invalid("engine", "got %s, want transit or kv2", strictjson.Show(*r.Engine))
		}
	}
	if r.AuthMethod != nil {
		c.Auth = r.AuthMethod
	}
	set(&c.Address, r.Address)
	set(&c.Namespace, r.Namespace)
	set(&c.TransitMount, r.MountPath)
	set(&c.KVMount, r.KVMount)
	set(&c.KeyPrefix, r.KeyPathPrefix)
	set(&c.TLS.CAFile, r.CACert)
	set(&c.TLS.CertFile, r.ClientCert)
	set(&c.TLS.KeyFile, r.ClientKey)
	set(&c.TLS.ServerName, r.TLSServerName)
	set(&c.TLS.InsecureSkipVerify, r.SkipTLSVerify)
	set(&c.AllowPlainHTTP, r.AllowInsecure)
	set(&c.MaxConcurrent, r.MaxConcurrent)
	switch {
	case c.Address == "":
		return c, invalid("address", "missing")
	case c.Auth == nil:
		return c, invalid("auth_method", "missing")
	case (c.TLS.CertFile == "") != (c.TLS.KeyFile == ""):
		return c, invalid("client_cert", "given without client_key, or the other way round")
	case isCert(c.Auth) && c.TLS.CertFile == "":
		return c, invalid("client_cert", "missing, with the method Cert")
	}
	return c, nil
}

func isCert(auth vault.Auth) bool {
	_, is := auth.(vault.CertAuth)
	return is
}

// Destroy wipes the secrets in the configurations of this library's backends. It is for who made the configuration, once nothing will open it again: what is open
// has copies of its own.
func Destroy(cfg kms.Config) {
	for _, b := range append([]kms.BackendConfig{cfg.Backend}, cfg.Former...) {
		if c, ok := asLocal(b); ok {
			c.RootKey.Destroy()
			c.Passphrase.Destroy()
		}
		if c, ok := asVault(b); ok {
			authSecret(c.Auth).Destroy()
		}
	}
}

func asLocal(b kms.BackendConfig) (local.Config, bool) { return as[local.Config](b) }

func asVault(b kms.BackendConfig) (vault.Config, bool) { return as[vault.Config](b) }

// as finds a configuration of one type, or a pointer to one.
func as[T kms.BackendConfig](b kms.BackendConfig) (c T, ok bool) {
	if c, ok = b.(T); ok {
		return c, true
	}
	if p, is := any(b).(*T); is && p != nil {
		return *p, true
	}
	return c, false
}

// clone copies a configuration with its secrets. Those of somebody else's are returned as they are.
func clone(b kms.BackendConfig) kms.BackendConfig {
	if c, ok := asLocal(b); ok {
		c.RootKey, c.Passphrase = c.RootKey.Clone(), c.Passphrase.Clone()
		return c
	}
	if c, ok := asVault(b); ok {
		c.Auth = cloneAuth(c.Auth)
		return c
	}
	return b
}

// requestOf is the way back from a configuration to the request for it, which shares its secrets.
func requestOf(cfg kms.Config) (*ConfigureRequest, error) {
	r, err := requestOfBackend(cfg.Backend)
	if err != nil {
		return nil, err
	}
	for i, b := range cfg.Former {
		former, err := requestOfBackend(b)
		if err != nil {
			return nil, at(fmt.Sprintf("former[%d]", i), err)
		}
		r.Former = append(r.Former, *former)
	}
	return r, r.describeOptions(cfg.Options)
}

func requestOfBackend(b kms.BackendConfig) (*ConfigureRequest, error) {
	if c, ok := asLocal(b); ok {
		return &ConfigureRequest{
			BackendType: typeLocal, KeyDir: &c.Dir, MasterKey: c.RootKey, Passphrase: c.Passphrase,
			RootKeyFile: unlessZero(c.RootKeyFile), AllowUnlockedMemory: unlessZero(c.AllowUnlockedMemory),
		}, nil
	}
	if c, ok := asVault(b); ok {
		return &ConfigureRequest{
			BackendType: c.BackendType(), Address: &c.Address, AuthMethod: c.Auth, Namespace: unlessZero(c.Namespace),
			MountPath: unlessZero(c.TransitMount), KVMount: unlessZero(c.KVMount), KeyPathPrefix: unlessZero(c.KeyPrefix),
			CACert: unlessZero(c.TLS.CAFile), ClientCert: unlessZero(c.TLS.CertFile), ClientKey: unlessZero(c.TLS.KeyFile),
			TLSServerName: unlessZero(c.TLS.ServerName), SkipTLSVerify: unlessZero(c.TLS.InsecureSkipVerify),
			AllowInsecure: unlessZero(c.AllowPlainHTTP), MaxConcurrent: unlessZero(c.MaxConcurrent),
		}, nil
	}
	if b == nil {
		return nil, invalid("backend_type", "missing")
	}
	return nil, fmt.Errorf("%w: the %s backend has no form in JSON that is known here", kms.ErrUnsupported, b.BackendType())
}

func unlessZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// describeOptions is the way back of applyOptions.
func (r *ConfigureRequest) describeOptions(o kms.Options) error {
	r.DefaultKeyID = unlessZero(o.DefaultKeyID)
	r.MaxCachedKeys = unlessZero(o.Cache.MaxKeys)
	r.AllowImmediateDeletion = unlessZero(o.AllowImmediateDeletion)
	r.DecryptWithDisabledKeys = unlessZero(o.DecryptWithDisabledKeys)
	r.RetryAttempts = unlessZero(o.RetryAttempts)
	if o.RetryAttempts < 0 {
		r.RetryAttempts = new(1)
	}
	if o.Cache.Disabled {
		r.EnableCache = new(false)
	}
	var err error
	if r.TimeoutSeconds, err = wholeSeconds("timeout_seconds", o.Timeout); err != nil {
		return err
	}
	r.CacheTTLSeconds, err = wholeSeconds("cache_ttl_seconds", o.Cache.TTL)
	return err
}

func wholeSeconds(name string, d time.Duration) (*int, error) {
	if d%time.Second != 0 {
		return nil, invalid(name, "%v has no form in JSON, want whole seconds", d)
	}
	return unlessZero(int(d / time.Second)), nil
}

// Destroy wipes the secrets of a configuration, as the function of that name does.
func (Decoders) Destroy(cfg kms.Config) { Destroy(cfg) }
