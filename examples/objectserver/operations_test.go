package main

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// multipart uploads bodies as the parts of an object, the first one twice.
func (s *server) multipart(t *testing.T, key string, create func(*s3.CreateMultipartUploadInput), part func(*s3.UploadPartInput), bodies ...[]byte) *s3.CompleteMultipartUploadInput {
	t.Helper()
	in := &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: &key}
	create(in)
	created, err := s.CreateMultipartUpload(t.Context(), in)
	require.NoError(t, err)
	complete := &s3.CompleteMultipartUploadInput{Bucket: in.Bucket, Key: &key, UploadId: created.UploadId, MultipartUpload: new(types.CompletedMultipartUpload)}
	upload := func(number int32, body []byte) *s3.UploadPartOutput {
		in := &s3.UploadPartInput{Bucket: in.Bucket, Key: &key, UploadId: created.UploadId, PartNumber: &number, Body: bytes.NewReader(body)}
		part(in)
		out, err := s.UploadPart(t.Context(), in)
		require.NoError(t, err)
		return out
	}
	upload(1, []byte("an attempt that is given up"))
	for i, body := range bodies {
		out := upload(int32(i+1), body)
		complete.MultipartUpload.Parts = append(complete.MultipartUpload.Parts, types.CompletedPart{
			ETag: out.ETag, PartNumber: aws.Int32(int32(i + 1)), ChecksumCRC32: out.ChecksumCRC32,
		})
	}
	return complete
}

func noCreate(*s3.CreateMultipartUploadInput) {}
func noPart(*s3.UploadPartInput)              {}

func TestMultipart(t *testing.T) {
	s := newServer(t)
	mine := newCustomerKey()
	first, second := random(5<<20), random(chunk+1)
	tests := []struct {
		name   string
		create func(*s3.CreateMultipartUploadInput)
		part   func(*s3.UploadPartInput)
		get    func(*s3.GetObjectInput)
	}{
		{"s3", noCreate, noPart, func(*s3.GetObjectInput) {}},
		{"kms", func(in *s3.CreateMultipartUploadInput) { in.ServerSideEncryption = types.ServerSideEncryptionAwsKms }, noPart, func(*s3.GetObjectInput) {}},
		{"mine", func(in *s3.CreateMultipartUploadInput) {
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = aws.String("AES256"), mine.key, mine.sum
		}, func(in *s3.UploadPartInput) {
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = aws.String("AES256"), mine.key, mine.sum
		}, mine.get},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			complete := s.multipart(t, tt.name, tt.create, tt.part, first, second)
			listed, err := s.ListParts(t.Context(), &s3.ListPartsInput{Bucket: complete.Bucket, Key: complete.Key, UploadId: complete.UploadId})
			require.NoError(t, err)
			require.Equal(t, int64(len(first)), *listed.Parts[0].Size)
			if tt.name == "mine" {
				_, err := s.CompleteMultipartUpload(t.Context(), complete)
				requireAnswer(t, http.StatusBadRequest, "InvalidRequest", err)
				complete.SSECustomerAlgorithm, complete.SSECustomerKey, complete.SSECustomerKeyMD5 = aws.String("AES256"), mine.key, mine.sum
			}
			out, err := s.CompleteMultipartUpload(t.Context(), complete)
			require.NoError(t, err)
			require.True(t, strings.HasSuffix(*out.ETag, `-2"`), *out.ETag)
			require.Equal(t, tt.name == "s3", *out.ETag == partsETag(first, second), "of MD5s with SSE-S3 only")
			listing, err := s.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: complete.Bucket, Prefix: &tt.name})
			require.NoError(t, err)
			require.Equal(t, *out.ETag, *listing.Contents[0].ETag)
			require.Equal(t, int64(len(first)+len(second)), *listing.Contents[0].Size)
			got, err := s.get(t, tt.name, tt.get)
			require.NoError(t, err)
			require.True(t, bytes.Equal(append(first[:len(first):len(first)], second...), got))
			got, err = s.get(t, tt.name, tt.get, func(in *s3.GetObjectInput) { in.PartNumber = aws.Int32(2) })
			require.NoError(t, err)
			require.True(t, bytes.Equal(second, got))
			_, err = s.get(t, tt.name, tt.get, func(in *s3.GetObjectInput) { in.PartNumber = aws.Int32(3) })
			requireAnswer(t, http.StatusRequestedRangeNotSatisfiable, "InvalidPartNumber", err)
		})
	}
}

// partsETag returns the ETag that clients expect of parts whose ETags are MD5s.
func partsETag(parts ...[]byte) string {
	var sums []byte
	for _, part := range parts {
		sum := md5.Sum(part)
		sums = append(sums, sum[:]...)
	}
	return fmt.Sprintf(`"%x-%d"`, md5.Sum(sums), len(parts))
}

func TestPartsThatAreRefused(t *testing.T) {
	s := newServer(t)
	small := s.multipart(t, "small", noCreate, noPart, random(5<<20-1), []byte("b"))
	_, err := s.CompleteMultipartUpload(t.Context(), small)
	requireAnswer(t, http.StatusBadRequest, "EntityTooSmall", err)

	complete := s.multipart(t, "cat.jpg", noCreate, noPart, random(5<<20), []byte("b"))
	right := *complete.MultipartUpload.Parts[0].ETag
	complete.MultipartUpload.Parts[0].ETag = complete.MultipartUpload.Parts[1].ETag
	_, err = s.CompleteMultipartUpload(t.Context(), complete)
	requireAnswer(t, http.StatusBadRequest, "InvalidPart", err)
	complete.MultipartUpload.Parts[0].ETag = &right
	complete.MpuObjectSize = aws.Int64(7)
	_, err = s.CompleteMultipartUpload(t.Context(), complete)
	requireAnswer(t, http.StatusBadRequest, "InvalidRequest", err)
	_, err = s.get(t, "cat.jpg")
	requireAnswer(t, http.StatusNotFound, "NoSuchKey", err)
	complete.MpuObjectSize = aws.Int64(5<<20 + 1)
	_, err = s.CompleteMultipartUpload(t.Context(), complete)
	require.NoError(t, err, "a completion that was refused can be repeated")
}

func TestChecksumsOfPartsBecomeOneOfTheObject(t *testing.T) {
	s := newServer(t)
	for _, kind := range []types.ChecksumType{types.ChecksumTypeComposite, types.ChecksumTypeFullObject} {
		complete := s.multipart(t, string(kind), func(in *s3.CreateMultipartUploadInput) {
			in.ChecksumAlgorithm, in.ChecksumType = types.ChecksumAlgorithmCrc32, kind
		}, func(in *s3.UploadPartInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32 }, random(5<<20), []byte("b"))
		wrong := *complete
		wrong.ChecksumCRC32 = aws.String("AAAAAA==")
		_, err := s.CompleteMultipartUpload(t.Context(), &wrong)
		requireAnswer(t, http.StatusBadRequest, "BadDigest", err)
		out, err := s.CompleteMultipartUpload(t.Context(), complete)
		require.NoError(t, err)
		require.NotEmpty(t, *out.ChecksumCRC32)
		head, err := s.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: complete.Bucket, Key: complete.Key, ChecksumMode: types.ChecksumModeEnabled})
		require.NoError(t, err)
		require.Equal(t, out.ChecksumCRC32, head.ChecksumCRC32)
		require.Equal(t, kind, head.ChecksumType)
	}
}

func TestCopiesBetweenModes(t *testing.T) {
	s := newServer(t)
	mine := newCustomerKey()
	body := random(3*chunk + 7)
	puts := map[string]func(*s3.PutObjectInput){"s3": func(*s3.PutObjectInput) {}, "kms": sseKMS, "mine": mine.put}
	for from, put := range puts {
		original, err := s.put(t, from, body, put)
		require.NoError(t, err)
		for to := range puts {
			key := from + " to " + to
			in := &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: &key, CopySource: aws.String(bucket + "/" + from)}
			if from == "mine" {
				_, err := s.CopyObject(t.Context(), in)
				requireAnswer(t, http.StatusBadRequest, "InvalidRequest", err)
				in.CopySourceSSECustomerAlgorithm, in.CopySourceSSECustomerKey, in.CopySourceSSECustomerKeyMD5 = aws.String("AES256"), mine.key, mine.sum
			}
			get := func(*s3.GetObjectInput) {}
			switch to {
			case "kms":
				in.ServerSideEncryption = types.ServerSideEncryptionAwsKms
			case "mine":
				in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = aws.String("AES256"), mine.key, mine.sum
				get = mine.get
			}
			out, err := s.CopyObject(t.Context(), in)
			require.NoError(t, err, key)
			require.Equal(t, from == to && from != "mine", *out.CopyObjectResult.ETag == *original.ETag, key)
			got, err := s.get(t, key, get)
			require.NoError(t, err, key)
			require.True(t, bytes.Equal(body, got), key)
		}
	}
	_, err := s.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: aws.String("s3"), CopySource: aws.String(bucket + "/s3")})
	requireAnswer(t, http.StatusBadRequest, "InvalidRequest", err)
}

func TestAPartIsCopiedFromARange(t *testing.T) {
	s := newServer(t)
	body := random(3 * chunk)
	_, err := s.put(t, "source", body, sseKMS)
	require.NoError(t, err)
	complete := s.multipart(t, "target", noCreate, noPart)
	part := &s3.UploadPartCopyInput{Bucket: complete.Bucket, Key: complete.Key, UploadId: complete.UploadId, PartNumber: aws.Int32(1),
		CopySource: aws.String(bucket + "/source"), CopySourceRange: aws.String(fmt.Sprintf("bytes=5-%d", len(body)))}
	_, err = s.UploadPartCopy(t.Context(), part)
	requireAnswer(t, http.StatusBadRequest, "InvalidArgument", err)
	part.CopySourceRange = aws.String(fmt.Sprintf("bytes=5-%d", len(body)-1))
	out, err := s.UploadPartCopy(t.Context(), part)
	require.NoError(t, err)
	require.Equal(t, types.ServerSideEncryptionAes256, out.ServerSideEncryption, "of the target")
	require.Nil(t, out.SSEKMSKeyId)
	complete.MultipartUpload.Parts = []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: out.CopyPartResult.ETag}}
	_, err = s.CompleteMultipartUpload(t.Context(), complete)
	require.NoError(t, err)
	got, err := s.get(t, "target")
	require.NoError(t, err)
	require.True(t, bytes.Equal(body[5:], got))
}

func TestBucketEncryption(t *testing.T) {
	s := newServer(t)
	set := func(rules ...types.ServerSideEncryptionRule) error {
		_, err := s.PutBucketEncryption(t.Context(), &s3.PutBucketEncryptionInput{Bucket: aws.String(bucket),
			ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: rules}})
		return err
	}
	rule := types.ServerSideEncryptionRule{BucketKeyEnabled: aws.Bool(true),
		ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryptionAwsKms},
		BlockedEncryptionTypes:             &types.BlockedEncryptionTypes{EncryptionType: []types.EncryptionType{types.EncryptionTypeSseC}}}
	requireAnswer(t, http.StatusBadRequest, "MalformedXML", set(rule, rule))
	require.NoError(t, set(rule))
	out, err := s.put(t, "cat.jpg", []byte("meow"))
	require.NoError(t, err)
	require.Equal(t, types.ServerSideEncryptionAwsKms, out.ServerSideEncryption)
	require.True(t, *out.BucketKeyEnabled)
	_, err = s.put(t, "mine", []byte("meow"), newCustomerKey().put)
	requireAnswer(t, http.StatusForbidden, "AccessDenied", err)

	_, err = s.DeleteBucketEncryption(t.Context(), &s3.DeleteBucketEncryptionInput{Bucket: aws.String(bucket)})
	require.NoError(t, err)
	got, err := s.GetBucketEncryption(t.Context(), &s3.GetBucketEncryptionInput{Bucket: aws.String(bucket)})
	require.NoError(t, err)
	now := got.ServerSideEncryptionConfiguration.Rules[0]
	require.Equal(t, types.ServerSideEncryptionAes256, now.ApplyServerSideEncryptionByDefault.SSEAlgorithm)
	require.Equal(t, rule.BlockedEncryptionTypes, now.BlockedEncryptionTypes, "what is blocked stays so")

	unsigned, err := s.http.Get(s.env["AWS_ENDPOINT_URL"] + "/" + bucket + "?encryption")
	require.NoError(t, err)
	unsigned.Body.Close()
	require.Equal(t, http.StatusForbidden, unsigned.StatusCode)
}

func TestUpdateObjectEncryption(t *testing.T) {
	s := newServer(t)
	mine := newCustomerKey()
	put, err := s.put(t, "cat.jpg", []byte("meow"))
	require.NoError(t, err)
	_, err = s.put(t, "with context", []byte("meow"), sseKMS, func(in *s3.PutObjectInput) {
		in.SSEKMSEncryptionContext = aws.String(base64.StdEncoding.EncodeToString([]byte(`{"team":"cats"}`)))
	})
	require.NoError(t, err)
	_, err = s.put(t, "mine", []byte("meow"), mine.put)
	require.NoError(t, err)
	update := func(key, arn string) error {
		_, err := s.UpdateObjectEncryption(t.Context(), &s3.UpdateObjectEncryptionInput{Bucket: aws.String(bucket), Key: &key,
			ObjectEncryption: &types.ObjectEncryptionMemberSSEKMS{Value: types.SSEKMSEncryption{KMSKeyArn: &arn}}})
		return err
	}
	const arn = "arn:aws:kms:us-east-1:123456789012:key/"
	require.NoError(t, update("cat.jpg", arn+defaultKeyID))
	head, err := s.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("cat.jpg")})
	require.NoError(t, err)
	require.Equal(t, types.ServerSideEncryptionAwsKms, head.ServerSideEncryption)
	require.Equal(t, put.ETag, head.ETag)
	got, err := s.get(t, "cat.jpg")
	require.NoError(t, err)
	require.Equal(t, "meow", string(got))
	require.NoError(t, update("with context", arn+defaultKeyID))
	require.Equal(t, kms.EncryptionContext{"team": "cats"}, s.envelope(t, "with context").Context())
	requireAnswer(t, http.StatusBadRequest, "KMS.NotFoundException", update("cat.jpg", arn+"nobody"))
	requireAnswer(t, http.StatusBadRequest, "InvalidRequest", update("mine", arn+defaultKeyID))
	requireAnswer(t, http.StatusNotFound, "NoSuchKey", update("dog.jpg", arn+defaultKeyID))
}
