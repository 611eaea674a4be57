package kms

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"
)

// Config is what Open needs: a backend, older backends, and options.
type Config struct {
	// Backend is where keys are made and used.
	Backend BackendConfig
	// Former are backends used before: they are opened for Decrypt and rewrap only, and tried in
	// order when Backend does not know the key or cannot open the ciphertext, so that
	// what they wrapped stays readable.
	Former []BackendConfig
	Options
}

// Validate checks the configuration without any I/O: a backend is there, and every backend's
// configuration and the options are valid. Errors wrap ErrInvalidConfig.
func (c Config) Validate() error {
	if c.Backend == nil {
		return fmt.Errorf("%w: no backend", ErrInvalidConfig)
	}
	if err := c.Backend.Validate(); err != nil {
		return err
	}
	for i, former := range c.Former {
		if former == nil {
			return fmt.Errorf("%w: former backend %d is nil", ErrInvalidConfig, i)
		}
		if err := former.Validate(); err != nil {
			return fmt.Errorf("former backend %d: %w", i, err)
		}
	}
	return c.Options.validate()
}

// Options are the optional settings of a Manager. The zero value is right for most.
type Options struct {
	// DefaultKeyID is the key of GenerateDataKey and Encrypt requests that name none. It need not
	// exist when the Manager is opened.
	DefaultKeyID string
	// Timeout bounds each attempt of an operation. 0 means 30 seconds.
	Timeout time.Duration
	// RetryAttempts is how many times an operation is tried in all. 0 means 3, and a negative
	// number means once. Only ErrUnavailable is tried again, and never an operation that changes
	// keys, since the first attempt may have arrived.
	RetryAttempts int
	// Cache configures the caches for key descriptions and for decrypted data keys.
	Cache CacheOptions
	// AllowImmediateDeletion permits DeleteKey requests with Immediate.
	AllowImmediateDeletion bool
	// Logger receives what no returned error says, such as an attempt that is repeated. Backends whose configurations are a LoggingConfig
	// without a logger of their own write to it too: local and vault, which warn of settings that are unsafe. Nil is silent.
	Logger *slog.Logger
	// Observer, if set, is called after each operation. It runs in the caller's goroutine, must
	// be safe for concurrent use, and should be quick.
	Observer Observer
	// Audit says where a record of each operation goes, if anywhere.
	Audit AuditOptions
	// Authorize, if set, is asked before each use of a key, also one that a cache could serve.
	// The operation fails with the error it returns, as ErrPermission. op is the method's name.
	// Where the key of a ciphertext is known only once it is open, Authorize is asked then, before anything is
	// answered; for RewrapDataKeys, then, about the old and the new wrapping of every item. It is asked with
	// an empty keyID for operations on no single key, such as ListKeys.
	Authorize func(ctx context.Context, op, keyID string, ec EncryptionContext) error
	// DecryptWithDisabledKeys lets Decrypt go on with keys that are Disabled or PendingDeletion,
	// until their deletion date.
	DecryptWithDisabledKeys bool
}

// CacheOptions bounds the two caches of a Manager. They are dropped when a key's state is
// changed through it. Changes by others are seen within the TTL; while the backend does not say
// how a key is, or takes longer than a second for it, within twice the TTL.
type CacheOptions struct {
	// Disabled turns both caches off: every operation asks the backend.
	Disabled bool
	// MaxKeys is how many entries each cache holds at most. 0 means 1,000.
	MaxKeys int
	// TTL is how long a data key is used at most, and a description while the backend answers. 0
	// means 300 seconds.
	TTL time.Duration
}

// Defaults of Options.
const (
	defaultTimeout       = 30 * time.Second
	defaultRetryAttempts = 3
	defaultCacheKeys     = 1000
	defaultCacheTTL      = 300 * time.Second
)

func (o Options) validate() error {
	switch {
	case o.Timeout < 0:
		return fmt.Errorf("%w: timeout is %v, want 0 or more", ErrInvalidConfig, o.Timeout)
	case o.Cache.MaxKeys < 0:
		return fmt.Errorf("%w: cache holds %d keys, want 0 or more", ErrInvalidConfig, o.Cache.MaxKeys)
	case o.Cache.TTL < 0:
		return fmt.Errorf("%w: cache TTL is %v, want 0 or more", ErrInvalidConfig, o.Cache.TTL)
	}
	if o.DefaultKeyID != "" {
		if err := checkKeyID(o.DefaultKeyID); err != nil {
			return fmt.Errorf("%w: default key: %v", ErrInvalidConfig, err)
		}
	}
	return o.Audit.validate()
}

// withDefaults returns the options with every zero value replaced by what it means.
func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	switch {
	case o.RetryAttempts == 0:
		o.RetryAttempts = defaultRetryAttempts
	case o.RetryAttempts < 0:
		o.RetryAttempts = 1
	}
	if o.Cache.MaxKeys <= 0 {
		o.Cache.MaxKeys = defaultCacheKeys
	}
	if o.Cache.TTL <= 0 {
		o.Cache.TTL = defaultCacheTTL
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// withLogger returns what to open of a backend's configuration: the same with the logger, where it can be given one.
func withLogger(cfg BackendConfig, logger *slog.Logger) BackendConfig {
	c, ok := cfg.(LoggingConfig)
	if !ok || logger == nil {
		return cfg
	}
	// The method of an embedded configuration returns that one, without what the type around it does.
	if logging := c.WithLogger(logger); logging != nil && valueType(logging) == valueType(cfg) {
		return logging
	}
	return cfg
}

// valueType returns the type of a configuration, or of what it points to.
func valueType(cfg BackendConfig) reflect.Type {
	t := reflect.TypeOf(cfg)
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// Observer is called with every operation that has ended. See [Options.Observer].
type Observer func(ctx context.Context, op Operation)

// Operation is one operation that has ended, for metrics and traces. It holds nothing secret.
type Operation struct {
	Op       string        // the method's name, such as "Decrypt"
	Backend  string        // the backend's type, such as "local"; "custom" where only a Backend was given
	KeyID    string        // the key that was asked for or used; may be empty
	Duration time.Duration // from the call to its answer
	Attempts int           // how many times the backend was asked for it; 0: not at all. Questions for the key's state do not count
	CacheHit bool          // a cache answered
	Kind     Kind          // of Err
	Err      error         // nil on success
}
