package s3client

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// PutParts stores an object in parts.
func (c *AWS) PutParts(ctx context.Context, o Object, body []byte, e Encryption) error {
	upload, err := c.BeginUpload(ctx, o, e)
	if err != nil {
		return err
	}
	var parts []types.CompletedPart
	for number := int32(1); len(body) > 0; number++ {
		n := min(len(body), PartSize)
		part, err := c.UploadPart(ctx, o, upload, number, body[:n], e)
		if err != nil {
			return err
		}
		parts = append(parts, part)
		body = body[n:]
	}
	return c.CompleteUpload(ctx, o, upload, parts, e)
}

// BeginUpload begins an upload and returns its id.
func (c *AWS) BeginUpload(ctx context.Context, o Object, e Encryption) (string, error) {
	in := &s3.CreateMultipartUploadInput{Bucket: &o.Bucket, Key: &o.Key, ServerSideEncryption: types.ServerSideEncryption(e.algorithm())}
	in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = e.customer()
	in.SSEKMSKeyId, in.SSEKMSEncryptionContext, in.BucketKeyEnabled = e.kms()
	out, err := c.S3.CreateMultipartUpload(ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.UploadId), nil
}

// UploadPart stores one part of an upload.
func (c *AWS) UploadPart(ctx context.Context, o Object, upload string, number int32, body []byte, e Encryption) (types.CompletedPart, error) {
	in := &s3.UploadPartInput{Bucket: &o.Bucket, Key: &o.Key, UploadId: &upload, PartNumber: &number, Body: bytes.NewReader(body)}
	in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = e.customer()
	part, err := c.S3.UploadPart(ctx, in)
	if err != nil {
		return types.CompletedPart{}, err
	}
	return types.CompletedPart{
		PartNumber: &number, ETag: part.ETag,
		ChecksumCRC32: part.ChecksumCRC32, ChecksumCRC32C: part.ChecksumCRC32C, ChecksumCRC64NVME: part.ChecksumCRC64NVME,
		ChecksumSHA1: part.ChecksumSHA1, ChecksumSHA256: part.ChecksumSHA256,
	}, nil
}

// CopyPart makes one part of an upload of a range of another object.
func (c *AWS) CopyPart(ctx context.Context, from Object, source Encryption, first, last int64, to Object, upload string, number int32, target Encryption) (types.CompletedPart, error) {
	in := &s3.UploadPartCopyInput{
		Bucket: &to.Bucket, Key: &to.Key, UploadId: &upload, PartNumber: &number,
		CopySource: aws.String(from.Bucket + "/" + from.Key), CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", first, last)),
	}
	in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = target.customer()
	in.CopySourceSSECustomerAlgorithm, in.CopySourceSSECustomerKey, in.CopySourceSSECustomerKeyMD5 = source.customer()
	out, err := c.S3.UploadPartCopy(ctx, in)
	if err != nil {
		return types.CompletedPart{}, err
	}
	part := out.CopyPartResult
	return types.CompletedPart{
		PartNumber: &number, ETag: part.ETag,
		ChecksumCRC32: part.ChecksumCRC32, ChecksumCRC32C: part.ChecksumCRC32C, ChecksumCRC64NVME: part.ChecksumCRC64NVME,
		ChecksumSHA1: part.ChecksumSHA1, ChecksumSHA256: part.ChecksumSHA256,
	}, nil
}

// CompleteUpload makes an object of the parts of an upload.
func (c *AWS) CompleteUpload(ctx context.Context, o Object, upload string, parts []types.CompletedPart, e Encryption) error {
	in := &s3.CompleteMultipartUploadInput{Bucket: &o.Bucket, Key: &o.Key, UploadId: &upload, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}}
	in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = e.customer()
	_, err := c.S3.CompleteMultipartUpload(ctx, in)
	return err
}
