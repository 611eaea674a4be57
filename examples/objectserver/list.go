package main

import (
	"context"
	"io/fs"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	versity "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3response"

	"github.com/objectkms/kms/encryption"
)

// Listings show the sizes of plaintexts. They need no key for that.

func (o *objects) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	return o.Posix.ListObjectsParametrized(ctx, in, o.listed)
}

func (o *objects) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	return o.Posix.ListObjectsV2Parametrized(ctx, in, o.listed)
}

// listed describes a file of a bucket.
func (o *objects) listed(bucket string, owner bool) versity.GetObjFunc {
	describe := o.Posix.FileToObj(bucket, owner)
	return func(path string, entry fs.DirEntry) (s3response.Object, error) {
		object, err := describe(path, entry)
		if err != nil || entry.IsDir() {
			return object, err
		}
		text, err := o.attributes.RetrieveAttribute(nil, bucket, path, envelopeAttribute)
		if err == nil {
			*object.Size = plainSize(text, *object.Size)
		}
		return object, nil // also one that would not open
	}
}

// plainSize returns the size to show of a stored body. That of an object that would not open is the stored one.
func plainSize(envelope []byte, stored int64) int64 {
	env := new(encryption.Envelope)
	if err := env.UnmarshalText(envelope); err != nil {
		return stored
	}
	info, err := encryption.Info(env, stored)
	if err != nil {
		return stored
	}
	return info.PlainSize
}

func (o *objects) ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput) (s3response.ListVersionsResult, error) {
	out, err := o.Posix.ListObjectVersions(ctx, in)
	for i, v := range out.Versions {
		found, _, _ := o.find(ctx, &s3.GetObjectInput{Bucket: in.Bucket, Key: v.Key, VersionId: v.VersionId})
		if found != nil {
			out.Versions[i].Size = ptr(found.envelope.PlainSize())
			found.file.Close()
		}
	}
	return out, err
}

func (o *objects) ListParts(ctx context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	out, err := o.Posix.ListParts(ctx, in)
	u, _ := o.loadUpload(*in.Bucket, *in.Key, *in.UploadId)
	out.ChecksumAlgorithm, out.ChecksumType = u.Checksum.Algorithm, u.Checksum.Type
	for i := range out.Parts {
		if size, err := encryption.PlainSize(out.Parts[i].Size); err == nil {
			out.Parts[i].Size = size
		}
	}
	return out, err
}

// partsOf lists the parts of an object for GetObjectAttributes.
func partsOf(env *encryption.Envelope) *s3response.ObjectParts {
	out := new(s3response.ObjectParts)
	number := int32(0)
	for _, size := range env.PartSizes() {
		number++
		out.Parts = append(out.Parts, types.ObjectPart{PartNumber: ptr(number), Size: ptr(size)})
	}
	out.MaxParts = len(out.Parts)
	return out
}

func ptr[T any](v T) *T { return &v }
