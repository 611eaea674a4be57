package main

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

func TestPartsHaveTheNumbersThatReadsUse(t *testing.T) {
	s := newServer(t)
	pieces := map[int32][]byte{2: random(5 << 20), 5: random(100)}
	created, err := s.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("cat")})
	require.NoError(t, err)
	complete := &s3.CompleteMultipartUploadInput{
		Bucket: aws.String(bucket), Key: aws.String("cat"), UploadId: created.UploadId, MultipartUpload: new(types.CompletedMultipartUpload),
	}
	for _, number := range []int32{2, 5} {
		out, err := s.UploadPart(t.Context(), &s3.UploadPartInput{
			Bucket: aws.String(bucket), Key: aws.String("cat"), UploadId: created.UploadId, PartNumber: &number, Body: bytes.NewReader(pieces[number]),
		})
		require.NoError(t, err)
		complete.MultipartUpload.Parts = append(complete.MultipartUpload.Parts, types.CompletedPart{ETag: out.ETag, PartNumber: &number})
	}
	_, err = s.CompleteMultipartUpload(t.Context(), complete)
	require.NoError(t, err)

	attributes, err := s.GetObjectAttributes(t.Context(), &s3.GetObjectAttributesInput{
		Bucket: aws.String(bucket), Key: aws.String("cat"), ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesObjectParts},
	})
	require.NoError(t, err)
	require.Len(t, attributes.ObjectParts.Parts, len(pieces))
	for _, part := range attributes.ObjectParts.Parts {
		got, err := s.get(t, "cat", func(in *s3.GetObjectInput) { in.PartNumber = part.PartNumber })
		require.NoError(t, err, *part.PartNumber)
		require.True(t, bytes.Equal(pieces[*part.PartNumber], got), *part.PartNumber)
		require.Equal(t, int64(len(got)), *part.Size)
	}
}
