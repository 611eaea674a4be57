package main

import (
	"context"
	"encoding/xml"
	"errors"
	"log"
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

// Names of attributes beside those of the gateway. Clients cannot write them: the metadata that clients send is in one attribute of its own.
const (
	envelopeAttribute = "objectkms-envelope" // of an object
	checksumAttribute = "objectkms-checksum" // of an object or a part, sealed
	uploadAttribute   = "objectkms-upload"   // of the directory of a multipart upload
	receiptAttribute  = "objectkms-receipt"  // of a part
	bucketAttribute   = "objectkms-default"  // of a bucket
)

// objects is the storage of the gateway with the encryption in front of it. What it does not override never sees plaintext.
type objects struct {
	*posix.Posix
	attributes *attributes
	service    *encryption.Service
	secure     bool // TLS
	bucketKeys bool
}

// attributes keeps the attributes of files. While a file is written, the gateway's own words about it, which are those of ciphertext, can be replaced.
type attributes struct {
	meta.MetadataStorer
	replaced sync.Map // from *os.File to map[string][]byte, or to an error that ends the writing
}

// StoreAttribute implements meta.MetadataStorer.
func (a *attributes) StoreAttribute(f *os.File, bucket, object, name string, value []byte) error {
	if f != nil {
		switch replaced, _ := a.replaced.Load(f); replaced := replaced.(type) {
		case error:
			return replaced
		case map[string][]byte:
			if other, ok := replaced[name]; ok {
				value = other
			}
		}
	}
	return a.MetadataStorer.StoreAttribute(f, bucket, object, name, value)
}

// request is what one request says about encryption, and where its answer goes.
type request struct {
	context.Context
	encryption.Header
	encryption.Transport
	answer encryption.HeaderSetter
}

// header is the headers of a request.
type header struct{ h *fasthttp.RequestHeader }

func (h header) Get(name string) string { return string(h.h.Peek(name)) }

func (h header) Values(name string) (values []string) {
	for _, value := range h.h.PeekAll(name) {
		values = append(values, string(value))
	}
	return values
}

// form is the fields of a POST form.
type form map[string]string

func (f form) Get(name string) string { return f[name] }

// request returns the request that the gateway is serving. Its own context is not kept: it is used again when the request is over.
func (o *objects) request(ctx context.Context) request {
	rc := ctx.(*fasthttp.RequestCtx)
	account, _ := rc.UserValue(string(utils.ContextKeyAccount)).(auth.Account)
	r := request{
		Context: kms.WithPrincipal(context.Background(), account.Access),
		Header:  header{&rc.Request.Header},
		// The gateway knows no other signature. Without any, the bucket is public.
		Transport: encryption.Transport{Secure: o.secure, SigV4: rc.UserValue(string(utils.ContextKeyPublicBucket)) == nil},
		answer:    &rc.Response.Header,
	}
	if post, ok := rc.UserValue(string(utils.ContextKeyObjectPostResult)).(middlewares.PostObjectResult); ok {
		r.Header = form(post.Fields)
	}
	return r
}

// apiError is an answer of this library in the words of the gateway.
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

// answer turns any error into what the gateway answers. What is not the client's fault is logged.
func answer(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[s3err.S3Error](err); ok {
		return e
	}
	e := encryption.S3Error(err)
	if e.Status >= 500 {
		log.Print(err)
	}
	return apiError{s3err.APIError{Code: e.Code, Description: e.Message, HTTPStatusCode: e.Status}, e.ArgumentName, e.ArgumentValue}
}
