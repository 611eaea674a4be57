package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"
)

const bucket = "photos"

// server is one that runs in this process. There can be one at a time.
type server struct {
	*s3.Client
	dir  string
	env  map[string]string
	http *http.Client
	stop func()
}

// start serves a directory until the test ends, or stop is called.
func start(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	t.Chdir(t.TempDir()) // the gateway changes it
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, append([]string{"-dir", dir, "-listen", "127.0.0.1:0"}, args...), write)
		write.Close()
	}()
	lines := bufio.NewScanner(read)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "ready ") {
	}
	stopped := false
	s := &server{dir: dir, env: clientEnv(t, dir)}
	s.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(s.stop)
	require.Equal(t, "ready "+s.env["AWS_ENDPOINT_URL"], lines.Text())
	s.connect(t)
	return s
}

// clientEnv reads what a shell would.
func clientEnv(t *testing.T, dir string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "client.env"))
	require.NoError(t, err)
	env := map[string]string{}
	exports, ok := strings.CutPrefix(string(text), "unset AWS_PROFILE AWS_SESSION_TOKEN\n")
	require.True(t, ok, "a shell may have them from elsewhere")
	for line := range strings.Lines(exports) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		require.True(t, ok, line)
		env[name] = strings.Trim(value, "'")
	}
	return env
}

// connect makes the clients of S3 and of HTTP.
func (s *server) connect(t *testing.T) {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if ca := s.env["AWS_CA_BUNDLE"]; ca != "" {
		pem, err := os.ReadFile(ca)
		require.NoError(t, err)
		transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		require.True(t, transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem))
	}
	t.Cleanup(transport.CloseIdleConnections)
	s.http = &http.Client{Transport: transport}
	s.Client = s3.New(s3.Options{
		BaseEndpoint: aws.String(s.env["AWS_ENDPOINT_URL"]), Region: s.env["AWS_DEFAULT_REGION"], UsePathStyle: true, HTTPClient: s.http, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: s.env["AWS_ACCESS_KEY_ID"], SecretAccessKey: s.env["AWS_SECRET_ACCESS_KEY"]}, nil
		}),
	})
}

// newServer starts a server with a bucket in it.
func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := start(t, t.TempDir(), args...)
	_, err := s.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	require.NoError(t, err)
	return s
}

// put stores an object as the changes say.
func (s *server) put(t *testing.T, key string, body []byte, changes ...func(*s3.PutObjectInput)) (*s3.PutObjectOutput, error) {
	t.Helper()
	in := &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(body)}
	for _, change := range changes {
		change(in)
	}
	return s.PutObject(t.Context(), in)
}

// get reads an object, or the part of it that the changes say. An answer that breaks off is an error.
func (s *server) get(t *testing.T, key string, changes ...func(*s3.GetObjectInput)) ([]byte, error) {
	t.Helper()
	in := &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key}
	for _, change := range changes {
		change(in)
	}
	out, err := s.GetObject(t.Context(), in)
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

// file returns where an object lies.
func (s *server) file(key string) string { return filepath.Join(s.dir, "objects", bucket, key) }

// requireAnswer checks the status and the code of an error.
func requireAnswer(t *testing.T, status int, code string, err error) {
	t.Helper()
	require.Error(t, err)
	var response *smithyhttp.ResponseError
	require.ErrorAs(t, err, &response)
	require.Equal(t, status, response.HTTPStatusCode(), err)
	if code == "" {
		return // of a HEAD
	}
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, code, api.ErrorCode(), err)
}
