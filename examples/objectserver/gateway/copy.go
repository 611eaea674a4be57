package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	versity "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// maxCopy is the size of the largest object that one request copies.
const maxCopy = 5 << 30

// findSource opens the file of the source of a copy.
func (s *storage) findSource(ctx context.Context, source string, in *s3.GetObjectInput) (*File, *s3.GetObjectOutput, error) {
	bucket, key, version, err := versity.ParseCopySource(source)
	if err != nil {
		return nil, nil, err
	}
	in.Bucket, in.Key, in.VersionId = &bucket, &key, &version
	f, out, err := s.find(ctx, in)
	if f == nil {
		return nil, out, err
	}
	if size, err := s.encryption.PlainSize(f, f.Size); err == nil && size > maxCopy {
		return nil, nil, errors.Join(s3err.GetCopySourceObjectTooLargeErr(maxCopy), f.file.Close())
	}
	return f, out, nil
}

// CopyObject serves a copy.
func (s *storage) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	r := s.request(ctx, *in.Bucket)
	r.algorithm = in.ChecksumAlgorithm
	out, err := s.copy(ctx, r, in)
	if r.source != nil {
		r.source.Close()
	}
	return out, answer(ctx, r, err)
}

func (s *storage) copy(ctx context.Context, r *Request, in s3response.CopyObjectInput) (out s3response.CopyObjectOutput, err error) {
	if strings.HasSuffix(*in.Key, "/") {
		return s.Posix.CopyObject(ctx, in) // a directory, which has no body
	}
	from := &s3.GetObjectInput{
		IfMatch: in.CopySourceIfMatch, IfNoneMatch: in.CopySourceIfNoneMatch, IfModifiedSince: in.CopySourceIfModifiedSince, IfUnmodifiedSince: in.CopySourceIfUnmodifiedSince,
	}
	f, source, err := s.findSource(ctx, *in.CopySource, from)
	if err != nil {
		return out, err
	}
	put := copied(in, source)
	put.IfMatch, put.IfNoneMatch = utils.GetStringPtr(utils.TrimQuotes(r.Header.Get("If-Match"))), utils.GetStringPtr(utils.TrimQuotes(r.Header.Get("If-None-Match")))
	if in.TaggingDirective != types.TaggingDirectiveReplace {
		put.Tagging = s.tagsOf(ctx, from)
	}
	draft := func() (*Draft, error) {
		return s.encryption.Put(r, idOf(put), hashed(strings.NewReader(""), 0, r.algorithm, ""))
	}
	if f != nil { // and not a directory
		defer f.file.Close()
		if changesNothing(r, in, from) {
			return out, s3err.GetAPIError(s3err.ErrInvalidCopyDest)
		}
		draft = func() (*Draft, error) { return s.encryption.Copy(r, f, idOf(put)) }
	}
	done, err := s.write(ctx, put, draft)
	if err != nil {
		return out, err
	}
	result := &s3response.CopyObjectResult{ETag: &done.ETag, LastModified: ptr(time.Now())}
	if info, err := os.Stat(filepath.Join(*in.Bucket, *in.Key)); err == nil {
		result.LastModified = ptr(info.ModTime())
	}
	sum := given(&done)
	sum.Type = done.ChecksumType
	sum.tell(result)
	return s3response.CopyObjectOutput{CopyObjectResult: result, VersionId: &done.VersionID, CopySourceVersionId: from.VersionId}, nil
}

// copied returns a PUT of the copy, without its body.
func copied(in s3response.CopyObjectInput, source *s3.GetObjectOutput) s3response.PutObjectInput {
	put := s3response.PutObjectInput{
		Bucket: in.Bucket, Key: in.Key, Metadata: in.Metadata, ContentType: in.ContentType, ContentEncoding: in.ContentEncoding,
		ContentDisposition: in.ContentDisposition, ContentLanguage: in.ContentLanguage, CacheControl: in.CacheControl, Expires: in.Expires,
		WebsiteRedirectLocation: in.WebsiteRedirectLocation, Tagging: in.Tagging,
		ObjectLockRetainUntilDate: in.ObjectLockRetainUntilDate, ObjectLockMode: in.ObjectLockMode, ObjectLockLegalHoldStatus: in.ObjectLockLegalHoldStatus,
	}
	if in.MetadataDirective != types.MetadataDirectiveReplace {
		put.Metadata, put.ContentType, put.ContentEncoding = source.Metadata, source.ContentType, source.ContentEncoding
		put.ContentDisposition, put.ContentLanguage = source.ContentDisposition, source.ContentLanguage
		put.CacheControl, put.Expires = source.CacheControl, source.ExpiresString
	}
	return put
}

// tagsOf returns the tags of an object as a PUT has them.
func (s *storage) tagsOf(ctx context.Context, in *s3.GetObjectInput) *string {
	tags, err := s.Posix.GetObjectTagging(ctx, *in.Bucket, *in.Key, *in.VersionId)
	if err != nil {
		return nil
	}
	values := url.Values{}
	for name, value := range tags {
		values.Set(name, value)
	}
	return ptr(values.Encode())
}

// changesNothing reports whether an object is copied onto itself for nothing.
func changesNothing(r *Request, in s3response.CopyObjectInput, from *s3.GetObjectInput) bool {
	const name = "x-amz-server-side-encryption"
	return *from.Bucket == *in.Bucket && *from.Key == *in.Key && *from.VersionId == "" && in.MetadataDirective != types.MetadataDirectiveReplace &&
		r.Header.Get(name) == "" && r.Header.Get(name+"-customer-algorithm") == ""
}

// UploadPartCopy makes a part of an object, or of a range of one.
func (s *storage) UploadPartCopy(ctx context.Context, in *s3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	r := s.request(ctx, *in.Bucket)
	out, err := s.copyPart(ctx, r, in)
	return out, answer(ctx, r, err)
}

func (s *storage) copyPart(ctx context.Context, r *Request, in *s3.UploadPartCopyInput) (out s3response.CopyPartResult, err error) {
	from := &s3.GetObjectInput{
		IfMatch: in.CopySourceIfMatch, IfNoneMatch: in.CopySourceIfNoneMatch, IfModifiedSince: in.CopySourceIfModifiedSince, IfUnmodifiedSince: in.CopySourceIfUnmodifiedSince,
	}
	f, _, err := s.findSource(ctx, *in.CopySource, from)
	if err != nil {
		return out, err
	}
	part := &s3.UploadPartInput{Bucket: in.Bucket, Key: in.Key, UploadId: in.UploadId, PartNumber: in.PartNumber, Body: strings.NewReader(""), ContentLength: ptr(int64(0))}
	if f != nil {
		defer f.file.Close()
		c, err := s.readSource(r, f, *in.CopySourceRange)
		if err != nil {
			return out, err
		}
		defer c.Body.Close()
		part.Body, part.ContentLength = c.Body, &c.Length
	}
	done, err := s.uploadPart(ctx, r, part)
	if err != nil {
		return out, err
	}
	out = s3response.CopyPartResult{ETag: done.ETag, LastModified: time.Now(), CopySourceVersionId: *from.VersionId}
	given(done).tell(&out)
	return out, nil
}

// readSource reads a range of the source of a copy, which must be within it.
func (s *storage) readSource(r *Request, f *File, ranges string) (*Content, error) {
	size, err := s.encryption.PlainSize(f, f.Size)
	if err != nil {
		return nil, err
	}
	off, n, err := versity.ParseCopySourceRange(size, ranges)
	if err != nil {
		return nil, err
	}
	want := Want{Body: true, CopySource: true}
	if n > 0 {
		want.Range = fmt.Sprintf("bytes=%d-%d", off, off+n-1)
	}
	source := *r
	source.Answer = map[string][]string{} // the answer tells of the target
	return s.encryption.Get(&source, f, want)
}
