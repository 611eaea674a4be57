package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3response"
)

// find opens the file of an object, with what versitygw has to say of it. A directory has no file, without an error. The output may come with an error too.
func (s *storage) find(ctx context.Context, in *s3.GetObjectInput) (*File, *s3.GetObjectOutput, error) {
	whole := ""
	in.Range, in.PartNumber, in.ChecksumMode = &whole, nil, ""
	out, err := s.Posix.GetObject(ctx, in)
	if err != nil {
		return nil, out, err
	}
	file, ok := out.Body.(*os.File)
	if !ok {
		return nil, out, nil
	}
	f := &File{ID: objectID(*in.Bucket, *in.Key), Size: *out.ContentLength, Attributes: attributes{storer: s.storer, file: file}, file: file}
	etag, err := f.Get(etagAttribute)
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	out.ETag = ptr(string(etag)) // of this file, also if another has taken its name meanwhile
	f.ETag = strings.Trim(string(etag), `"`)
	return f, out, nil
}

// wanted returns what the parameters of a GET or a HEAD want.
func wanted(ranges *string, part *int32, mode types.ChecksumMode, body bool) Want {
	want := Want{Body: body, Checksum: mode == types.ChecksumModeEnabled, Range: *ranges}
	if part != nil {
		want.Part = int(*part)
	}
	return want
}

// contentRange returns the header of that name, or nothing for a whole object.
func (c *Content) contentRange() *string {
	if !c.Partial {
		return nil
	}
	return ptr(fmt.Sprintf("bytes %d-%d/%d", c.Offset, c.Offset+c.Length-1, c.Size))
}

// partsCount returns the header x-amz-mp-parts-count, which answers a part number only.
func (c *Content) partsCount(want Want) *int32 {
	if want.Part == 0 || c.Parts == 0 {
		return nil
	}
	return ptr(int32(c.Parts))
}

// GetObject serves a GET.
func (s *storage) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	r, want := s.request(ctx, *in.Bucket), wanted(in.Range, in.PartNumber, in.ChecksumMode, true)
	f, out, err := s.find(ctx, in)
	if f == nil {
		return out, answer(ctx, r, err)
	}
	c, err := s.encryption.Get(r, f, want)
	if err != nil {
		return nil, answer(ctx, r, errors.Join(err, f.file.Close()))
	}
	parseChecksum(c.Checksum).tell(out)
	out.Body, out.ContentLength, out.ContentRange, out.PartsCount = content{c.Body, f.file, requestLine(ctx)}, &c.Length, c.contentRange(), c.partsCount(want)
	return out, answer(ctx, r, nil)
}

// content is the body of an answer. An error of it cuts the connection: the length was declared. It is logged, since nobody else is told.
type content struct {
	io.ReadCloser
	file    io.Closer
	request string
}

// Read implements io.Reader.
func (c content) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		log.Printf("%s: %v", c.request, err)
	}
	return n, err
}

// Close implements io.Closer.
func (c content) Close() error { return errors.Join(c.ReadCloser.Close(), c.file.Close()) }

// HeadObject serves a HEAD.
func (s *storage) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	r, want := s.request(ctx, *in.Bucket), wanted(in.Range, in.PartNumber, in.ChecksumMode, false)
	whole := ""
	in.Range, in.PartNumber, in.ChecksumMode = &whole, nil, ""
	out, err := s.Posix.HeadObject(ctx, in)
	if err != nil {
		return out, answer(ctx, r, err)
	}
	c, found, err := s.look(ctx, r, &s3.GetObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId}, want)
	if c == nil {
		return out, answer(ctx, r, err)
	}
	parseChecksum(c.Checksum).tell(out)
	out.ETag, out.ContentLength, out.ContentRange, out.PartsCount = found.ETag, &c.Length, c.contentRange(), c.partsCount(want)
	return out, answer(ctx, r, nil)
}

// look opens an object without reading its body.
func (s *storage) look(ctx context.Context, r *Request, in *s3.GetObjectInput, want Want) (*Content, *s3.GetObjectOutput, error) {
	f, out, err := s.find(ctx, in)
	if f == nil {
		return nil, out, err
	}
	defer f.file.Close()
	c, err := s.encryption.Get(r, f, want)
	if err != nil {
		return nil, nil, err
	}
	return c, out, nil
}

// GetObjectAttributes serves the request of that name, whose answer does not tell of encryption.
func (s *storage) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	r := s.request(ctx, *in.Bucket)
	out, err := s.Posix.GetObjectAttributes(ctx, in)
	if err != nil {
		return out, apiErrorOf(ctx, err)
	}
	c, found, err := s.look(ctx, r, &s3.GetObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId}, Want{Checksum: true})
	if err != nil {
		return out, apiErrorOf(ctx, err)
	}
	if c == nil {
		return out, nil // a directory
	}
	out.ETag, out.ObjectSize, out.Checksum = ptr(strings.Trim(*found.ETag, `"`)), &c.Size, nil
	if sum := parseChecksum(c.Checksum); sum.Value != "" {
		out.Checksum = new(types.Checksum)
		sum.tell(out.Checksum)
	}
	if c.Parts > 0 {
		out.ObjectParts = c.partList()
	}
	return out, nil
}

// partList returns the numbers and sizes of the parts. Numbers are those that reads use.
func (c *Content) partList() *s3response.ObjectParts {
	out := &s3response.ObjectParts{MaxParts: c.Parts}
	for number, size := range c.PartSizes {
		out.Parts = append(out.Parts, types.ObjectPart{PartNumber: ptr(int32(number)), Size: &size})
	}
	return out
}
