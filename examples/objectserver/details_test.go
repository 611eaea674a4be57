package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime/multipart"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

func TestACopyOfPartsIsOneObject(t *testing.T) {
	s := newServer(t)
	first, second := random(5<<20), []byte("b")
	complete := s.multipart(t, "parts", noCreate, noPart, first, second)
	_, err := s.CompleteMultipartUpload(t.Context(), complete)
	require.NoError(t, err)
	out, err := s.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: aws.String("whole"), CopySource: aws.String(bucket + "/parts")})
	require.NoError(t, err)
	sum := md5.Sum(append(first[:len(first):len(first)], second...))
	require.Equal(t, `"`+hex.EncodeToString(sum[:])+`"`, *out.CopyObjectResult.ETag)
	_, err = s.get(t, "whole", func(in *s3.GetObjectInput) { in.PartNumber = aws.Int32(2) })
	requireAnswer(t, http.StatusRequestedRangeNotSatisfiable, "InvalidPartNumber", err)
}

func TestChecksums(t *testing.T) {
	s := newServer(t)
	put, err := s.put(t, "cat.jpg", []byte("meow"), sseKMS, func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256 })
	require.NoError(t, err)
	sum := sha256.Sum256([]byte("meow"))
	want := base64.StdEncoding.EncodeToString(sum[:])
	require.Equal(t, want, *put.ChecksumSHA256)
	whole := &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("cat.jpg"), ChecksumMode: types.ChecksumModeEnabled}
	got, err := s.GetObject(t.Context(), whole)
	require.NoError(t, err)
	require.NoError(t, got.Body.Close())
	require.Equal(t, want, *got.ChecksumSHA256)
	part := *whole
	part.Range = aws.String("bytes=1-")
	got, err = s.GetObject(t.Context(), &part)
	require.NoError(t, err)
	require.NoError(t, got.Body.Close())
	require.Nil(t, got.ChecksumSHA256, "that of the whole tells nothing of a part")

	_, err = s.put(t, "dog.jpg", []byte("woof"), func(in *s3.PutObjectInput) { in.ChecksumSHA256 = &want })
	requireAnswer(t, http.StatusBadRequest, "BadDigest", err)
	_, err = s.get(t, "dog.jpg")
	requireAnswer(t, http.StatusNotFound, "NoSuchKey", err)

	copied, err := s.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy.jpg"), CopySource: aws.String(bucket + "/cat.jpg"),
		ServerSideEncryption: types.ServerSideEncryptionAwsKms, ChecksumAlgorithm: types.ChecksumAlgorithmSha1})
	require.NoError(t, err)
	require.NotNil(t, copied.CopyObjectResult.ChecksumSHA1)
	attributes, err := s.GetObjectAttributes(t.Context(), &s3.GetObjectAttributesInput{Bucket: aws.String(bucket), Key: aws.String("copy.jpg"),
		ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesChecksum, types.ObjectAttributesObjectSize}})
	require.NoError(t, err)
	require.Equal(t, copied.CopyObjectResult.ChecksumSHA1, attributes.Checksum.ChecksumSHA1)
	require.Equal(t, int64(4), *attributes.ObjectSize)
}

func TestWhatIsSaidOfAnObjectIsKept(t *testing.T) {
	s := newServer(t)
	_, err := s.put(t, "cat.jpg", []byte("meow"), func(in *s3.PutObjectInput) {
		in.ContentEncoding, in.ContentType, in.Tagging = aws.String("gzip"), aws.String("image/jpeg"), aws.String("team=cats")
		in.Metadata = map[string]string{"name": "Felix"}
	})
	require.NoError(t, err)
	_, err = s.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy.jpg"), CopySource: aws.String(bucket + "/cat.jpg")})
	require.NoError(t, err)
	for _, key := range []string{"cat.jpg", "copy.jpg"} {
		head, err := s.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: &key})
		require.NoError(t, err)
		require.Equal(t, "gzip", *head.ContentEncoding, "and not how it was sent")
		require.Equal(t, "image/jpeg", *head.ContentType)
		require.Equal(t, map[string]string{"name": "Felix"}, head.Metadata)
		tags, err := s.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String(bucket), Key: &key})
		require.NoError(t, err)
		require.Equal(t, []types.Tag{{Key: aws.String("team"), Value: aws.String("cats")}}, tags.TagSet)
	}
}

func TestAConditionOfADeletionIsAboutThePlaintext(t *testing.T) {
	s := newServer(t)
	_, err := s.put(t, "cat", []byte("meow"))
	require.NoError(t, err)
	stored, err := os.Stat(s.file("cat"))
	require.NoError(t, err)
	remove := func(key string, size int64) error {
		_, err := s.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &key, IfMatchSize: &size})
		return err
	}
	for _, size := range []int64{0, 3, 5, stored.Size()} {
		requireAnswer(t, http.StatusPreconditionFailed, "PreconditionFailed", remove("cat", size))
	}
	require.NoError(t, remove("cat", 4))
	_, err = s.get(t, "cat")
	requireAnswer(t, http.StatusNotFound, "NoSuchKey", err)
	require.NoError(t, remove("cat", 4), "there is none")
}

func TestAConditionOfACopyIsAboutItsTarget(t *testing.T) {
	s := newServer(t)
	_, err := s.put(t, "cat", []byte("meow"))
	require.NoError(t, err)
	old, err := s.put(t, "dog", []byte("woof"))
	require.NoError(t, err)
	copyCat := func(key string, ifMatch, ifNoneMatch *string) error {
		_, err := s.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: &key, CopySource: aws.String(bucket + "/cat"), IfMatch: ifMatch, IfNoneMatch: ifNoneMatch})
		return err
	}
	requireAnswer(t, http.StatusPreconditionFailed, "PreconditionFailed", copyCat("dog", nil, aws.String("*")))
	requireAnswer(t, http.StatusPreconditionFailed, "PreconditionFailed", copyCat("dog", aws.String(`"0123456789abcdef0123456789abcdef"`), nil))
	requireAnswer(t, http.StatusNotFound, "NoSuchKey", copyCat("cow", old.ETag, nil))
	got, err := s.get(t, "dog")
	require.NoError(t, err)
	require.Equal(t, "woof", string(got))

	require.NoError(t, copyCat("dog", old.ETag, nil))
	got, err = s.get(t, "dog")
	require.NoError(t, err)
	require.Equal(t, "meow", string(got))
	require.NoError(t, copyCat("cow", nil, aws.String("*")))
}

func TestVersions(t *testing.T) {
	s := newServer(t)
	_, err := s.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: aws.String(bucket),
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	require.NoError(t, err)
	old, err := s.put(t, "cat.jpg", []byte("meow"))
	require.NoError(t, err)
	_, err = s.put(t, "cat.jpg", []byte("purrrr"))
	require.NoError(t, err)
	got, err := s.get(t, "cat.jpg", func(in *s3.GetObjectInput) { in.VersionId = old.VersionId })
	require.NoError(t, err)
	require.Equal(t, "meow", string(got))
	list, err := s.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String(bucket)})
	require.NoError(t, err)
	require.Equal(t, []int64{6, 4}, []int64{*list.Versions[0].Size, *list.Versions[1].Size})
}

func TestBucketKeys(t *testing.T) {
	for _, args := range [][]string{nil, {"-bucket-keys"}} {
		s := newServer(t, args...)
		out, err := s.put(t, "cat.jpg", []byte("meow"), sseKMS)
		require.NoError(t, err)
		require.Equal(t, len(args) > 0, aws.ToBool(out.BucketKeyEnabled))
		_, err = s.put(t, "dog.jpg", []byte("woof"))
		require.NoError(t, err)
		require.Equal(t, len(args) > 0, s.envelope(t, "dog.jpg").BucketKey(), "also with SSE-S3, where no answer tells")
		got, err := s.get(t, "dog.jpg")
		require.NoError(t, err)
		require.Equal(t, "woof", string(got))
		s.stop()
	}
}

// post sends a form, with fields of its own, that is signed.
func (s *server) post(t *testing.T, key string, body []byte, fields map[string]string) *http.Response {
	t.Helper()
	now := time.Now().UTC()
	date, region := now.Format("20060102"), s.env["AWS_DEFAULT_REGION"]
	all := map[string]string{"key": key, "x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-date": now.Format("20060102T150405Z"),
		"x-amz-credential": s.env["AWS_ACCESS_KEY_ID"] + "/" + date + "/" + region + "/s3/aws4_request"}
	for name, value := range fields {
		all[name] = value
	}
	policy := fmt.Sprintf(`{"expiration":%q,"conditions":[{"bucket":%q}`, now.Add(time.Hour).Format(time.RFC3339), bucket)
	for name, value := range all {
		policy += fmt.Sprintf(`,{%q:%q}`, name, value)
	}
	all["policy"] = base64.StdEncoding.EncodeToString([]byte(policy + "]}"))
	signature := []byte("AWS4" + s.env["AWS_SECRET_ACCESS_KEY"])
	for _, text := range []string{date, region, "s3", "aws4_request", all["policy"]} {
		mac := hmac.New(sha256.New, signature)
		mac.Write([]byte(text))
		signature = mac.Sum(nil)
	}
	all["x-amz-signature"] = hex.EncodeToString(signature)
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for name, value := range all {
		require.NoError(t, w.WriteField(name, value))
	}
	file, err := w.CreateFormFile("file", "cat.jpg")
	require.NoError(t, err)
	_, err = file.Write(body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	form.WriteString("what comes behind a form is passed over")
	answer, err := s.http.Post(s.env["AWS_ENDPOINT_URL"]+"/"+bucket, w.FormDataContentType(), &form)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer
}

func TestForms(t *testing.T) {
	s := newServer(t)
	mine := newCustomerKey()
	body := random(3*chunk + 5)
	const prefix = "x-amz-server-side-encryption"
	answer := s.post(t, "s3", body, nil)
	require.Equal(t, http.StatusNoContent, answer.StatusCode)
	require.Equal(t, "AES256", answer.Header.Get(prefix))
	answer = s.post(t, "kms", body, map[string]string{prefix: "aws:kms"})
	require.Equal(t, http.StatusNoContent, answer.StatusCode)
	require.Equal(t, defaultKeyID, answer.Header.Get(prefix+"-aws-kms-key-id"))
	answer = s.post(t, "mine", body, map[string]string{prefix + "-customer-algorithm": "AES256", prefix + "-customer-key": *mine.key, prefix + "-customer-key-md5": *mine.sum})
	require.Equal(t, http.StatusNoContent, answer.StatusCode)
	require.Equal(t, http.StatusBadRequest, s.post(t, "no", body, map[string]string{prefix: "aes:kms"}).StatusCode)
	for key, get := range map[string]func(*s3.GetObjectInput){"s3": func(*s3.GetObjectInput) {}, "kms": func(*s3.GetObjectInput) {}, "mine": mine.get} {
		got, err := s.get(t, key, get)
		require.NoError(t, err)
		require.True(t, bytes.Equal(body, got), key)
	}
	_, err := s.get(t, "mine")
	requireAnswer(t, http.StatusBadRequest, "InvalidRequest", err)
	_, err = s.get(t, "no")
	requireAnswer(t, http.StatusNotFound, "NoSuchKey", err)
}
