package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/s3response"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// stored is an object as it lies in its file.
type stored struct {
	file     *os.File
	size     int64
	envelope *encryption.Envelope
}

// find opens the file of an object. The error is the gateway's, and so is the output, which may come with it. A directory is not found, without an error.
func (o *objects) find(ctx context.Context, in *s3.GetObjectInput) (*stored, *s3.GetObjectOutput, error) {
	whole := ""
	in.Range, in.PartNumber, in.ChecksumMode = &whole, nil, ""
	out, err := o.Posix.GetObject(ctx, in)
	if err != nil {
		return nil, out, err
	}
	file, ok := out.Body.(*os.File)
	if !ok {
		return nil, out, nil
	}
	s := &stored{file: file, size: *out.ContentLength, envelope: new(encryption.Envelope)}
	if etag, err := o.attribute(file, "etag"); err == nil {
		out.ETag = ptr(string(etag)) // of this file, also if another has taken its name meanwhile
	}
	text, err := o.attribute(file, envelopeAttribute)
	if err == nil && len(text) == 0 {
		err = fmt.Errorf("%w: object has no envelope", kms.ErrDecrypt) // and is not taken for plaintext
	}
	if err == nil {
		err = s.envelope.UnmarshalText(text)
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return s, out, nil
}

// attribute returns an attribute of a file, or nothing.
func (o *objects) attribute(f *os.File, name string) ([]byte, error) {
	value, err := o.attributes.RetrieveAttribute(f, "", "", name)
	if errors.Is(err, meta.ErrNoSuchKey) {
		return nil, nil
	}
	return value, err
}

// object is one that is open. Its Close closes the file too.
type object struct {
	*encryption.Object
	*stored
}

func (o object) Close() error { return errors.Join(o.Object.Close(), o.file.Close()) }

// open opens an object with what a request brings to read it.
func (o *objects) open(ctx context.Context, r request, in *s3.GetObjectInput, req *encryption.Request) (*object, *s3.GetObjectOutput, error) {
	defer func() { req.CustomerKey.Destroy() }()
	s, out, err := o.find(ctx, in)
	if s == nil {
		return nil, out, err
	}
	opened, err := o.service.OpenObject(r, encryption.ObjectID{Bucket: *in.Bucket, Key: *in.Key}, s.envelope, req, s.size)
	if err != nil {
		return nil, nil, errors.Join(err, s.file.Close())
	}
	return &object{opened, s}, out, nil
}

// plain returns a part of the object. What it begins with is authentic.
func (o *object) plain(off, n int64) (io.ReadCloser, error) {
	return o.Range(context.Background(), off, n, func(_ context.Context, off, n int64) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(o.file, off, n)), nil
	})
}

// window returns which part of an object a GET or HEAD asks for, and what the answer says of it.
func (o *object) window(ranges string, number *int32) (off, n int64, contentRange *string, parts *int32, err error) {
	partial := false
	if number == nil {
		off, n, partial, err = o.ParseRange(ranges)
	} else {
		off, n, err = o.Part(int(*number))
		partial = n > 0
		if count := int32(o.Parts()); count > 0 {
			parts = &count
		}
	}
	if partial {
		text := fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, o.Size())
		contentRange = &text
	}
	return off, n, contentRange, parts, err
}

// checksum returns the checksum of the object, where it is asked for and all of the object is too.
func (o *objects) checksum(opened *object, mode types.ChecksumMode, n int64) (c checksum, err error) {
	if mode != types.ChecksumModeEnabled || n != opened.Size() {
		return c, nil
	}
	sealed, err := o.attribute(opened.file, checksumAttribute)
	if err != nil {
		return c, err
	}
	return openChecksum(checksumAttribute, sealed, opened.OpenAttribute)
}

// GetObject decrypts an object, or a range or a part of it.
func (o *objects) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	out, err := o.get(ctx, in)
	return out, answer(err)
}

func (o *objects) get(ctx context.Context, in *s3.GetObjectInput) (_ *s3.GetObjectOutput, err error) {
	r, ranges, number, mode := o.request(ctx), *in.Range, in.PartNumber, in.ChecksumMode
	req, err := encryption.ParseReadHeaders(r.Header, r.Transport)
	if err != nil {
		return nil, err
	}
	opened, out, err := o.open(ctx, r, in, req)
	if opened == nil {
		return out, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.Close())
		}
	}()
	off, n, contentRange, parts, err := opened.window(ranges, number)
	if err != nil {
		return nil, err
	}
	sum, err := o.checksum(opened, mode, n)
	if err != nil {
		return nil, err
	}
	plain, err := opened.plain(off, n)
	if err != nil {
		return nil, err
	}
	sum.tell(out)
	out.Body, out.ContentLength, out.ContentRange, out.PartsCount = body{plain, opened}, &n, contentRange, parts
	opened.WriteHeaders(r.answer)
	return out, nil
}

// body is the plaintext of an answer. An error of it cuts the connection: the gateway has declared the length.
type body struct {
	io.ReadCloser
	object io.Closer
}

func (b body) Close() error { return errors.Join(b.ReadCloser.Close(), b.object.Close()) }

// HeadObject opens an object without reading it.
func (o *objects) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	out, err := o.head(ctx, in)
	return out, answer(err)
}

func (o *objects) head(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	r, ranges, number, mode := o.request(ctx), *in.Range, in.PartNumber, in.ChecksumMode
	req, err := encryption.ParseReadHeaders(r.Header, r.Transport)
	if err != nil {
		return nil, err
	}
	whole := ""
	in.Range, in.PartNumber, in.ChecksumMode = &whole, nil, ""
	out, err := o.Posix.HeadObject(ctx, in)
	if err != nil {
		return out, err
	}
	opened, _, err := o.open(ctx, r, &s3.GetObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId}, req)
	if opened == nil {
		return out, err
	}
	defer opened.Close()
	_, n, contentRange, parts, err := opened.window(ranges, number)
	if err != nil {
		return nil, err
	}
	sum, err := o.checksum(opened, mode, n)
	if err != nil {
		return nil, err
	}
	sum.tell(out)
	out.ContentLength, out.ContentRange, out.PartsCount = &n, contentRange, parts
	opened.WriteHeaders(r.answer)
	return out, nil
}

// GetObjectAttributes tells what is known of an object.
func (o *objects) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	out, err := o.tell(ctx, in)
	return out, answer(err)
}

func (o *objects) tell(ctx context.Context, in *s3.GetObjectAttributesInput) (out s3response.GetObjectAttributesResponse, err error) {
	r := o.request(ctx)
	req, err := encryption.ParseReadHeaders(r.Header, r.Transport)
	if err != nil {
		return out, err
	}
	out, err = o.Posix.GetObjectAttributes(ctx, in)
	if err != nil {
		return out, err
	}
	opened, _, err := o.open(ctx, r, &s3.GetObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId}, req)
	if opened == nil {
		return out, err
	}
	defer opened.Close()
	size := opened.Size()
	sum, err := o.checksum(opened, types.ChecksumModeEnabled, size)
	if err != nil {
		return out, err
	}
	out.ObjectSize, out.Checksum = &size, nil
	if sum.Value != "" {
		out.Checksum = new(types.Checksum)
		sum.tell(out.Checksum)
	}
	if opened.Parts() > 0 {
		out.ObjectParts = partsOf(opened.envelope)
	}
	return out, nil
}
