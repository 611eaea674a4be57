package main

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	versity "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/objectkms/kms/encryption"
)

// maxCopy is the size of the largest object that one request copies.
const maxCopy = 5 << 30

// openSource opens the source of a copy.
func (o *objects) openSource(ctx context.Context, r request, source string, conditions s3.GetObjectInput) (*object, *s3.GetObjectOutput, *s3.GetObjectInput, error) {
	bucket, key, version, err := versity.ParseCopySource(source)
	if err != nil {
		return nil, nil, nil, err
	}
	req, err := encryption.ParseCopySourceHeaders(r.Header, r.Transport)
	if err != nil {
		return nil, nil, nil, err
	}
	conditions.Bucket, conditions.Key, conditions.VersionId = &bucket, &key, &version
	opened, out, err := o.open(ctx, r, &conditions, req)
	if opened != nil && opened.Size() > maxCopy {
		opened.Close()
		return nil, nil, nil, s3err.GetCopySourceObjectTooLargeErr(maxCopy)
	}
	return opened, out, &conditions, err
}

// CopyObject copies an object. What is written is protected as its own headers and bucket say, not as the source is.
func (o *objects) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	out, err := o.copyObject(ctx, in)
	return out, answer(err)
}

func (o *objects) copyObject(ctx context.Context, in s3response.CopyObjectInput) (out s3response.CopyObjectOutput, err error) {
	if strings.HasSuffix(*in.Key, "/") {
		return o.Posix.CopyObject(ctx, in) // a directory, which has no body
	}
	r := o.request(ctx)
	target, err := o.parseWrite(r, *in.Bucket)
	if err != nil {
		return out, err
	}
	defer target.CustomerKey.Destroy()
	opened, source, from, err := o.openSource(ctx, r, *in.CopySource, s3.GetObjectInput{
		IfMatch: in.CopySourceIfMatch, IfNoneMatch: in.CopySourceIfNoneMatch, IfModifiedSince: in.CopySourceIfModifiedSince, IfUnmodifiedSince: in.CopySourceIfUnmodifiedSince,
	})
	if err != nil {
		return out, err
	}
	put := copyMetadata(in, source)
	if in.TaggingDirective != types.TaggingDirectiveReplace {
		tags, err := o.Posix.GetObjectTagging(ctx, *from.Bucket, *from.Key, *from.VersionId)
		if err == nil && len(tags) > 0 {
			values := url.Values{}
			for name, value := range tags {
				values.Set(name, value)
			}
			put.Tagging = ptr(values.Encode())
		}
	}
	var done s3response.PutObjectOutput
	if opened == nil {
		put.Body, put.ContentLength = strings.NewReader(""), ptr(int64(0)) // a directory
		done, err = o.encrypt(ctx, r, put, target, 0)
	} else {
		defer opened.Close()
		if changesNothing(r, in, from) {
			return out, s3err.GetAPIError(s3err.ErrInvalidCopyDest)
		}
		done, err = o.copyBody(ctx, r, put, opened, from, target)
	}
	if err != nil {
		return out, err
	}
	result := &s3response.CopyObjectResult{ETag: &done.ETag, LastModified: ptr(time.Now())}
	if info, err := os.Stat(filepath.Join(*in.Bucket, *in.Key)); err == nil {
		result.LastModified = ptr(info.ModTime())
	}
	given(&done).tell(result)
	result.ChecksumType = done.ChecksumType
	return s3response.CopyObjectOutput{CopyObjectResult: result, VersionId: &done.VersionID, CopySourceVersionId: from.VersionId}, nil
}

// changesNothing reports whether an object is copied onto itself for nothing.
func changesNothing(r request, in s3response.CopyObjectInput, from *s3.GetObjectInput) bool {
	const name = "x-amz-server-side-encryption"
	return *from.Bucket == *in.Bucket && *from.Key == *in.Key && *from.VersionId == "" && in.MetadataDirective != types.MetadataDirectiveReplace &&
		r.Get(name) == "" && r.Get(name+"-customer-algorithm") == ""
}

// copyMetadata returns a PUT of the copy, without its body.
func copyMetadata(in s3response.CopyObjectInput, source *s3.GetObjectOutput) s3response.PutObjectInput {
	put := s3response.PutObjectInput{
		Bucket: in.Bucket, Key: in.Key, Metadata: in.Metadata, ContentType: in.ContentType, ContentEncoding: in.ContentEncoding,
		ContentDisposition: in.ContentDisposition, ContentLanguage: in.ContentLanguage, CacheControl: in.CacheControl, Expires: in.Expires,
		WebsiteRedirectLocation: in.WebsiteRedirectLocation, Tagging: in.Tagging, ChecksumAlgorithm: in.ChecksumAlgorithm,
		ObjectLockRetainUntilDate: in.ObjectLockRetainUntilDate, ObjectLockMode: in.ObjectLockMode, ObjectLockLegalHoldStatus: in.ObjectLockLegalHoldStatus,
	}
	if in.MetadataDirective != types.MetadataDirectiveReplace {
		put.Metadata, put.ContentType, put.ContentEncoding = source.Metadata, source.ContentType, source.ContentEncoding
		put.ContentDisposition, put.ContentLanguage = source.ContentDisposition, source.ContentLanguage
		put.CacheControl, put.Expires = source.CacheControl, source.ExpiresString
	}
	return put
}

// copyBody copies the stored body as it is where that is right, and encrypts it again otherwise: an ETag that is an MD5 belongs to SSE-S3 only, a copy
// is never one of parts, and who brings a key of his own shares it with nobody.
func (o *objects) copyBody(ctx context.Context, r request, put s3response.PutObjectInput, source *object, from *s3.GetObjectInput, target *encryption.Request) (out s3response.PutObjectOutput, err error) {
	sum, err := o.checksum(source, types.ChecksumModeEnabled, source.Size())
	if err != nil {
		return out, err
	}
	if mode := source.envelope.Mode(); mode == encryption.SSEC || mode != target.Mode || source.Parts() > 0 || put.ChecksumAlgorithm != "" {
		plain, err := source.plain(0, source.Size())
		if err != nil {
			return out, err
		}
		defer plain.Close()
		put.Body, put.ContentLength = plain, ptr(source.Size())
		if put.ChecksumAlgorithm == "" {
			put.ChecksumAlgorithm = sum.Algorithm
		}
		return o.encrypt(ctx, r, put, target, source.Size())
	}
	done := record{sum: sum}
	if done.sealed, err = o.attribute(source.file, checksumAttribute); err != nil {
		return out, err
	}
	etag, err := o.attribute(source.file, "etag")
	if err != nil {
		return out, err
	}
	done.etag = strings.Trim(string(etag), `"`)
	if done.envelope, err = o.service.Rewrap(r, encryption.ObjectID{Bucket: *from.Bucket, Key: *from.Key}, source.envelope, nil,
		encryption.ObjectID{Bucket: *put.Bucket, Key: *put.Key}, target); err != nil {
		return out, err
	}
	out, err = o.store(ctx, put, source.file, source.size, func() (*record, error) { return &done, nil })
	if err == nil {
		o.service.WriteCopyHeaders(r.answer, done.envelope, target)
	}
	return out, err
}

// UploadPartCopy makes a part of another object, or of a range of one.
func (o *objects) UploadPartCopy(ctx context.Context, in *s3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	out, err := o.copyPart(ctx, in)
	return out, answer(err)
}

func (o *objects) copyPart(ctx context.Context, in *s3.UploadPartCopyInput) (out s3response.CopyPartResult, err error) {
	r := o.request(ctx)
	source, _, from, err := o.openSource(ctx, r, *in.CopySource, s3.GetObjectInput{
		IfMatch: in.CopySourceIfMatch, IfNoneMatch: in.CopySourceIfNoneMatch, IfModifiedSince: in.CopySourceIfModifiedSince, IfUnmodifiedSince: in.CopySourceIfUnmodifiedSince,
	})
	if err != nil {
		return out, err
	}
	part := &s3.UploadPartInput{Bucket: in.Bucket, Key: in.Key, UploadId: in.UploadId, PartNumber: in.PartNumber, Body: strings.NewReader(""), ContentLength: ptr(int64(0))}
	if source != nil {
		defer source.Close()
		off, n, err := versity.ParseCopySourceRange(source.Size(), *in.CopySourceRange)
		if err != nil {
			return out, err
		}
		plain, err := source.plain(off, n)
		if err != nil {
			return out, err
		}
		defer plain.Close()
		part.Body, part.ContentLength = plain, &n
	}
	done, err := o.encryptPart(ctx, r, part)
	if err != nil {
		return out, err
	}
	out = s3response.CopyPartResult{ETag: done.ETag, LastModified: time.Now(), CopySourceVersionId: *from.VersionId}
	given(done).tell(&out)
	return out, nil
}
