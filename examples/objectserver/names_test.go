package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

// outside makes a directory beside that of the objects, with a file in it.
func (s *server) outside(t *testing.T) string {
	t.Helper()
	file := filepath.Join(s.dir, "outside", "file")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, []byte("mine"), 0o600))
	return file
}

func TestUploadIDIsNoPath(t *testing.T) {
	s := newServer(t)
	file := s.outside(t)
	out, err := s.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("cat")})
	require.NoError(t, err)
	other := fmt.Sprintf("../%x/%s", sha256.Sum256([]byte("cat")), *out.UploadId)
	for _, id := range []string{"../../../../../outside", "..", "../..", other, *out.UploadId + "/", "a\x00b"} {
		_, err := s.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("dog"), UploadId: &id})
		requireAnswer(t, 404, "NoSuchUpload", err)
		_, err = s.ListParts(t.Context(), &s3.ListPartsInput{Bucket: aws.String(bucket), Key: aws.String("dog"), UploadId: &id})
		requireAnswer(t, 404, "NoSuchUpload", err)
		_, err = s.UploadPart(t.Context(), &s3.UploadPartInput{
			Bucket: aws.String(bucket), Key: aws.String("dog"), UploadId: &id, PartNumber: aws.Int32(1), Body: strings.NewReader("meow"),
		})
		requireAnswer(t, 404, "NoSuchUpload", err)
		parts := &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: aws.String("x"), PartNumber: aws.Int32(1)}}}
		_, err = s.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
			Bucket: aws.String(bucket), Key: aws.String("dog"), UploadId: &id, MultipartUpload: parts,
		})
		requireAnswer(t, 404, "NoSuchUpload", err)
	}
	require.FileExists(t, file)
	_, err = s.ListParts(t.Context(), &s3.ListPartsInput{Bucket: aws.String(bucket), Key: aws.String("cat"), UploadId: out.UploadId})
	require.NoError(t, err)
	_, err = s.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("cat"), UploadId: out.UploadId})
	require.NoError(t, err)
}

func TestDeleteObjectsStaysInTheBucket(t *testing.T) {
	s := newServer(t)
	file := s.outside(t)
	remove := func(keys ...string) error {
		in := &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: new(types.Delete)}
		for _, key := range keys {
			in.Delete.Objects = append(in.Delete.Objects, types.ObjectIdentifier{Key: &key})
		}
		_, err := s.DeleteObjects(t.Context(), in)
		return err
	}
	_, err := s.put(t, "cat", []byte("meow"))
	require.NoError(t, err)
	for _, key := range []string{"../../outside/file", "a/../../../outside/file", "..", ".", "a/../b"} {
		requireAnswer(t, 400, "400", remove("cat", key))
	}
	require.FileExists(t, file)
	_, err = s.get(t, "cat")
	require.NoError(t, err)
	require.NoError(t, remove("cat", "b"))
	_, err = s.get(t, "cat")
	requireAnswer(t, 404, "NoSuchKey", err)
}

// A second name of a file would be another object to those who count versions by the key, and to the encryption.
func TestAFileHasOneKey(t *testing.T) {
	s := newServer(t)
	_, err := s.put(t, "a/b", []byte("meow"))
	require.NoError(t, err)
	for _, key := range []string{"a//b", "a/./b", "/a/b", "./a/b", "a/b//", "a/b/."} {
		_, err := s.put(t, key, []byte("purr"))
		requireAnswer(t, 400, "400", err)
		_, err = s.get(t, key)
		requireAnswer(t, 400, "400", err)
		_, err = s.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy"), CopySource: aws.String(bucket + "/" + key)})
		requireAnswer(t, 400, "400", err)
	}
	got, err := s.get(t, "a/b")
	require.NoError(t, err)
	require.Equal(t, "meow", string(got))
}
