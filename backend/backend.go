// Package backend turns JSON documents and environment variables into a [kms.Config]: payloads of an admin API, configuration files, and what a container is given.
//
// It is the one package that knows every backend of this library, and a program that imports it links them all. docs/CONFIG.md describes every field and variable.
//
// Documents are read strictly. Field names are case-sensitive; an unknown field, a field given twice, a value of the wrong type, out of bounds or missing is
// ErrInvalidConfig, and the error names the field by its path, such as former[1].auth_method.Token.token. Null is the same as a field left out. No error
// shows the value of a secret.
package backend

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
)

// Decoders make the configuration of a backend from the fields of a document that are its own: all but backend_type, former and those of [kms.Options]. They stand
// under the lower-case name that backend_type has, which is looked up in any case and with or without its hyphens and underscores.
//
// A decoder refuses unknown fields by itself. It must not keep or change the message, which is overwritten when it has returned. A backend of one's own becomes
// configurable by one entry:
//
//	decoders := backend.Standard()
//	decoders["static"] = decodeStaticKey
//	cfg, err := decoders.ParseConfig(doc)
//
// Decoders may be used by several goroutines as long as nobody changes the map.
type Decoders map[string]func(json.RawMessage) (kms.BackendConfig, error)

// The names of the backends of this library.
const (
	typeLocal   = "local"
	typeVault   = "vault"
	typeTransit = "vault-transit"
	typeKV2     = "vault-kv2"
)

// Standard returns the decoders of this library's backends: local, vault, vault-transit and vault-kv2. The map is the caller's.
func Standard() Decoders {
	decoders := make(Decoders)
	for _, name := range []string{typeLocal, typeVault, typeTransit, typeKV2} {
		decoders[name] = func(doc json.RawMessage) (kms.BackendConfig, error) { return decodeStandard(name, doc) }
	}
	return decoders
}

func decodeStandard(name string, doc []byte) (kms.BackendConfig, error) {
	r := ConfigureRequest{BackendType: name}
	err := r.decodeBackend(doc)
	if err == nil {
		var b kms.BackendConfig
		if b, err = r.backend(); err == nil {
			return b, nil
		}
	}
	r.Destroy()
	return nil, asInvalid(err)
}

// ParseConfig reads a whole configuration with the [Standard] decoders. See [Decoders.ParseConfig].
func ParseConfig(doc []byte) (kms.Config, error) { return Standard().ParseConfig(doc) }

// ParseConfig reads a whole configuration from one JSON object and validates it without any I/O. doc stays the caller's, who wipes it. The secrets of the result are its own, and
// live as long as it may be opened: [Destroy] wipes them. Errors wrap ErrInvalidConfig.
func (d Decoders) ParseConfig(doc []byte) (kms.Config, error) {
	var cfg kms.Config
	parts, err := splitDocument(doc)
	if err == nil {
		parts.options.applyOptions(&cfg.Options)
		cfg.Backend, err = d.decode(parts)
	}
	if err == nil {
		cfg.Former, err = d.decodeFormer(parts.former)
	}
	return checked(cfg, err)
}

// checked ends the making of a configuration.
func checked(cfg kms.Config, err error) (kms.Config, error) {
	if err == nil {
		err = cfg.Validate()
	}
	if err != nil {
		Destroy(cfg)
		return kms.Config{}, asInvalid(err)
	}
	return cfg, nil
}

// decode makes the configuration of one backend.
func (d Decoders) decode(parts *document) (kms.BackendConfig, error) {
	if parts.backendType == "" {
		return nil, invalid("backend_type", "missing")
	}
	name, ok := d.find(parts.backendType)
	if !ok {
		return nil, invalid("backend_type", "got %s, want one of %s", strictjson.Show(parts.backendType), strings.Join(slices.Sorted(maps.Keys(d)), ", "))
	}
	fields := strictjson.Join(parts.backend)
	defer clear(fields)
	b, err := d[name](fields)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, invalid("backend_type", "the decoder of %s answered neither a configuration nor an error", name)
	}
	return b, nil
}

// find returns the name under which a decoder stands.
func (d Decoders) find(backendType string) (name string, ok bool) {
	if lower := strings.ToLower(backendType); d[lower] != nil {
		return lower, true
	}
	for other, decode := range d {
		if decode != nil && squeeze(other) == squeeze(backendType) {
			if ok {
				return "", false // more than one would do
			}
			name, ok = other, true
		}
	}
	return name, ok
}

func squeeze(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

// decodeFormer makes the configurations of a list of former backends, of which nil is an empty one.
func (d Decoders) decodeFormer(list []byte) ([]kms.BackendConfig, error) {
	if list == nil {
		return nil, nil
	}
	values, err := strictjson.Array(list, len(list))
	if err != nil {
		return nil, strictjson.Within("former", err)
	}
	var former []kms.BackendConfig
	for i, value := range values {
		b, err := d.decodeOneFormer(value)
		if err != nil {
			Destroy(kms.Config{Former: former})
			return nil, at(fmt.Sprintf("former[%d]", i), err)
		}
		former = append(former, b)
	}
	return former, nil
}

func (d Decoders) decodeOneFormer(value []byte) (kms.BackendConfig, error) {
	parts, err := splitDocument(value)
	if err != nil {
		return nil, err
	}
	if parts.notOfBackend != "" {
		return nil, invalid(parts.notOfBackend, "not a field of a former backend")
	}
	b, err := d.decode(parts)
	if err != nil {
		return nil, err
	}
	if err := b.Validate(); err != nil {
		Destroy(kms.Config{Backend: b})
		return nil, err
	}
	return b, nil
}
