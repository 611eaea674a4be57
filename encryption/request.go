package encryption

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/encctx"
)

// Mode says whose key protects an object.
type Mode uint8

// The modes. Their numbers are stored in envelopes.
const (
	None   Mode = iota // not said: right only for reading what is not SSE-C
	SSES3              // SSE-S3: a master key of the server's choice
	SSEKMS             // SSE-KMS: a master key of the client's choice, with an encryption context
	SSEC               // SSE-C: a key that the client sends with each request
)

// String returns the mode's name, such as "SSE-KMS".
func (m Mode) String() string {
	names := [...]string{"None", "SSE-S3", "SSE-KMS", "SSE-C"}
	if int(m) < len(names) {
		return names[m]
	}
	return "Mode(" + strconv.Itoa(int(m)) + ")"
}

// customerKeySize is the size in bytes of the key that a client brings.
const customerKeySize = 32

// maxUserContext bounds the canonical form of a client's encryption context, in bytes.
const maxUserContext = 2048

// reservedContextPrefix begins the encryption context keys that only the server sets.
const reservedContextPrefix = "aws:"

// ObjectID names one object. It is bound byte for byte where the object's key is sealed: the envelope opens under no other name.
type ObjectID struct {
	Bucket string // not empty, UTF-8, without a slash
	Key    string // not empty, UTF-8, never cleaned
	// Version may be set where the server knows the version id before the envelope is made. Empty and "null" are the same.
	Version string
}

func (id ObjectID) validate() error {
	switch {
	case id.Bucket == "" || strings.Contains(id.Bucket, "/") || !utf8.ValidString(id.Bucket):
		return fmt.Errorf("%w: bucket name of %d bytes, want UTF-8 without a slash, at least one byte", kms.ErrInvalidRequest, len(id.Bucket))
	case id.Key == "" || !utf8.ValidString(id.Key):
		return fmt.Errorf("%w: object key of %d bytes, want UTF-8, at least one byte", kms.ErrInvalidRequest, len(id.Key))
	}
	return nil
}

// boundVersion returns the version id as it is bound.
func (id ObjectID) boundVersion() string {
	if id.Version == "null" {
		return ""
	}
	return id.Version
}

// Request says how an object is encrypted, or with what it is decrypted.
//
// On a write Mode must be set. SSE-S3 takes no Context, and SSE-C nothing but the CustomerKey, which it needs.
//
// On a read nil and the zero Request are right for all but SSE-C objects, which need the CustomerKey. What else is set is compared: another
// Mode, KeyID or Context than the envelope's is ErrInvalidRequest, and so is a CustomerKey for an object that has no use for it. BucketKey,
// PlainSize and MD5 are for writes only, but that OpenUpload looks at MD5.
type Request struct {
	Mode Mode
	// KeyID is the master key. Empty on a write means the default key of the KeyService.
	KeyID string
	// Context is the client's part of the encryption context: at most 2 KiB in canonical form, and no key that begins with "aws:".
	Context kms.EncryptionContext
	// BucketKey binds the data key to the bucket and not to the object, so that data keys can serve more than one object.
	BucketKey bool
	// CustomerKey is the client's own key of 32 bytes. It is destroyed when the call returns, also with an error: a retry
	// needs a new one.
	CustomerKey *kms.Secret
	// PlainSize is the declared size of the body in bytes, or 0 where it is not known. A body of another size fails.
	PlainSize int64
	// MD5 asks for the MD5 of the plaintext as the ETag of an SSE-S3 object, or of the parts of an upload that is created or opened. Objects of other modes
	// never have it.
	MD5 bool

	echo *kms.Secret // the MD5 of the customer key, for the response, once the request was used; a Secret, since no print shows those
}

// customerKey returns the customer key, which is nil in a nil Request.
func (r *Request) customerKey() *kms.Secret {
	if r == nil {
		return nil
	}
	return r.CustomerKey
}

// checkWrite checks the request for an object that is to be encrypted.
func (r *Request) checkWrite() error {
	if r == nil {
		return fmt.Errorf("%w: request is nil", kms.ErrInvalidRequest)
	}
	if r.PlainSize < 0 || r.PlainSize > MaxPlainSize {
		return fmt.Errorf("%w: declared size is %d bytes, want 0 to %d", kms.ErrInvalidRequest, r.PlainSize, MaxPlainSize)
	}
	if r.Mode != SSEC && r.CustomerKey != nil {
		return fmt.Errorf("%w: customer key with mode %v", kms.ErrInvalidRequest, r.Mode)
	}
	switch r.Mode {
	case SSES3:
		if len(r.Context) > 0 {
			return fmt.Errorf("%w: encryption context with mode %v", kms.ErrInvalidRequest, r.Mode)
		}
		return nil
	case SSEKMS:
		return checkUserContext(r.Context)
	case SSEC:
		return r.checkWriteSSEC()
	}
	return fmt.Errorf("%w: mode is %v, want %v, %v or %v", kms.ErrInvalidRequest, r.Mode, SSES3, SSEKMS, SSEC)
}

func (r *Request) checkWriteSSEC() error {
	if r.KeyID != "" || len(r.Context) > 0 || r.BucketKey {
		return fmt.Errorf("%w: key id, encryption context or bucket key with mode %v", kms.ErrInvalidRequest, r.Mode)
	}
	if n := r.CustomerKey.Len(); n != customerKeySize {
		return fmt.Errorf("%w: customer key has %d bytes, want %d", kms.ErrInvalidRequest, n, customerKeySize)
	}
	return nil
}

// echoCustomerKey returns what responses repeat of the customer key. The request keeps it: the key itself is destroyed before there is a response.
func (r *Request) echoCustomerKey() *kms.Secret {
	r.echo = kms.NewSecret([]byte(customerKeyMD5(r.CustomerKey)))
	return r.echo
}

// checkRead checks the request against the envelope of the object that is to be decrypted.
func (r *Request) checkRead(env *Envelope, opts *Options) error {
	if r == nil {
		r = &Request{}
	}
	_, keyID, err := opts.resolveKeyID(r.KeyID)
	if err != nil {
		return err
	}
	switch {
	case env.mode != SSEC && (r.Mode == SSEC || r.CustomerKey != nil):
		return errNotApplicable(fmt.Errorf("%w: customer key for an object of mode %v", kms.ErrInvalidRequest, env.mode))
	case r.Mode != None && r.Mode != env.mode:
		return fmt.Errorf("%w: mode is %v, the object's is %v", kms.ErrInvalidRequest, r.Mode, env.mode)
	case keyID != "" && keyID != env.keyID:
		return fmt.Errorf("%w: key id is %q, the object's is %q", kms.ErrInvalidRequest, keyID, env.keyID)
	case len(r.Context) > 0 && !maps.Equal(r.Context, env.Context()):
		return fmt.Errorf("%w: encryption context is not the object's", kms.ErrInvalidRequest)
	case env.mode == SSEC && r.CustomerKey == nil:
		return errNeedsCustomerKey(fmt.Errorf("%w: no customer key for an object of mode %v", kms.ErrInvalidRequest, env.mode))
	}
	if n := r.CustomerKey.Len(); env.mode == SSEC && n != customerKeySize {
		return fmt.Errorf("%w: customer key has %d bytes, want %d", kms.ErrInvalidRequest, n, customerKeySize)
	}
	return nil
}

// checkUserContext checks the client's part of an encryption context. Its errors hold nothing of it.
func checkUserContext(context kms.EncryptionContext) error {
	if n := encctx.Size(context); n > maxUserContext {
		return fmt.Errorf("%w: encryption context has %d bytes, want at most %d", kms.ErrInvalidRequest, n, maxUserContext)
	}
	for key := range context {
		if strings.HasPrefix(key, reservedContextPrefix) {
			return fmt.Errorf("%w: encryption context has a key that begins with %q", kms.ErrInvalidRequest, reservedContextPrefix)
		}
	}
	return context.Validate()
}
