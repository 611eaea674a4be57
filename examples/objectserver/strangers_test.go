package main

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

func TestBodyOfAStrangerIsNotRead(t *testing.T) {
	s := newServer(t)
	const size = 64 << 20
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.env["KMS_ADMIN_URL"]+"/kms/keys", strings.NewReader(strings.Repeat("x", size)))
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if response, err := s.http.Do(request); err == nil { // else the server has hung up
		require.Equal(t, http.StatusUnauthorized, response.StatusCode)
		require.NoError(t, response.Body.Close())
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size/2))
}

func TestConfigurationsAreShort(t *testing.T) {
	s := newServer(t)
	set := func(length int) error {
		rule := types.ServerSideEncryptionRule{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{
			SSEAlgorithm: types.ServerSideEncryptionAwsKms, KMSMasterKeyID: aws.String(strings.Repeat("k", length)),
		}}
		_, err := s.PutBucketEncryption(t.Context(), &s3.PutBucketEncryptionInput{Bucket: aws.String(bucket),
			ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{rule}}})
		return err
	}
	require.NoError(t, set(9))
	requireAnswer(t, http.StatusBadRequest, "MalformedXML", set(60<<10))
	requireAnswer(t, http.StatusBadRequest, "MaxMessageLengthExceeded", set(64<<10))

	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.env["AWS_ENDPOINT_URL"]+"/"+bucket+"?encryption", strings.NewReader("<a/>"))
	require.NoError(t, err)
	request.ContentLength = -1 // so that it comes in chunks
	response, err := s.http.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusLengthRequired, response.StatusCode)
}

func TestAPublicBucketDoesNotMakeKeysPublic(t *testing.T) {
	s := newServer(t)
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::` + bucket + `/*"}]}`
	_, err := s.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String(bucket), Policy: &policy})
	require.NoError(t, err)
	_, err = s.put(t, "mine", []byte("meow"), sseKMS)
	require.NoError(t, err)
	_, err = s.put(t, "ours", []byte("meow"))
	require.NoError(t, err)
	call := func(method, key string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), method, s.env["AWS_ENDPOINT_URL"]+"/"+bucket+"/"+key, nil)
		require.NoError(t, err)
		response, err := s.http.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
	status, body := call(http.MethodGet, "mine")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "<Code>InvalidArgument</Code>")
	status, _ = call(http.MethodHead, "mine")
	require.Equal(t, http.StatusBadRequest, status)
	status, body = call(http.MethodGet, "ours")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "meow", body)

	got, err := s.get(t, "mine")
	require.NoError(t, err)
	require.Equal(t, "meow", string(got))
	signed, err := s3.NewPresignClient(s.Client).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("mine")})
	require.NoError(t, err)
	response, err := s.http.Get(signed.URL)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode, "signed in the URL")
}
