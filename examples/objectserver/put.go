package main

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/versity/versitygw/s3response"

	"github.com/objectkms/kms/encryption"
)

// PutObject encrypts the body of a PUT or of a POST form.
func (o *objects) PutObject(ctx context.Context, in s3response.PutObjectInput) (out s3response.PutObjectOutput, err error) {
	if strings.HasSuffix(*in.Key, "/") {
		out, err = o.Posix.PutObject(ctx, in) // a directory, which has no body
		return out, answer(err)
	}
	r := o.request(ctx)
	target, err := o.parseWrite(r, *in.Bucket)
	if err != nil {
		return out, answer(err)
	}
	in.ContentEncoding = ptr(contentEncoding(*in.ContentEncoding))
	size := *in.ContentLength
	if _, isForm := r.Header.(form); isForm {
		size = -1 // what is declared counts the end of the form too
	}
	out, err = o.encrypt(ctx, r, in, target, size)
	return out, answer(err)
}

// contentEncoding returns what is said of the object, without what is said of the transfer.
func contentEncoding(header string) string {
	encodings := strings.Split(strings.ReplaceAll(header, " ", ""), ",")
	return strings.Join(slices.DeleteFunc(encodings, func(e string) bool { return e == "aws-chunked" }), ",")
}

// parseWrite returns how the object of a write is to be encrypted.
func (o *objects) parseWrite(r request, bucket string) (*encryption.Request, error) {
	def, err := o.bucketDefault(bucket)
	if err != nil {
		return nil, err
	}
	req, err := encryption.ParseWriteHeaders(r.Header, r.Transport, def)
	if err == nil && o.bucketKeys && req.Mode == encryption.SSES3 {
		req.BucketKey = true // clients have no say in this
	}
	return req, err
}

// encrypt stores a body of plaintext. A size of -1 is not known before the end.
func (o *objects) encrypt(ctx context.Context, r request, in s3response.PutObjectInput, target *encryption.Request, size int64) (out s3response.PutObjectOutput, err error) {
	defer target.CustomerKey.Destroy()
	plain, err := newPlaintext(&in, in.Body, size)
	if err != nil {
		return out, err
	}
	target.PlainSize = max(size, 0)
	object, err := o.service.EncryptStream(r, encryption.ObjectID{Bucket: *in.Bucket, Key: *in.Key}, target, plain)
	if err != nil {
		return out, err
	}
	defer object.Close()
	var done record
	out, err = o.store(ctx, in, object, encryption.StoredSize(*in.ContentLength), func() (*record, error) {
		done.etag, done.sum = object.ETag(), plain.checksum()
		if done.envelope, err = object.Envelope(); err == nil {
			done.sealed, err = done.sum.seal(checksumAttribute, object.SealAttribute)
		}
		return &done, err
	})
	if err != nil {
		return out, err
	}
	object.WriteHeaders(r.answer)
	return out, nil
}

// record is what is stored beside the body of an object.
type record struct {
	envelope *encryption.Envelope
	etag     string // without quotes
	sum      checksum
	sealed   []byte // the checksum again
}

// store gives a stored body to the gateway. The record is asked for when the body was written, and before it takes the object's name.
func (o *objects) store(ctx context.Context, in s3response.PutObjectInput, body io.WriterTo, size int64, finish func() (*record, error)) (out s3response.PutObjectOutput, err error) {
	in.Body, in.ContentLength = ciphertext{body}, &size
	var file *os.File
	var done *record
	defer func() { o.attributes.replaced.Delete(file) }()
	out, err = o.Posix.PutObjectWithPostFunc(ctx, in, func(f *os.File) (err error) {
		file = f
		if done, err = finish(); err != nil {
			return err
		}
		return o.attach(f, done)
	})
	if err != nil {
		return out, err
	}
	plain := done.envelope.PlainSize()
	out.ETag, out.Size = quote(done.etag), &plain
	done.sum.tell(&out)
	return out, nil
}

// attach stores a record with a file that is not yet an object.
func (o *objects) attach(f *os.File, r *record) error {
	o.attributes.replaced.Store(f, map[string][]byte{"etag": []byte(quote(r.etag)), "checksums": r.sum.public()})
	envelope, err := r.envelope.MarshalText()
	if err != nil {
		return err
	}
	if err := o.attributes.StoreAttribute(f, "", "", envelopeAttribute, envelope); err != nil || len(r.sealed) == 0 {
		return err
	}
	return o.attributes.StoreAttribute(f, "", "", checksumAttribute, r.sealed)
}

func quote(etag string) string { return `"` + etag + `"` }
