package gateway

import (
	"context"
	"io/fs"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	versity "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3response"
)

// ListObjects serves a LIST with the sizes of plaintexts, which take no key. An object that would not open keeps the size of its file.
func (s *storage) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	return s.Posix.ListObjectsParametrized(ctx, in, s.listed)
}

// ListObjectsV2 is the second version of that.
func (s *storage) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	return s.Posix.ListObjectsV2Parametrized(ctx, in, s.listed)
}

// listed describes a file of a bucket.
func (s *storage) listed(bucket string, owner bool) versity.GetObjFunc {
	describe := s.Posix.FileToObj(bucket, owner)
	return func(path string, entry fs.DirEntry) (s3response.Object, error) {
		object, err := describe(path, entry)
		if err != nil || entry.IsDir() {
			return object, err
		}
		if size, err := s.encryption.PlainSize(attributes{s.storer, nil, bucket, path}, *object.Size); err == nil {
			object.Size = &size
		}
		return object, nil
	}
}

// ListObjectVersions lists all versions.
func (s *storage) ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput) (s3response.ListVersionsResult, error) {
	out, err := s.Posix.ListObjectVersions(ctx, in)
	for i, v := range out.Versions {
		f, _, _ := s.find(ctx, &s3.GetObjectInput{Bucket: in.Bucket, Key: v.Key, VersionId: v.VersionId})
		if f == nil {
			continue
		}
		if size, err := s.encryption.PlainSize(f, f.Size); err == nil {
			out.Versions[i].Size = &size
		}
		f.file.Close()
	}
	return out, err
}

// ListParts lists the parts of an upload.
func (s *storage) ListParts(ctx context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	if err := checkUploadID(*in.UploadId); err != nil {
		return s3response.ListPartsResult{}, err
	}
	out, err := s.Posix.ListParts(ctx, in)
	if err != nil {
		return out, err
	}
	sum, err := checksumOf(s.upload(*in.Bucket, *in.Key, *in.UploadId))
	out.ChecksumAlgorithm, out.ChecksumType = sum.Algorithm, sum.Type
	for i := range out.Parts {
		if size, err := s.encryption.PartSize(out.Parts[i].Size); err == nil {
			out.Parts[i].Size = size
		}
	}
	return out, err
}

// DeleteObject deletes an object. The size that it has to have, if one is told, is that of the plaintext.
func (s *storage) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	if in.IfMatchSize == nil {
		return s.Posix.DeleteObject(ctx, in)
	}
	f, _, _ := s.find(ctx, &s3.GetObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId})
	if f == nil {
		return s.Posix.DeleteObject(ctx, in) // a directory, or nothing
	}
	defer f.file.Close()
	if size, err := s.encryption.PlainSize(f, f.Size); err == nil {
		stored := int64(-1) // which no file has
		if size == *in.IfMatchSize {
			stored = f.Size
		}
		in.IfMatchSize = &stored
	}
	return s.Posix.DeleteObject(ctx, in)
}
