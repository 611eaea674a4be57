package kms

import (
	"context"
	"errors"
	"strconv"
)

// The errors that callers branch on, with errors.Is. What a Manager returns wraps one of them
// in an [*Error]; the text behind it says what was got and what was wanted, and never holds a
// key, a token, a passphrase, plaintext or the value of an encryption context.
var (
	// ErrInvalidRequest: the request itself is malformed.
	ErrInvalidRequest = errors.New("invalid request")
	// ErrInvalidConfig: a configuration is malformed, incomplete or does not fit what it names.
	ErrInvalidConfig = errors.New("invalid configuration")
	// ErrKeyNotFound: no master key has this id.
	ErrKeyNotFound = errors.New("key not found")
	// ErrKeyExists: a master key with this id exists already.
	ErrKeyExists = errors.New("key already exists")
	// ErrKeyDisabled: the master key's state is Disabled.
	ErrKeyDisabled = errors.New("key is disabled")
	// ErrKeyPendingDeletion: the master key's state is PendingDeletion.
	ErrKeyPendingDeletion = errors.New("key is pending deletion")
	// ErrKeyInUse: the master key is needed, as the default key is, and is not deleted.
	ErrKeyInUse = errors.New("key is in use")
	// ErrDecrypt: the ciphertext was not made by this key for this context, or was changed.
	// Wrong key, wrong context, tampering and truncation all look alike.
	ErrDecrypt = errors.New("decryption failed")
	// ErrKeyMaterial: stored key material is damaged, was tampered with, or is sealed under
	// another root key.
	ErrKeyMaterial = errors.New("key material is damaged")
	// ErrUnavailable: the backend cannot be reached or cannot answer now; a later try may work.
	ErrUnavailable = errors.New("backend is unavailable")
	// ErrPermission: the caller or the backend's credentials may not do this.
	ErrPermission = errors.New("permission denied")
	// ErrUnsupported: the backend or the platform does not offer this operation.
	ErrUnsupported = errors.New("operation is not supported")
	// ErrNotConfigured: the service has no configuration yet.
	ErrNotConfigured = errors.New("service is not configured")
	// ErrNotRunning: the service is configured but not running.
	ErrNotRunning = errors.New("service is not running")
	// ErrClosed: the Manager or backend was closed.
	ErrClosed = errors.New("already closed")
)

// Kind is the class of an error: what a caller must look at to mend it.
type Kind uint8

// The kinds of errors. KindUnknown, the zero value, is the kind of errors that this library did not make.
const (
	KindUnknown       Kind = iota
	KindConfiguration      // how the service was set up
	KindBackend            // the backend or the way to it
	KindCrypto             // ciphertext or key material
	KindCache              // kept for cache implementations of users
	KindRequest            // what the caller asked for
	KindState              // the state of the key or the service
)

// String returns the kind's name, such as "Configuration".
func (k Kind) String() string {
	names := [...]string{"Unknown", "Configuration", "Backend", "Crypto", "Cache", "Request", "State"}
	if int(k) < len(names) {
		return names[k]
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Error is what a Manager returns: which operation failed, on which key, and why.
type Error struct {
	Kind  Kind
	Op    string // the method's name, such as "GenerateDataKey"
	KeyID string // the key that was asked for; empty where there was none
	Err   error
}

// Error returns the operation, the key id and the cause in one line.
func (e *Error) Error() string {
	text := "kms: " + e.Op
	if e.KeyID != "" {
		text += " " + strconv.Quote(e.KeyID)
	}
	if e.Err == nil {
		return text
	}
	return text + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// HTTP status codes, as constants of our own so that the package does not link net/http.
const (
	statusOK                  = 200
	statusBadRequest          = 400
	statusForbidden           = 403
	statusNotFound            = 404
	statusConflict            = 409
	statusClientClosedRequest = 499
	statusInternalServerError = 500
	statusNotImplemented      = 501
	statusServiceUnavailable  = 503
	statusGatewayTimeout      = 504
)

// An errorClass says what an error means to a caller and to an HTTP client.
type errorClass struct {
	err    error
	kind   Kind
	status int
}

// errorClasses is in the order of precedence: an error that is several of these has the class of
// the first. A refusal stays one whatever it was refused for. A deadline of one attempt is ErrUnavailable and comes before the caller's own.
func errorClasses() []errorClass {
	return []errorClass{
		{ErrPermission, KindBackend, statusForbidden},
		{ErrInvalidRequest, KindRequest, statusBadRequest},
		{ErrInvalidConfig, KindConfiguration, statusBadRequest},
		{ErrKeyNotFound, KindRequest, statusNotFound},
		{ErrKeyExists, KindState, statusConflict},
		{ErrKeyDisabled, KindState, statusConflict},
		{ErrKeyPendingDeletion, KindState, statusConflict},
		{ErrKeyInUse, KindState, statusConflict},
		{ErrDecrypt, KindCrypto, statusBadRequest},
		{ErrKeyMaterial, KindCrypto, statusInternalServerError},
		{ErrUnsupported, KindRequest, statusNotImplemented},
		{ErrUnavailable, KindBackend, statusServiceUnavailable},
		{ErrNotConfigured, KindState, statusServiceUnavailable},
		{ErrNotRunning, KindState, statusServiceUnavailable},
		{ErrClosed, KindState, statusServiceUnavailable},
		{context.Canceled, KindRequest, statusClientClosedRequest},
		{context.DeadlineExceeded, KindRequest, statusGatewayTimeout},
	}
}

func classify(err error) errorClass {
	for _, class := range errorClasses() {
		if errors.Is(err, class.err) {
			return class
		}
	}
	return errorClass{err, KindUnknown, statusInternalServerError}
}

// KindOf returns the kind of an error: of the [*Error] in its chain, else of the sentinel that it
// wraps. It is KindUnknown for nil and for errors of others.
func KindOf(err error) Kind {
	if err == nil {
		return KindUnknown
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Kind != KindUnknown {
		return e.Kind
	}
	return classify(err).kind
}

// HTTPStatus returns the status code that an HTTP API answers for the error: 200 for nil and 500
// for errors of others.
func HTTPStatus(err error) int {
	if err == nil {
		return statusOK
	}
	return classify(err).status
}
