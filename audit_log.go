package kms

import (
	"context"
	"log/slog"
	"maps"
	"slices"
)

// AuditTo returns a sink that writes each record as one line at level Info. With a JSON handler that is one JSON object a line, with the fields of
// [AuditRecord.LogValue]. The logger's level must let Info through.
func AuditTo(logger *slog.Logger) AuditSink { return logSink{logger} }

type logSink struct{ logger *slog.Logger }

func (s logSink) Audit(ctx context.Context, record AuditRecord) {
	s.logger.LogAttrs(ctx, slog.LevelInfo, "kms: audit", record.LogValue().Group()...)
}

// LogValue returns the names of the encryption context and none of its values. It implements [slog.LogValuer].
func (ec EncryptionContext) LogValue() slog.Value {
	return slog.AnyValue(slices.Sorted(maps.Keys(ec)))
}

// LogValue returns the request without its plaintext and the values of its context. It implements [slog.LogValuer].
func (r EncryptRequest) LogValue() slog.Value {
	return slog.GroupValue(slog.String("key_id", r.KeyID), slog.Int("plaintext_bytes", len(r.Plaintext)), slog.Any("context", r.Context))
}

// LogValue returns the request without the values of its context. It implements [slog.LogValuer].
func (r GenerateDataKeyRequest) LogValue() slog.Value {
	return slog.GroupValue(slog.String("key_id", r.KeyID), slog.String("spec", string(r.Spec)), slog.Any("context", r.Context))
}

// LogValue returns the request without its ciphertext and the values of its context. It implements [slog.LogValuer].
func (r DecryptRequest) LogValue() slog.Value {
	return slog.GroupValue(slog.String("key_id", r.KeyID), slog.Int("ciphertext_bytes", len(r.Ciphertext)), slog.Any("context", r.Context))
}

// LogValue returns the request without its ciphertexts and the values of their contexts. It implements [slog.LogValuer].
func (r RewrapDataKeysRequest) LogValue() slog.Value {
	return slog.GroupValue(slog.String("key_id", r.KeyID), slog.Int("items", len(r.Items)))
}

// LogValue returns the item without its ciphertext and the values of its contexts. It implements [slog.LogValuer].
func (i RewrapItem) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("ciphertext_bytes", len(i.Ciphertext)), slog.Any("from", i.From), slog.Any("to", i.To))
}

// LogValue returns the operation in lower case names, and what is zero not at all. It implements [slog.LogValuer].
func (o Operation) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("op", o.Op)}
	attrs = appendText(attrs, "backend", o.Backend)
	attrs = appendText(attrs, "key_id", o.KeyID)
	attrs = append(attrs, slog.Duration("duration", o.Duration), slog.Int("attempts", o.Attempts), slog.Bool("cache_hit", o.CacheHit))
	if o.Err != nil {
		attrs = append(attrs, slog.String("kind", o.Kind.String()), slog.String("error", o.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}

// LogValue returns the record flat: the time as audit_time, principal, request_id, what [Operation.LogValue] has, and the context's names
// with their HMACs as the group context. It implements [slog.LogValuer].
func (r AuditRecord) LogValue() slog.Value {
	attrs := []slog.Attr{slog.Time("audit_time", r.Time)}
	attrs = appendText(attrs, "principal", r.Principal)
	attrs = appendText(attrs, "request_id", r.RequestID)
	attrs = append(attrs, r.Operation.LogValue().Group()...)
	if len(r.Context) > 0 {
		attrs = append(attrs, slog.Any("context", r.Context))
	}
	return slog.GroupValue(attrs...)
}

// LogValue returns what the configuration says of itself without a secret. It implements [slog.LogValuer].
func (c Config) LogValue() slog.Value {
	attrs := []slog.Attr{slog.Any("backend", logBackend(c.Backend))}
	for _, former := range c.Former {
		attrs = append(attrs, slog.Any("former", logBackend(former)))
	}
	attrs = appendText(attrs, "default_key", c.DefaultKeyID)
	return slog.GroupValue(append(attrs, slog.String("fingerprint", c.Fingerprint()))...)
}

func logBackend(backend BackendConfig) slog.Value {
	if backend == nil {
		return slog.StringValue("none")
	}
	attrs := []slog.Attr{slog.String("type", backend.BackendType())}
	if described, ok := backend.(ConfigDescriber); ok {
		attrs = append(attrs, slog.String("identity", described.Identity()))
		settings := described.Settings()
		for _, name := range slices.Sorted(maps.Keys(settings)) {
			attrs = append(attrs, slog.String(name, settings[name]))
		}
	}
	return slog.GroupValue(attrs...)
}

// LogValue returns the state in short. It implements [slog.LogValuer].
func (s ServiceStatus) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("state", string(s.State)), slog.Uint64("generation", s.Generation)}
	attrs = appendText(attrs, "backend", s.BackendType)
	attrs = appendText(attrs, "fingerprint", s.Fingerprint)
	if s.Err != nil {
		attrs = append(attrs, slog.String("error", s.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}

func appendText(attrs []slog.Attr, name, value string) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(name, value))
}
