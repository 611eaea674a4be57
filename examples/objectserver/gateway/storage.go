package gateway

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http"
	"os"
	"sync"

	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// The attributes of versitygw that are written here too.
const (
	etagAttribute      = "etag"
	checksumsAttribute = "checksums"
)

// storage is the storage of versitygw with an Encryption in front of it. What it does not override never sees plaintext.
type storage struct {
	*posix.Posix
	storer     *storer
	encryption Encryption
	secure     bool // TLS
}

// storer keeps the attributes of files. While a file is written, what versitygw has to say about it, which is of ciphertext, can be replaced.
type storer struct {
	meta.MetadataStorer
	replaced sync.Map // from *os.File to map[string][]byte, or to an error that ends the writing
}

// StoreAttribute implements meta.MetadataStorer.
func (s *storer) StoreAttribute(f *os.File, bucket, object, name string, value []byte) error {
	if f != nil {
		switch replaced, _ := s.replaced.Load(f); replaced := replaced.(type) {
		case error:
			return replaced
		case map[string][]byte:
			if other, ok := replaced[name]; ok {
				value = other
			}
		}
	}
	return s.MetadataStorer.StoreAttribute(f, bucket, object, name, value)
}

// replace makes facts of plaintext those of a file that is being written.
func (s *storer) replace(f *os.File, facts Facts) {
	s.replaced.Store(f, map[string][]byte{etagAttribute: []byte(quote(facts.ETag)), checksumsAttribute: parseChecksum(facts.Checksum).public()})
}

// header is the headers of a request.
type header struct{ h *fasthttp.RequestHeader }

// Get implements encryption.Header.
func (h header) Get(name string) string { return string(h.h.Peek(name)) }

// Values lets a header that came twice be seen.
func (h header) Values(name string) (values []string) {
	for _, value := range h.h.PeekAll(name) {
		values = append(values, string(value))
	}
	return values
}

// form is the fields of a POST form.
type form map[string]string

// Get implements encryption.Header.
func (f form) Get(name string) string { return f[name] }

// request returns the request that versitygw is serving. Its own context is not kept: it is used again when the request is over.
func (s *storage) request(ctx context.Context, bucket string) *Request {
	rc := ctx.(*fasthttp.RequestCtx)
	account, _ := rc.UserValue(string(utils.ContextKeyAccount)).(auth.Account)
	r := &Request{
		Context: kms.WithPrincipal(context.Background(), account.Access),
		Header:  header{&rc.Request.Header},
		// versitygw knows no other signature. Without any, the bucket is public.
		Transport: encryption.Transport{Secure: s.secure, SigV4: rc.UserValue(string(utils.ContextKeyPublicBucket)) == nil},
		Answer:    http.Header{},
		Bucket:    s.bucket(bucket),
	}
	if post, ok := rc.UserValue(string(utils.ContextKeyObjectPostResult)).(middlewares.PostObjectResult); ok {
		r.Header = form(maps.Clone(post.Fields))
	}
	return r
}

func (s *storage) bucket(name string) Attributes {
	return attributes{storer: s.storer, bucket: name}
}

// answer gives what a request has to say to its response, and turns any error into one of versitygw's.
func answer(ctx context.Context, r *Request, err error) error {
	if err != nil {
		return apiErrorOf(ctx, err)
	}
	for name := range r.Answer {
		ctx.(*fasthttp.RequestCtx).Response.Header.Set(name, r.Answer.Get(name))
	}
	return nil
}

// apiError is an error of this library in the words of versitygw.
type apiError struct {
	s3err.APIError
	name, value string // the argument, if it is about one
}

// XMLBody implements s3err.S3Error.
func (e apiError) XMLBody(requestID, hostID string) []byte {
	body, _ := xml.Marshal(struct {
		XMLName                                        xml.Name `xml:"Error"`
		Code, Message                                  string
		ArgumentName, ArgumentValue, RequestId, HostId string `xml:",omitempty"`
	}{xml.Name{}, e.Code, e.Description, e.name, e.value, requestID, hostID})
	return append([]byte(xml.Header), body...)
}

// apiErrorOf logs what is not the client's fault.
func apiErrorOf(ctx context.Context, err error) error {
	if e, ok := errors.AsType[s3err.S3Error](err); ok {
		return e
	}
	e := encryption.S3Error(err)
	if e.Status >= 500 {
		log.Printf("%s: %v", requestLine(ctx), err)
	}
	return apiError{s3err.APIError{Code: e.Code, Description: e.Message, HTTPStatusCode: e.Status}, e.ArgumentName, e.ArgumentValue}
}

// requestLine tells which request it is, for the log.
func requestLine(ctx context.Context) string {
	rc := ctx.(*fasthttp.RequestCtx)
	return fmt.Sprintf("%s %q", rc.Method(), rc.Path())
}

// ErrUnsigned is for requests without a signature that want a key of the key management to be used.
var ErrUnsigned = &encryption.Error{
	Code: "InvalidArgument", Status: http.StatusBadRequest, ArgumentName: "Authorization", ArgumentValue: "null",
	Message: "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.",
}

func quote(etag string) string { return `"` + etag + `"` }

func ptr[T any](v T) *T { return &v }
