package kms

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
)

// ConfigDescriber is implemented by backend configurations that say what they are without saying a secret. [Config.Fingerprint], status
// and logs use it, and [ServiceManager.Reconfigure] to tell a change of settings from a change of backend.
//
// Without it two configurations are of one backend only where they are equal values, and their settings are in no fingerprint.
type ConfigDescriber interface {
	// Identity names the place where the keys are, such as a directory, or an address with mounts and prefix. Two configurations of one
	// BackendType with one Identity open the same keys.
	Identity() string
	// Settings returns what else is configured, by name, as text that every node of a cluster has alike. Of a secret it says
	// at most which kind it is.
	Settings() map[string]string
}

// A place is where a backend's keys are, as its configuration said when it was taken over: a pointer may say something else later.
type place struct {
	config      BackendConfig
	backendType string
	identity    string // empty where the configuration says nothing
}

func placeOf(cfg BackendConfig) *place {
	p := &place{config: cfg, backendType: cfg.BackendType()}
	if described, ok := cfg.(ConfigDescriber); ok {
		p.identity = described.Identity()
	}
	return p
}

// is reports whether both have the same keys, as far as they can say.
func (p *place) is(other *place) bool {
	if p.backendType != other.backendType || p.identity != other.identity {
		return false
	}
	return p.identity != "" || reflect.ValueOf(p.config).Comparable() && p.config == other.config
}

// Fingerprint returns 64 hex digits that are the same for the same configuration: on every node of a cluster, and before and after a
// restart. It covers the backend and the former ones as far as they are a [ConfigDescriber], and the options with
// their defaults; of Authorize whether it is set. Secrets, Logger, Observer and Audit are not in it: a new token changes nothing.
func (c Config) Fingerprint() string {
	hash := sha256.New()
	for i, backend := range append([]BackendConfig{c.Backend}, c.Former...) {
		fingerprintBackend(hash, i, backend)
	}
	opts := c.Options.withDefaults()
	fingerprint(hash, "default key", opts.DefaultKeyID)
	fingerprint(hash, "timeout", opts.Timeout.String())
	fingerprint(hash, "attempts", strconv.Itoa(opts.RetryAttempts))
	if !opts.Cache.Disabled {
		fingerprint(hash, "cached keys", strconv.Itoa(opts.Cache.MaxKeys))
		fingerprint(hash, "cache ttl", opts.Cache.TTL.String())
	}
	fingerprint(hash, "immediate deletion", strconv.FormatBool(opts.AllowImmediateDeletion))
	fingerprint(hash, "decrypt with disabled keys", strconv.FormatBool(opts.DecryptWithDisabledKeys))
	fingerprint(hash, "authorize", strconv.FormatBool(opts.Authorize != nil))
	return hex.EncodeToString(hash.Sum(nil))
}

func fingerprintBackend(hash io.Writer, i int, backend BackendConfig) {
	if backend == nil {
		return
	}
	fingerprint(hash, "backend "+strconv.Itoa(i), backend.BackendType())
	described, ok := backend.(ConfigDescriber)
	if !ok {
		return
	}
	fingerprint(hash, "identity", described.Identity())
	settings := described.Settings()
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fingerprint(hash, "setting "+name, settings[name])
	}
}

// fingerprint adds one line. Both texts are quoted, so that no two lists of them look alike.
func fingerprint(hash io.Writer, name, value string) {
	_, _ = fmt.Fprintf(hash, "%q=%q\n", name, value)
}
