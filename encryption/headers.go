package encryption

import (
	"slices"
	"strings"
)

// Header is what the headers of a request are read from. http.Header is one; so is url.Values with the fields of a POST form, if their names are in lower
// case, in which all are asked for.
//
// A Header that has a method Values(name string) []string too, as http.Header has, lets repeated headers be seen: different values of one are refused.
type Header interface {
	// Get returns the value of a header, whatever the case of its name, or "" where there is none.
	Get(name string) string
}

// HeaderSetter is what the headers of a response are written to. http.Header is one.
type HeaderSetter interface {
	Set(name, value string)
}

// Transport says how a request came. Its zero value is the one that is trusted least.
type Transport struct {
	// Secure says that the request came over TLS, also where a proxy of the server's own ended it.
	Secure bool
	// AllowPlainSSEC lets customer keys come without TLS, which shows them to the network. It is for tests.
	AllowPlainSSEC bool
	// SigV4 says that the request is authentic by AWS Signature Version 4, in headers, in the URL or in a form. Without it, as with Version 2
	// or no signature at all, writes with SSE-KMS are refused.
	SigV4 bool
}

// The names of the headers.
const (
	headerSSE       = "x-amz-server-side-encryption"
	headerKeyID     = headerSSE + "-aws-kms-key-id"
	headerContext   = headerSSE + "-context"
	headerBucketKey = headerSSE + "-bucket-key-enabled"

	headerCustomer   = headerSSE + "-customer-"
	headerCopySource = "x-amz-copy-source-server-side-encryption-customer-"
)

// The values of the headers.
const (
	algorithmAES256 = "AES256"
	algorithmKMS    = "aws:kms"
	algorithmDSSE   = "aws:kms:dsse"
)

// ParseWriteHeaders returns how the headers of a PutObject, POST form, CreateMultipartUpload or CopyObject want the new object to be encrypted. Without any, the default of
// the bucket applies, and never the mode of a copy's source, whose own headers are not looked at: see [ParseCopySourceHeaders].
//
// The request has MD5 set for SSE-S3, whose ETags S3 clients compare. With SSE-C the CustomerKey is the only copy of the key that is made and
// kept, and the caller passes it on or destroys it; the header itself is a string of the server's, which nobody can wipe.
//
// Every error is an [*Error] to be answered. It wraps ErrInvalidRequest of package kms, or ErrUnsupported for aws:kms:dsse, ErrPermission where
// the bucket blocks SSE-C, and ErrInvalidConfig for an impossible default.
func ParseWriteHeaders(h Header, t Transport, def BucketDefault) (*Request, error) {
	var w writeHeaders
	if err := w.read(h); err != nil {
		return nil, err
	}
	if err := def.check(); err != nil {
		return nil, &Error{Code: codeInternalError, Status: statusInternalServerError, Message: messageInternal, Err: err}
	}
	if w.customer.present() {
		return w.customerRequest(t, def)
	}
	req, err := w.request(def)
	if err != nil {
		return nil, err
	}
	if req.Mode == SSEKMS && !t.SigV4 {
		return nil, errNeedsSigV4()
	}
	return req, nil
}

// ParseReadHeaders returns what the headers of a GetObject, HeadObject, GetObjectAttributes or UploadPart bring to open an object or upload: a
// customer key, or nothing. The headers that only writes have are refused. Errors and the customer key are as in [ParseWriteHeaders].
//
// Whether the object wants the key shows when it is opened.
func ParseReadHeaders(h Header, t Transport) (*Request, error) {
	for _, name := range []string{headerSSE, headerKeyID, headerContext} {
		f, err := lookup(h, name)
		if err != nil {
			return nil, err
		}
		if f.present {
			return nil, errHeaderNotSupported(f)
		}
	}
	return parseCustomerRead(h, headerCustomer, t)
}

// ParseCompleteHeaders returns what the headers of a CompleteMultipartUpload bring to open the upload: a customer key, or nothing. How the
// object is encrypted was said when the upload was created: the headers that say so are not looked at, since some clients repeat them here.
// Errors and the customer key are as in [ParseWriteHeaders].
func ParseCompleteHeaders(h Header, t Transport) (*Request, error) {
	return parseCustomerRead(h, headerCustomer, t)
}

// ParseCopySourceHeaders returns what the headers of a CopyObject or UploadPartCopy bring to open the source: a customer key, or nothing. The
// headers for the target are not looked at. Errors and the customer key are as in [ParseWriteHeaders].
func ParseCopySourceHeaders(h Header, t Transport) (*Request, error) {
	return parseCustomerRead(h, headerCopySource, t)
}

func parseCustomerRead(h Header, prefix string, t Transport) (*Request, error) {
	var c customerHeaders
	if err := c.read(h, prefix); err != nil {
		return nil, err
	}
	if !c.present() {
		return &Request{}, nil
	}
	key, err := c.key(t, errNoCustomerKeyMD5)
	if err != nil {
		return nil, err
	}
	return &Request{Mode: SSEC, CustomerKey: key}, nil
}

// A field is one header of a request. A Header without Values does not tell an empty one from none.
type field struct {
	name, value string
	present     bool
}

// lookup finds a header. It refuses one that is there more than once with different values: which of them a proxy or a signature has
// seen, nobody knows.
func lookup(h Header, name string) (field, error) {
	if h == nil {
		return field{}, errNoHeaders()
	}
	lister, ok := h.(interface{ Values(name string) []string })
	if !ok {
		value := h.Get(name)
		return field{name, value, value != ""}, nil
	}
	values := lister.Values(name)
	if len(values) == 0 {
		return field{name: name}, nil
	}
	if slices.ContainsFunc(values, func(v string) bool { return v != values[0] }) {
		return field{}, errRepeatedHeader(name)
	}
	return field{name, values[0], true}, nil
}

// writeHeaders are the headers that say how a new object is encrypted.
type writeHeaders struct {
	method, keyID, context, bucketKey field
	customer                          customerHeaders
}

func (w *writeHeaders) read(h Header) (err error) {
	for _, header := range []struct {
		to   *field
		name string
	}{{&w.method, headerSSE}, {&w.keyID, headerKeyID}, {&w.context, headerContext}, {&w.bucketKey, headerBucketKey}} {
		if *header.to, err = lookup(h, header.name); err != nil {
			return err
		}
	}
	return w.customer.read(h, headerCustomer)
}

// request returns the request of a write without a customer key.
func (w *writeHeaders) request(def BucketDefault) (*Request, error) {
	req, err := w.requestedMode(def)
	if err != nil {
		return nil, err
	}
	bucketKey, err := w.wantsBucketKey(req.BucketKey)
	if err != nil {
		return nil, err
	}
	req.BucketKey = bucketKey && req.Mode == SSEKMS
	req.MD5 = req.Mode == SSES3
	return req, nil
}

func (w *writeHeaders) requestedMode(def BucketDefault) (*Request, error) {
	if !w.method.present {
		if err := w.checkNoKMS(); err != nil {
			return nil, err
		}
		return &Request{Mode: def.mode(), KeyID: def.KeyID, BucketKey: def.BucketKey}, nil
	}
	switch w.method.value {
	case algorithmAES256:
		return &Request{Mode: SSES3}, w.checkNoKMS()
	case algorithmKMS:
		context, err := parseContext(w.context)
		return &Request{Mode: SSEKMS, KeyID: w.keyID.value, Context: context, BucketKey: def.BucketKey}, err
	case algorithmDSSE:
		return nil, errMethodNotImplemented()
	}
	return nil, errUnknownMethod(w.method.value)
}

// checkNoKMS refuses the headers that belong to SSE-KMS.
func (w *writeHeaders) checkNoKMS() error {
	for _, f := range []field{w.keyID, w.context} {
		if f.present {
			return errNeedsKMS(f.name)
		}
	}
	return nil
}

// wantsBucketKey returns what the request says of bucket keys, or else what the bucket does.
func (w *writeHeaders) wantsBucketKey(def bool) (bool, error) {
	switch {
	case !w.bucketKey.present:
		return def, nil
	case strings.EqualFold(w.bucketKey.value, "true"):
		return true, nil
	case strings.EqualFold(w.bucketKey.value, "false"):
		return false, nil
	}
	return false, errBadBucketKey(w.bucketKey.value)
}

// customerRequest returns the request of a write with a customer key.
func (w *writeHeaders) customerRequest(t Transport, def BucketDefault) (*Request, error) {
	if w.method.present {
		return nil, errTwoMethods(w.method.value)
	}
	if err := w.checkNoKMS(); err != nil {
		return nil, err
	}
	if _, err := w.wantsBucketKey(def.BucketKey); err != nil {
		return nil, err
	}
	if def.CustomerKeys == CustomerKeysBlocked {
		return nil, errCustomerKeysBlocked()
	}
	key, err := w.customer.key(t, errBadCustomerKey)
	if err != nil {
		return nil, err
	}
	return &Request{Mode: SSEC, CustomerKey: key}, nil
}
