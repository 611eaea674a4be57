package backend

import (
	"reflect"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/vault"
)

// Merge puts a partial update onto a running configuration, with the [Standard] decoders. See [Decoders.Merge].
func Merge(running kms.Config, patch []byte) (kms.Config, error) {
	return Standard().Merge(running, patch)
}

// Merge puts a partial update onto a running configuration and validates the result without any I/O. What the patch does not say stays as it is, secrets and
// what JSON cannot say, such as Options.Authorize, included.
//
// A patch for the backend that runs, or that names none, changes single fields of it. vault is any of the Vault backends here. A backend of somebody else's is
// described anew as soon as the patch has a field of it. A patch that names another backend describes it in full.
//
// Where the keys are elsewhere then, as in another backend, directory or mount, the backend that runs becomes the first of Former, so that what it
// wrapped stays readable, unless the patch has a list of its own in former. That list takes the place of the whole old one.
//
// running is left alone. The result has secrets of its own, but for those of backends of somebody else's. Errors wrap ErrInvalidConfig.
func (d Decoders) Merge(running kms.Config, patch []byte) (kms.Config, error) {
	cfg := kms.Config{Options: running.Options}
	parts, err := splitDocument(patch)
	if err == nil {
		parts.options.applyOptions(&cfg.Options)
		cfg.Backend, err = d.mergeBackend(running.Backend, parts)
	}
	switch {
	case err != nil:
	case parts.former == nil:
		cfg.Former = mergedFormer(running, cfg.Backend)
	default:
		cfg.Former, err = d.decodeFormer(parts.former)
	}
	return checked(cfg, err)
}

// mergedFormer returns the former backends of a patch that does not list them.
func mergedFormer(running kms.Config, backend kms.BackendConfig) []kms.BackendConfig {
	var former []kms.BackendConfig
	moved := running.Backend != nil && !opensTheSame(running.Backend, backend)
	if moved {
		former = append(former, clone(running.Backend))
	}
	for _, b := range running.Former {
		if !moved || !opensTheSame(b, backend) { // what runs again is not former any more
			former = append(former, clone(b))
		}
	}
	return former
}

// opensTheSame reports whether two configurations open the same keys, as far as they can say.
func opensTheSame(a, b kms.BackendConfig) bool {
	if a.BackendType() != b.BackendType() {
		return false
	}
	one, ok := a.(kms.ConfigDescriber)
	other, okToo := b.(kms.ConfigDescriber)
	if ok && okToo {
		return one.Identity() == other.Identity()
	}
	return ok == okToo && reflect.ValueOf(a).Comparable() && a == b
}

func (d Decoders) mergeBackend(running kms.BackendConfig, parts *document) (kms.BackendConfig, error) {
	if running == nil || !d.isOf(parts.backendType, running) {
		return d.decode(parts)
	}
	if len(parts.backend) == 0 {
		return clone(running), nil
	}
	r := &ConfigureRequest{BackendType: running.BackendType()}
	b, err := running, error(nil)
	if c, ok := asLocal(running); ok {
		b, err = r.mergeLocal(c, parts.backend)
	} else if c, ok := asVault(running); ok {
		b, err = r.mergeVault(c, parts)
	} else {
		parts.backendType = running.BackendType()
		return d.decode(parts)
	}
	if err != nil {
		r.Destroy()
		return nil, err
	}
	return b, nil
}

// isOf reports whether a patch that names a backend type, or none, is about a configuration.
func (d Decoders) isOf(backendType string, running kms.BackendConfig) bool {
	if backendType == "" {
		return true
	}
	name, ok := d.find(backendType)
	if _, isVault := asVault(running); isVault && name == typeVault {
		return true
	}
	return ok && name == running.BackendType()
}

func (r *ConfigureRequest) mergeLocal(running local.Config, members []strictjson.Member) (kms.BackendConfig, error) {
	if err := decodeMembers(r.localFields(), members); err != nil {
		return nil, err
	}
	c, err := r.applyLocal(running)
	if err != nil {
		return nil, err
	}
	if c.RootKey == running.RootKey {
		c.RootKey = c.RootKey.Clone()
	}
	if c.Passphrase == running.Passphrase {
		c.Passphrase = c.Passphrase.Clone()
	}
	return c, nil
}

func (r *ConfigureRequest) mergeVault(running vault.Config, parts *document) (kms.BackendConfig, error) {
	if err := decodeMembers(r.vaultFields(), parts.backend); err != nil {
		return nil, err
	}
	c, err := r.applyVault(running)
	if err != nil {
		return nil, err
	}
	if parts.backendType != "" && squeeze(parts.backendType) != typeVault && r.Engine != nil && c.BackendType() != running.BackendType() {
		return nil, invalid("engine", "got %s with backend_type %s", strictjson.Show(*r.Engine), running.BackendType())
	}
	if r.AuthMethod == nil {
		// Whoever may change the address need not know the credentials, and must not have them sent to a server of his own.
		if c.Address != running.Address && authSecret(c.Auth) != nil {
			return nil, invalid("auth_method", "missing: credentials are not sent to another address")
		}
		c.Auth = cloneAuth(c.Auth)
	}
	return c, nil
}

func decodeMembers(f strictjson.Fields, members []strictjson.Member) error {
	object := strictjson.Join(members)
	defer clear(object)
	return f.Decode(object)
}
