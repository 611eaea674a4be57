package kms

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/objectkms/kms/internal/encctx"
)

// AuditSink receives a record of every operation, also of those that were refused or answered from a cache. Audit runs in the caller's
// goroutine, after the operation and before its answer is returned, and must be safe for concurrent use. It has no error: a sink that must lose nothing waits
// until it has written, and refuses further operations by Options.Authorize when it cannot.
type AuditSink interface {
	Audit(ctx context.Context, record AuditRecord)
}

// AuditOptions say where audit records go. The zero value writes none.
type AuditOptions struct {
	// Sink receives the records.
	Sink AuditSink
	// Key is the key of the HMACs in AuditRecord.Context, 32 random bytes or more. With the same key everywhere, and for as
	// long as records are kept, equal values can be found again. Without one each Manager draws its own. It is copied.
	Key *Secret
}

// minAuditKeySize is the shortest key of audit records in bytes.
const minAuditKeySize = 32

// AuditRecord is one operation that has ended: who asked for what, and how it went. It holds nothing secret.
type AuditRecord struct {
	Time      time.Time // when the operation ended
	Principal string    // of the context: see WithPrincipal
	RequestID string    // of the context: see WithRequestID
	Operation           // what was done, and how it ended
	// Context has the names of the encryption context, and in place of each value 64 hex digits: the HMAC-SHA-256 under AuditOptions.Key of
	// "objectkms/v1/audit", a zero byte, and name and value, each behind its length as 4 bytes, big endian. A
	// plain hash would not hide them: values such as bucket names and ARNs can be guessed, and a guess be compared. It is empty for RewrapDataKeys, whose
	// items have a context each.
	Context map[string]string
}

type auditContextKey int

const (
	principalKey auditContextKey = iota
	requestIDKey
)

// WithPrincipal returns a context that says on whose behalf operations are: the name of a user or role, as the server has authenticated it.
func WithPrincipal(ctx context.Context, principal string) context.Context {
	return context.WithValue(ctx, principalKey, principal)
}

// PrincipalOf returns what WithPrincipal has put into the context; empty where nothing has. Options.Authorize may ask it too.
func PrincipalOf(ctx context.Context) string {
	principal, _ := ctx.Value(principalKey).(string)
	return principal
}

// WithRequestID returns a context that says to which request of a client operations belong.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey, id)
}

// RequestIDOf returns what WithRequestID has put into the context; empty where nothing has.
func RequestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// An auditor writes the audit records of a Manager. A nil one writes none.
type auditor struct {
	sink AuditSink
	key  *Secret
}

func (o AuditOptions) validate() error {
	if n := o.Key.Len(); o.Key != nil && n < minAuditKeySize {
		return fmt.Errorf("%w: audit key has %d bytes, want %d or more", ErrInvalidConfig, n, minAuditKeySize)
	}
	return nil
}

// HashContext returns what records under Key have in place of an encryption context, to look for uses of a value that is known. It is nil without a Key.
func (o AuditOptions) HashContext(ec EncryptionContext) map[string]string {
	if o.Key.Len() < minAuditKeySize {
		return nil
	}
	return (&auditor{key: o.Key}).hash(ec)
}

func newAuditor(opts AuditOptions) *auditor {
	if opts.Sink == nil {
		return nil
	}
	key := opts.Key.Clone()
	if key.Len() < minAuditKeySize {
		key = NewSecret(make([]byte, minAuditKeySize))
		rand.Read(key.Bytes())
	}
	return &auditor{opts.Sink, key}
}

func (a *auditor) record(ctx context.Context, op Operation, ec EncryptionContext) {
	if a == nil {
		return
	}
	a.sink.Audit(ctx, AuditRecord{
		Time: time.Now(), Principal: PrincipalOf(ctx), RequestID: RequestIDOf(ctx), Operation: op, Context: a.hash(ec),
	})
}

// hash returns the context with an HMAC in place of each value. The name is part of it, so that equal values of different names do not show.
func (a *auditor) hash(ec EncryptionContext) map[string]string {
	if len(ec) == 0 {
		return nil
	}
	hashed := make(map[string]string, len(ec))
	for name, value := range ec {
		mac := hmac.New(sha256.New, a.key.Bytes())
		mac.Write(encctx.Bind(nil, "audit", []byte(name), []byte(value)))
		hashed[name] = hex.EncodeToString(mac.Sum(nil))
	}
	return hashed
}
