package backend

import (
	"cmp"
	"encoding/json"
	"net/url"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

// A ConfigSummary is what may be shown of a configuration: everything but its secrets, with the defaults in the place of what is not set. Its JSON is for people and
// dashboards; it is no document for ParseConfig.
type ConfigSummary struct {
	BackendType             string           `json:"backend_type"`
	DefaultKeyID            string           `json:"default_key_id,omitempty"`
	TimeoutSeconds          float64          `json:"timeout_seconds"`
	RetryAttempts           int              `json:"retry_attempts"`
	EnableCache             bool             `json:"enable_cache"`
	Cache                   *CacheSummary    `json:"cache_summary,omitempty"` // nil where there is none
	AllowImmediateDeletion  bool             `json:"allow_immediate_deletion"`
	DecryptWithDisabledKeys bool             `json:"decrypt_with_disabled_keys"`
	Backend                 BackendSummary   `json:"backend_summary"`
	Former                  []BackendSummary `json:"former,omitempty"`
}

// CacheSummary is the bounds of the caches.
type CacheSummary struct {
	MaxKeys    int     `json:"max_keys"`
	TTLSeconds float64 `json:"ttl_seconds"`
}

// A BackendSummary is what may be shown of one backend. Of a backend of somebody else's it is the type alone.
type BackendSummary struct {
	BackendType string `json:"backend_type"`

	KeyDir              string `json:"key_dir,omitempty"`
	RootKeySource       string `json:"root_key_source,omitempty"` // master_key, passphrase or root_key_file
	RootKeyFile         string `json:"root_key_file,omitempty"`
	AllowUnlockedMemory bool   `json:"allow_unlocked_memory,omitempty"`

	Address       string `json:"address,omitempty"` // without user, password and query
	AuthMethod    string `json:"auth_method_type,omitempty"`
	Namespace     string `json:"namespace,omitempty"`
	MountPath     string `json:"mount_path,omitempty"`
	KVMount       string `json:"kv_mount,omitempty"`
	KeyPathPrefix string `json:"key_path_prefix,omitempty"`
	CACert        string `json:"ca_cert,omitempty"`
	ClientCert    string `json:"client_cert,omitempty"`
	TLSServerName string `json:"tls_server_name,omitempty"`
	SkipTLSVerify bool   `json:"skip_tls_verify,omitempty"`
	AllowInsecure bool   `json:"allow_insecure,omitempty"`
}

// What stands for a zero value.
const (
	defaultTimeout       = 30 * time.Second
	defaultRetryAttempts = 3
	defaultCacheKeys     = 1000
	defaultCacheTTL      = 300 * time.Second
	defaultTransitMount  = "transit"
	defaultKVMount       = "secret"
	defaultKeyPrefix     = "objectkms"
)

// Summary describes a configuration without its secrets.
func Summary(cfg kms.Config) ConfigSummary {
	o := cfg.Options
	s := ConfigSummary{
		DefaultKeyID:            o.DefaultKeyID,
		TimeoutSeconds:          cmp.Or(o.Timeout, defaultTimeout).Seconds(),
		RetryAttempts:           max(cmp.Or(o.RetryAttempts, defaultRetryAttempts), 1),
		EnableCache:             !o.Cache.Disabled,
		AllowImmediateDeletion:  o.AllowImmediateDeletion,
		DecryptWithDisabledKeys: o.DecryptWithDisabledKeys,
		Backend:                 summarize(cfg.Backend),
	}
	s.BackendType = s.Backend.BackendType
	if s.EnableCache {
		s.Cache = &CacheSummary{cmp.Or(o.Cache.MaxKeys, defaultCacheKeys), cmp.Or(o.Cache.TTL, defaultCacheTTL).Seconds()}
	}
	for _, former := range cfg.Former {
		s.Former = append(s.Former, summarize(former))
	}
	return s
}

// Summary describes a configuration without its secrets, as the JSON of a [ConfigSummary].
func (Decoders) Summary(cfg kms.Config) (json.RawMessage, error) { return json.Marshal(Summary(cfg)) }

func summarize(b kms.BackendConfig) BackendSummary {
	if c, ok := asLocal(b); ok {
		s := BackendSummary{
			BackendType: c.BackendType(), KeyDir: c.Dir, RootKeyFile: c.RootKeyFile, AllowUnlockedMemory: c.AllowUnlockedMemory,
			RootKeySource: "master_key",
		}
		switch {
		case c.Passphrase != nil:
			s.RootKeySource = "passphrase"
		case c.RootKeyFile != "":
			s.RootKeySource = "root_key_file"
		}
		return s
	}
	if c, ok := asVault(b); ok {
		return summarizeVault(c)
	}
	if b == nil {
		return BackendSummary{}
	}
	return BackendSummary{BackendType: b.BackendType()}
}

func summarizeVault(c vault.Config) BackendSummary {
	s := BackendSummary{
		BackendType: c.BackendType(), Address: bareAddress(c.Address), AuthMethod: methodOf(c.Auth), Namespace: c.Namespace,
		KVMount: cmp.Or(c.KVMount, defaultKVMount), KeyPathPrefix: cmp.Or(c.KeyPrefix, defaultKeyPrefix),
		CACert: c.TLS.CAFile, ClientCert: c.TLS.CertFile, TLSServerName: c.TLS.ServerName,
		SkipTLSVerify: c.TLS.InsecureSkipVerify, AllowInsecure: c.AllowPlainHTTP,
	}
	if c.Engine == vault.Transit {
		s.MountPath = cmp.Or(c.TransitMount, defaultTransitMount)
	}
	return s
}

// bareAddress returns an address without what could be a password.
func bareAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "not a URL"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// methodOf returns the short name of a method.
func methodOf(auth vault.Auth) string {
	switch auth.(type) {
	case vault.TokenAuth:
		return "token"
	case vault.AppRoleAuth:
		return "approle"
	case vault.KubernetesAuth:
		return "kubernetes"
	case vault.TokenFileAuth:
		return "tokenfile"
	case vault.CertAuth:
		return "cert"
	}
	return "custom"
}
