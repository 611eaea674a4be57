package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

// keepVersions makes a bucket keep versions, of which an object then has two.
func (s *server) keepVersions(t *testing.T, key string) (older string) {
	t.Helper()
	_, err := s.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: aws.String(bucket), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	require.NoError(t, err)
	out, err := s.put(t, key, []byte("meow"))
	require.NoError(t, err)
	_, err = s.put(t, key, []byte("purr"))
	require.NoError(t, err)
	return *out.VersionId
}

func TestVersionIDIsNoPath(t *testing.T) {
	s := newServer(t)
	older := s.keepVersions(t, "cat")
	file := filepath.Join(s.dir, "f")
	require.NoError(t, os.WriteFile(file, []byte("mine"), 0o600))
	for _, id := range []string{
		strings.Repeat("../", 6) + "///////f", strings.Repeat("../", 6) + "root.key", "../../../../../tls/ca.pem/", strings.Repeat("a", 25) + "/", "..",
	} {
		const code = "InvalidArgument"
		_, err := s.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("cat"), VersionId: &id})
		requireAnswer(t, http.StatusBadRequest, code, err)
		_, err = s.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{
			Bucket: aws.String(bucket), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("cat"), VersionId: &id}}},
		})
		requireAnswer(t, http.StatusBadRequest, code, err)
		_, err = s.get(t, "cat", func(in *s3.GetObjectInput) { in.VersionId = &id })
		requireAnswer(t, http.StatusBadRequest, code, err)
		_, err = s.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("cat"), VersionId: &id})
		requireAnswer(t, http.StatusBadRequest, code, err)
		_, err = s.CopyObject(t.Context(), &s3.CopyObjectInput{
			Bucket: aws.String(bucket), Key: aws.String("dog"), CopySource: aws.String(bucket + "/cat?versionId=" + id),
		})
		requireAnswer(t, http.StatusBadRequest, code, err)
	}
	require.FileExists(t, file)
	require.FileExists(t, filepath.Join(s.dir, "root.key"))

	got, err := s.get(t, "cat", func(in *s3.GetObjectInput) { in.VersionId = &older })
	require.NoError(t, err)
	require.Equal(t, "meow", string(got))
	_, err = s.CopyObject(t.Context(), &s3.CopyObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("dog"), CopySource: aws.String(bucket + "/cat?versionId=" + older),
	})
	require.NoError(t, err)
	_, err = s.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{
		Bucket: aws.String(bucket), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("cat"), VersionId: &older}}},
	})
	require.NoError(t, err)
	_, err = s.get(t, "cat", func(in *s3.GetObjectInput) { in.VersionId = &older })
	requireAnswer(t, http.StatusNotFound, "NoSuchVersion", err)
}

func TestPartsAreNoObjects(t *testing.T) {
	s := newServer(t)
	_, err := s.put(t, "cat", []byte("meow"))
	require.NoError(t, err)
	for _, key := range []string{".sgwtmp/multipart/a/b/1", ".sgwtmp", "a/.sgwtmp/b", "a\x00b"} {
		_, err := s.put(t, key, []byte("meow"))
		requireAnswer(t, http.StatusBadRequest, "400", err)
		_, err = s.get(t, key)
		requireAnswer(t, http.StatusBadRequest, "400", err)
		source := bucket + "/" + url.QueryEscape(key)
		_, err = s.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: aws.String("dog"), CopySource: &source})
		requireAnswer(t, http.StatusBadRequest, "400", err)
		require.Equal(t, http.StatusBadRequest, s.post(t, key, []byte("meow"), nil).StatusCode)
		if strings.Contains(key, "\x00") {
			continue // no XML
		}
		_, err = s.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{
			Bucket: aws.String(bucket), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: &key}, {Key: aws.String("cat")}}},
		})
		requireAnswer(t, http.StatusBadRequest, "400", err)
	}
	_, err = s.put(t, ".sgwtmp2", []byte("meow"))
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, s.post(t, ".sgwtmp2", []byte("meow"), nil).StatusCode)
	_, err = s.get(t, "cat")
	require.NoError(t, err)
}
