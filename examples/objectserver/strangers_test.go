package main

import (
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
