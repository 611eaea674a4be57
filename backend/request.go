package backend

import (
	"encoding/json"
	"fmt"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
	"github.com/objectkms/kms/vault"
)

// ConfigureRequest is the payload that configures one of this library's backends, typed. A field that is nil is not given. What each means is said in docs/CONFIG.md.
//
// UnmarshalJSON reads it strictly, and MarshalJSON writes it without its secrets; [MarshalConfig] writes them.
type ConfigureRequest struct {
	BackendType string // local, vault, vault-transit or vault-kv2, in any case

	// Of the local backend:
	KeyDir              *string
	MasterKey           *kms.Secret // 32 bytes, the root key
	Passphrase          *kms.Secret
	RootKeyFile         *string
	FilePermissions     *uint32 // 0600, which files have anyway
	AllowUnlockedMemory *bool

	// Of the Vault backends:
	Address       *string
	AuthMethod    vault.Auth
	Engine        *string // transit or kv2, with vault
	Namespace     *string
	MountPath     *string // of the Transit engine
	KVMount       *string
	KeyPathPrefix *string
	CACert        *string // this and the next two are paths of PEM files
	ClientCert    *string
	ClientKey     *string
	TLSServerName *string
	SkipTLSVerify *bool
	AllowInsecure *bool // http to other machines
	MaxConcurrent *int

	Former []ConfigureRequest // of these only the backend's fields

	// Of every backend:
	DefaultKeyID            *string
	TimeoutSeconds          *int
	RetryAttempts           *int
	EnableCache             *bool
	MaxCachedKeys           *int
	CacheTTLSeconds         *int
	AllowImmediateDeletion  *bool
	DecryptWithDisabledKeys *bool
}

// The largest numbers that are accepted.
const (
	maxTimeoutSeconds  = 3600
	maxRetryAttempts   = 100
	maxCachedKeys      = 1_000_000
	maxCacheTTLSeconds = 86_400
	maxConcurrent      = 10_000
)

func (r *ConfigureRequest) optionFields() strictjson.Fields {
	return strictjson.Fields{
		"default_key_id":             textField(&r.DefaultKeyID),
		"timeout_seconds":            intField(&r.TimeoutSeconds, maxTimeoutSeconds),
		"retry_attempts":             intField(&r.RetryAttempts, maxRetryAttempts),
		"enable_cache":               boolField(&r.EnableCache),
		"max_cached_keys":            intField(&r.MaxCachedKeys, maxCachedKeys),
		"cache_ttl_seconds":          intField(&r.CacheTTLSeconds, maxCacheTTLSeconds),
		"allow_immediate_deletion":   boolField(&r.AllowImmediateDeletion),
		"decrypt_with_disabled_keys": boolField(&r.DecryptWithDisabledKeys),
	}
}

func (r *ConfigureRequest) localFields() strictjson.Fields {
	return strictjson.Fields{
		"key_dir":               textField(&r.KeyDir),
		"master_key":            secretField(&r.MasterKey, readKey),
		"passphrase":            secretField(&r.Passphrase, readSecret),
		"root_key_file":         textField(&r.RootKeyFile),
		"file_permissions":      modeField(&r.FilePermissions),
		"allow_unlocked_memory": boolField(&r.AllowUnlockedMemory),
	}
}

func (r *ConfigureRequest) vaultFields() strictjson.Fields {
	return strictjson.Fields{
		"address":         textField(&r.Address),
		"auth_method":     authField(&r.AuthMethod),
		"engine":          textField(&r.Engine),
		"namespace":       textField(&r.Namespace),
		"mount_path":      textField(&r.MountPath),
		"kv_mount":        textField(&r.KVMount),
		"key_path_prefix": textField(&r.KeyPathPrefix),
		"ca_cert":         pathField(&r.CACert),
		"client_cert":     pathField(&r.ClientCert),
		"client_key":      pathField(&r.ClientKey),
		"tls_server_name": textField(&r.TLSServerName),
		"skip_tls_verify": boolField(&r.SkipTLSVerify),
		"allow_insecure":  boolField(&r.AllowInsecure),
		"max_concurrent":  intField(&r.MaxConcurrent, maxConcurrent),
	}
}

var (
	_ json.Unmarshaler = (*ConfigureRequest)(nil)
	_ json.Marshaler   = ConfigureRequest{}
)

// UnmarshalJSON reads one JSON object. Errors wrap ErrInvalidConfig; r is left alone then. What is missing is found by Config.
func (r *ConfigureRequest) UnmarshalJSON(doc []byte) error {
	var read ConfigureRequest
	if err := read.decode(doc); err != nil {
		read.Destroy()
		return asInvalid(err)
	}
	*r = read
	return nil
}

func (r *ConfigureRequest) decode(doc []byte) error {
	parts, err := splitDocument(doc)
	if err != nil {
		return err
	}
	if err := r.decodeParts(parts); err != nil {
		return err
	}
	return r.decodeFormer(parts.former)
}

func (r *ConfigureRequest) decodeParts(parts *document) error {
	*r = parts.options
	r.BackendType = parts.backendType
	fields := strictjson.Join(parts.backend)
	defer clear(fields)
	return r.decodeBackend(fields)
}

func (r *ConfigureRequest) decodeFormer(list []byte) error {
	if list == nil {
		return nil
	}
	values, err := strictjson.Array(list, len(list))
	if err != nil {
		return strictjson.Within("former", err)
	}
	for i, value := range values {
		var former ConfigureRequest
		if err := former.decodeAsFormer(value); err != nil {
			former.Destroy()
			return at(fmt.Sprintf("former[%d]", i), err)
		}
		r.Former = append(r.Former, former)
	}
	return nil
}

func (r *ConfigureRequest) decodeAsFormer(value []byte) error {
	parts, err := splitDocument(value)
	switch {
	case err != nil:
		return err
	case parts.notOfBackend != "":
		return invalid(parts.notOfBackend, "not a field of a former backend")
	}
	return r.decodeParts(parts)
}

// decodeBackend reads the fields of the backend that BackendType names.
func (r *ConfigureRequest) decodeBackend(object []byte) error {
	name, ok := Standard().find(r.BackendType)
	switch {
	case r.BackendType == "":
		return invalid("backend_type", "missing")
	case !ok:
		return invalid("backend_type", "got %s, want local, vault, vault-transit or vault-kv2", strictjson.Show(r.BackendType))
	case name == typeLocal:
		return r.localFields().Decode(object)
	}
	return r.vaultFields().Decode(object)
}

// MarshalJSON writes the request with "[secret]" in the place of every secret, which UnmarshalJSON refuses.
func (r ConfigureRequest) MarshalJSON() ([]byte, error) {
	w := &writer{redact: true}
	err := r.write(w, "")
	return w.buf, err
}

// Config returns the configuration, validated as by [ParseConfig]. It has secrets of its own. Errors wrap ErrInvalidConfig.
func (r *ConfigureRequest) Config() (kms.Config, error) {
	w := new(writer)
	defer func() { clear(w.buf) }()
	if err := r.write(w, ""); err != nil {
		return kms.Config{}, asInvalid(err)
	}
	return ParseConfig(w.buf)
}

// Destroy wipes the secrets of the request.
func (r *ConfigureRequest) Destroy() {
	r.MasterKey.Destroy()
	r.Passphrase.Destroy()
	authSecret(r.AuthMethod).Destroy()
	for i := range r.Former {
		r.Former[i].Destroy()
	}
}
