package gateway

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/versity/versitygw/s3response"

	"github.com/objectkms/kms/encryption"
)

// emptyMD5 is the ETag of directories, which are objects without a body.
const emptyMD5 = "d41d8cd98f00b204e9800998ecf8427e"

// PutObject serves a PUT or a POST form.
func (s *storage) PutObject(ctx context.Context, in s3response.PutObjectInput) (out s3response.PutObjectOutput, err error) {
	if err := checkKey(*in.Key); err != nil { // of a form
		return out, err
	}
	r := s.request(ctx, *in.Bucket)
	if strings.HasSuffix(*in.Key, "/") {
		out, err = s.putDirectory(ctx, in)
	} else {
		in.ContentEncoding = ptr(contentEncoding(*in.ContentEncoding))
		body := newBody(&in, in.Body, *in.ContentLength)
		if _, isForm := r.Header.(form); isForm {
			body.Size, body.known = 0, false // what is declared counts the end of the form too
		}
		out, err = s.write(ctx, in, func() (*Draft, error) { return s.encryption.Put(r, idOf(in), body) })
	}
	return out, answer(ctx, r, err)
}

func idOf(in s3response.PutObjectInput) encryption.ObjectID {
	return objectID(*in.Bucket, *in.Key)
}

// contentEncoding returns what is said of the object, without what is said of the transfer.
func contentEncoding(header string) string {
	encodings := strings.Split(strings.ReplaceAll(header, " ", ""), ",")
	return strings.Join(slices.DeleteFunc(encodings, func(e string) bool { return e == "aws-chunked" }), ",")
}

func (s *storage) putDirectory(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	out, err := s.Posix.PutObject(ctx, in)
	if err != nil {
		return out, err
	}
	out.ETag = quote(emptyMD5)
	return out, attributes{s.storer, nil, *in.Bucket, *in.Key}.Set(etagAttribute, []byte(out.ETag))
}

// write makes an object of a draft. The file takes its name when everything is there.
func (s *storage) write(ctx context.Context, in s3response.PutObjectInput, draft func() (*Draft, error)) (out s3response.PutObjectOutput, err error) {
	d, err := draft()
	if err != nil {
		return out, err
	}
	defer d.close()
	in.Body, in.ContentLength = ciphertext{d.Body}, &d.Size
	var file *os.File
	var facts Facts
	defer func() { s.storer.replaced.Delete(file) }()
	out, err = s.Posix.PutObjectWithPostFunc(ctx, in, func(f *os.File) (err error) {
		file = f
		if facts, err = d.Finish(attributes{storer: s.storer, file: f}); err == nil {
			s.storer.replace(f, facts)
		}
		return err
	})
	if err != nil {
		return out, err
	}
	out.ETag, out.Size = quote(facts.ETag), &facts.Size
	parseChecksum(facts.Checksum).tell(&out)
	return out, nil
}
