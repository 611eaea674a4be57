// Package gateway is an S3 server without encryption: it serves the protocol and stores files, and leaves what S3 says about encryption to an
// [Encryption].
//
// The protocol is that of versitygw, run as a library. What is here fits it for bodies that are stored otherwise than they are sent: checksums are those
// of plaintext, sizes in listings too, and what belongs to a body appears together with it.
package gateway

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend/meta"

	"github.com/objectkms/kms/encryption"
)

// Encryption is called for the operations of S3 that have to do with it. Its methods may be called at the same time. Errors are answered as
// [encryption.S3Error] says.
type Encryption interface {
	// Put makes a stored body of the body of a PUT or of a POST form.
	Put(r *Request, id encryption.ObjectID, plain *Body) (*Draft, error)
	// Get opens an object, and reads what is wanted of it.
	Get(r *Request, f *File, want Want) (*Content, error)
	// Copy makes a stored body of an object.
	Copy(r *Request, from *File, to encryption.ObjectID) (*Draft, error)

	CreateUpload(r *Request, u Upload) error
	// UploadPart makes a stored body of a part. Those of an object are put together as they are.
	UploadPart(r *Request, u Upload, number int, plain *Body) (*Draft, error)
	Complete(r *Request, u Upload) (Completion, error)

	// PlainSize and PartSize return what listings show, for a stored size.
	PlainSize(f Attributes, stored int64) (int64, error)
	PartSize(stored int64) (int64, error)

	BucketEncryption(bucket Attributes) (encryption.BucketDefault, error)
	// SetBucketEncryption takes the document of a configuration, or nil for none.
	SetBucketEncryption(bucket Attributes, document []byte) error
	// UpdateObjectEncryption changes how an object is protected. Its body stays.
	UpdateObjectEncryption(r *Request, f *File, document []byte) error
}

// Request is a request of S3. Its context outlives it.
type Request struct {
	context.Context
	Header    encryption.Header // also the fields of a form
	Transport encryption.Transport
	Answer    http.Header // what the answer says besides, if it is a success
	Bucket    Attributes  // of the bucket that is written to

	algorithm types.ChecksumAlgorithm // of a copy's checksum, where the request names one
	source    io.Closer               // the plaintext of a copy, if there was one
}

// Attributes lie with a file, an upload or a bucket.
type Attributes interface {
	// Get returns nothing, and no error, where there is none of the name.
	Get(name string) ([]byte, error)
	Set(name string, value []byte) error
}

// File is the stored body of an object. It is open.
type File struct {
	ID   encryption.ObjectID
	Size int64
	ETag string // without quotes
	Attributes
	file *os.File
}

// Fetch returns n stored bytes from an offset.
func (f *File) Fetch(_ context.Context, off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(f.file, off, n)), nil
}

// WriteTo implements io.WriterTo with the whole stored body.
func (f *File) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, io.NewSectionReader(f.file, 0, f.Size))
}

// Draft is a stored body that is not yet one of an object or part.
type Draft struct {
	Body io.WriterTo
	Size int64 // of it, at most
	// Finish is called when the body was written, and stores what belongs to it.
	Finish func(f Attributes) (Facts, error)
	// Close, if set, is called in the end.
	Close func() error
}

func (d *Draft) close() {
	if d.Close != nil {
		d.Close()
	}
}

// Facts are what clients see of an object or a part.
type Facts struct {
	Size     int64  // of the plaintext; not of parts
	ETag     string // without quotes
	Checksum []byte // of the plaintext, as Body.Checksum has it, or nothing
}

// Want is what a request wants of an object.
type Want struct {
	Body, Checksum bool
	Range          string // as in the header
	Part           int    // in the place of a Range, or 0
	CopySource     bool   // it is read for a copy, with headers of other names
}

// Content is what there is of it.
type Content struct {
	Offset, Length, Size int64
	Partial              bool   // the answer is 206
	Checksum             []byte // of the whole object
	Parts                int    // that the object was uploaded in, or 0
	PartSizes            iter.Seq2[int, int64]
	Body                 io.ReadCloser
}

// Upload is a multipart upload. Its attributes vanish with it.
type Upload struct {
	ID       encryption.ObjectID
	UploadID string
	Attributes
}

// Completion puts parts together.
type Completion interface {
	// Add takes the next part.
	Add(part Attributes, number int, etag string) (checksum []byte, err error)
	// Finish stores what belongs to the object of these parts.
	Finish(f Attributes, checksum []byte) (Facts, error)
	Close() error
}

// attributes are those of a file that is open, or else of what has a path below a bucket.
type attributes struct {
	storer       meta.MetadataStorer
	file         *os.File
	bucket, path string
}

func (a attributes) Get(name string) ([]byte, error) {
	value, err := a.storer.RetrieveAttribute(a.file, a.bucket, a.path, name)
	if errors.Is(err, meta.ErrNoSuchKey) {
		return nil, nil
	}
	return value, err
}

func (a attributes) Set(name string, value []byte) error {
	return a.storer.StoreAttribute(a.file, a.bucket, a.path, name, value)
}
