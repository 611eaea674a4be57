// Package s3client makes one interface of the S3 clients that people use: SDKs, and the tools of the command line.
package s3client

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
)

// Mode is a mode of server-side encryption.
type Mode string

// The modes, and what a client says that leaves the choice to the bucket.
const (
	Default Mode = ""
	SSES3   Mode = "SSE-S3"
	SSEKMS  Mode = "SSE-KMS"
	SSEC    Mode = "SSE-C"
)

// Encryption is what a client asks for when it writes, and what it must give when it reads.
type Encryption struct {
	Mode        Mode
	KeyID       string            // SSE-KMS; empty: the default key
	Context     map[string]string // SSE-KMS
	BucketKey   bool              // SSE-KMS
	CustomerKey string            // SSE-C: 32 printable characters, since tools take the key from their arguments
}

// algorithm is the value of the header x-amz-server-side-encryption, empty for SSE-C.
func (e Encryption) algorithm() string {
	switch e.Mode {
	case SSES3:
		return "AES256"
	case SSEKMS:
		return "aws:kms"
	}
	return ""
}

// KeyMD5 returns the MD5 of a customer key, as headers have it.
func KeyMD5(key string) string {
	sum := md5.Sum([]byte(key))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func keyBase64(key string) string { return base64.StdEncoding.EncodeToString([]byte(key)) }

// Object is where an object is.
type Object struct{ Bucket, Key string }

// Info is what HEAD tells of an object.
type Info struct {
	Size      int64
	ETag      string // without quotes
	Algorithm string // of SSE-S3 and SSE-KMS
	KeyID     string
	KeyMD5    string // of SSE-C
}

// PartSize is the size of the parts that every client makes of a large body.
const PartSize = 5 << 20

// Feature is something that not every client can do.
type Feature int

// The features.
const (
	CustomerKeys  Feature = iota // SSE-C
	CustomerParts                // SSE-C in parts with every version: the key is sent to complete an upload, too
	Contexts                     // encryption contexts
	Ranges                       // reads of a part of an object
	HeadTells                    // HEAD shows how an object is encrypted
	CopyAcross                   // copies from one mode to another
	ReadExplains                 // the error of a read has the code or the status that the server answers
	WriteExplains                // the error of a write has the code
)

// Client is an S3 client. Its errors have the code of the error document in their text, where there was one. Nothing is tried twice. A client is
// for one goroutine.
type Client interface {
	Name() string
	Can(Feature) bool
	Put(ctx context.Context, o Object, body []byte, e Encryption) error
	PutParts(ctx context.Context, o Object, body []byte, e Encryption) error
	// Get returns what it has got of an object also where it fails: what a program would find in its file.
	Get(ctx context.Context, o Object, e Encryption) ([]byte, error)
	GetRange(ctx context.Context, o Object, first, last int64, e Encryption) ([]byte, error)
	Head(ctx context.Context, o Object, e Encryption) (Info, error)
	// List returns the sizes of all objects of a bucket below a prefix, by key.
	List(ctx context.Context, bucket, prefix string) (map[string]int64, error)
	Copy(ctx context.Context, from Object, source Encryption, to Object, target Encryption) error
}

// Endpoint is a server and how to talk to it.
type Endpoint struct {
	URL, AccessKey, SecretKey, Region string
	CAFile                            string // PEM; empty without TLS
}

// ErrAbsent is for a tool that this machine does not have, or that does not work here.
var ErrAbsent = errors.New("the tool is not here")
