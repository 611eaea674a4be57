// Package clients lets the S3 clients that people use work on a real S3 server that encrypts with this library.
package clients

import (
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/clients/s3client"
	"github.com/objectkms/kms/e2e/clients/server"
	"github.com/objectkms/kms/e2e/testenv"
)

func TestMain(m *testing.M) { server.Main(m) }

// backends are where a server has its keys.
var backends = []struct {
	name  string
	start func(t testing.TB, more ...string) *server.Server
}{
	{"local", startLocal},
	{"Vault", startVault},
}

func startLocal(t testing.TB, more ...string) *server.Server {
	t.Helper()
	return server.Start(t, server.Options{More: more})
}

// startVault starts a server over a Vault of its own.
func startVault(t testing.TB, more ...string) *server.Server {
	t.Helper()
	v := testenv.StartServer(t, testenv.ServerOptions{})
	v.DefaultMounts(t)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte(v.RootToken()), 0o600))
	return server.Start(t, server.Options{More: append([]string{"-vault", v.URL(), "-vault-token-file", token}, more...)})
}

// kinds are all clients. The tools of the command line are slow: most of the time it is Python that starts.
var kinds = []struct {
	name string
	tool bool // starts a process for every call
	open func(t *testing.T, s *server.Server) (s3client.Client, error)
}{
	{"aws-sdk-go-v2", false, func(t *testing.T, s *server.Server) (s3client.Client, error) { return awsSDK(t, s), nil }},
	{"minio-go", false, func(t *testing.T, s *server.Server) (s3client.Client, error) {
		return s3client.NewMinio(endpoint(s), s.Transport(t))
	}},
	{"boto3", false, func(t *testing.T, s *server.Server) (s3client.Client, error) {
		c, err := s3client.NewBoto3(endpoint(s), t.TempDir())
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return c, err
	}},
	{"rclone", true, func(t *testing.T, s *server.Server) (s3client.Client, error) {
		return s3client.NewRclone(endpoint(s), t.TempDir())
	}},
	{"s3cmd", true, func(t *testing.T, s *server.Server) (s3client.Client, error) {
		return s3client.NewS3cmd(endpoint(s), t.TempDir())
	}},
	{"aws-cli", true, func(t *testing.T, s *server.Server) (s3client.Client, error) {
		return s3client.NewAWSCLI(endpoint(s), t.TempDir())
	}},
}

// awsSDK returns the client that tests use for what is not about the client.
func awsSDK(t testing.TB, s *server.Server) *s3client.AWS {
	t.Helper()
	return s3client.NewAWS(endpoint(s), s.Transport(t))
}

// orSkip skips a test of a tool that is not here.
func orSkip(t *testing.T, c s3client.Client, err error) s3client.Client {
	t.Helper()
	if errors.Is(err, s3client.ErrAbsent) {
		t.Skip(err)
	}
	require.NoError(t, err)
	return c
}

func endpoint(s *server.Server) s3client.Endpoint {
	return s3client.Endpoint{
		URL: s.URL, AccessKey: s.Env["AWS_ACCESS_KEY_ID"], SecretKey: s.Env["AWS_SECRET_ACCESS_KEY"],
		Region: s.Env["AWS_DEFAULT_REGION"], CAFile: s.Env["AWS_CA_BUNDLE"],
	}
}

func makeBucket(t testing.TB, s *server.Server, bucket string) {
	t.Helper()
	require.NoError(t, awsSDK(t, s).MakeBucket(t.Context(), bucket))
}

// newCustomerKey returns 32 random characters.
func newCustomerKey() string { return (rand.Text() + rand.Text())[:32] }

// randomBody returns bytes that nothing can compress, the same ones for the same seed.
func randomBody(seed uint64, size int) []byte {
	body := make([]byte, size)
	mathrand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(body)
	return body
}
