package main

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/objectkms/kms/encryption"
)

const chunk = 16 << 10 // of plaintext, in a stored body

// customerKey is a client's own key, as headers have it.
type customerKey struct{ key, sum *string }

func newCustomerKey() customerKey {
	key := make([]byte, 32)
	rand.Read(key)
	sum := md5.Sum(key)
	return customerKey{aws.String(base64.StdEncoding.EncodeToString(key)), aws.String(base64.StdEncoding.EncodeToString(sum[:]))}
}

func (c customerKey) put(in *s3.PutObjectInput) {
	in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = aws.String("AES256"), c.key, c.sum
}

func (c customerKey) get(in *s3.GetObjectInput) {
	in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = aws.String("AES256"), c.key, c.sum
}

func sseKMS(in *s3.PutObjectInput) { in.ServerSideEncryption = types.ServerSideEncryptionAwsKms }

func random(size int) []byte {
	b := make([]byte, size)
	rand.Read(b)
	return b
}

func TestObjectsOfEveryMode(t *testing.T) {
	s := newServer(t)
	mine := newCustomerKey()
	read := func(in *s3.GetObjectInput) { in.ChecksumMode = types.ChecksumModeEnabled }
	modes := []struct {
		name    string
		put     func(*s3.PutObjectInput)
		get     func(*s3.GetObjectInput)
		answers types.ServerSideEncryption
	}{
		{"s3", func(*s3.PutObjectInput) {}, read, types.ServerSideEncryptionAes256},
		{"kms", sseKMS, read, types.ServerSideEncryptionAwsKms},
		{"mine", mine.put, mine.get, ""},
	}
	for _, mode := range modes {
		for _, size := range []int{0, 1, chunk, chunk + 1, 200_003} {
			key, body := fmt.Sprint(mode.name, "/", size), random(size)
			out, err := s.put(t, key, body, mode.put)
			require.NoError(t, err)
			require.Equal(t, mode.answers, out.ServerSideEncryption)
			sum := md5.Sum(body)
			isMD5 := strings.Trim(*out.ETag, `"`) == hex.EncodeToString(sum[:])
			require.Equal(t, mode.name == "s3", isMD5, "an ETag is an MD5 with SSE-S3 only")
			got, err := s.get(t, key, mode.get)
			require.NoError(t, err)
			require.True(t, bytes.Equal(body, got), "%s: %d bytes", key, len(got))
			if size > 0 {
				got, err = s.get(t, key, mode.get, func(in *s3.GetObjectInput) { in.Range = aws.String(fmt.Sprintf("bytes=%d-", size/2)) })
				require.NoError(t, err)
				require.True(t, bytes.Equal(body[size/2:], got), key)
			}
			stored, err := os.ReadFile(s.file(key))
			require.NoError(t, err)
			require.Greater(t, len(stored), size)
			require.False(t, size > 100 && bytes.Contains(stored, body[:100]), "plaintext on disk")
		}
		list, err := s.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: aws.String(mode.name + "/200003")})
		require.NoError(t, err)
		require.Equal(t, int64(200_003), *list.Contents[0].Size)
	}
}

func TestARestartServesTheSameObjectsToTheSameClients(t *testing.T) {
	s := newServer(t)
	_, err := s.put(t, "cat.jpg", []byte("meow"))
	require.NoError(t, err)
	s.stop()
	again := start(t, s.dir)
	require.Equal(t, s.env["AWS_SECRET_ACCESS_KEY"], again.env["AWS_SECRET_ACCESS_KEY"])
	got, err := again.get(t, "cat.jpg")
	require.NoError(t, err)
	require.Equal(t, "meow", string(got))
}

func TestCustomerKeysThatDoNotFit(t *testing.T) {
	s := newServer(t)
	mine, other := newCustomerKey(), newCustomerKey()
	_, err := s.put(t, "mine", []byte("meow"), mine.put)
	require.NoError(t, err)
	_, err = s.put(t, "shared", []byte("meow"))
	require.NoError(t, err)
	_, err = s.get(t, "mine")
	requireAnswer(t, http.StatusBadRequest, "InvalidRequest", err)
	_, err = s.get(t, "mine", other.get)
	requireAnswer(t, http.StatusForbidden, "AccessDenied", err)
	_, err = s.get(t, "shared", mine.get)
	requireAnswer(t, http.StatusBadRequest, "InvalidRequest", err)
	_, err = s.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("mine")})
	requireAnswer(t, http.StatusBadRequest, "", err)
	_, err = s.put(t, "both", []byte("meow"), mine.put, sseKMS)
	requireAnswer(t, http.StatusBadRequest, "InvalidArgument", err)
	_, err = s.put(t, "no key", []byte("meow"), sseKMS, func(in *s3.PutObjectInput) { in.SSEKMSKeyId = aws.String("nobody") })
	requireAnswer(t, http.StatusBadRequest, "KMS.NotFoundException", err)
}

func TestWhatWasTamperedWithIsNeverAShortSuccess(t *testing.T) {
	s := newServer(t)
	body := random(40 * chunk)
	tests := []struct {
		name   string
		change func(t *testing.T, path string)
		status int // of an answer, or 0 where it breaks off
	}{
		{"first chunk", flip(100), http.StatusInternalServerError},
		{"header", flip(3), http.StatusInternalServerError},
		{"middle", flip(20 * chunk), 0},
		{"last byte", flip(-1), 0},
		{"cut", func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 30*chunk)) }, http.StatusInternalServerError},
		{"no envelope", func(t *testing.T, path string) { require.NoError(t, unix.Removexattr(path, "user."+envelopeAttribute)) }, http.StatusInternalServerError},
		{"plaintext in its place", func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.WriteFile(path, body, 0o600))
		}, http.StatusInternalServerError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.put(t, "cat.jpg", body)
			require.NoError(t, err)
			_, err = s.get(t, "cat.jpg")
			require.NoError(t, err)
			tt.change(t, s.file("cat.jpg"))
			var logged bytes.Buffer
			log.SetOutput(&logged)
			got, err := s.get(t, "cat.jpg")
			log.SetOutput(os.Stderr)
			require.Error(t, err)
			require.Contains(t, logged.String(), `GET "/photos/cat.jpg": decryption failed`, "the log tells which object it is")
			require.True(t, bytes.HasPrefix(body, got), "what was released is authentic")
			if tt.status != 0 {
				requireAnswer(t, tt.status, "InternalError", err)
			} else {
				require.ErrorContains(t, err, "unexpected EOF")
			}
			list, err := s.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
			require.NoError(t, err, "others are listed all the same")
			require.Len(t, list.Contents, 1)
		})
	}
}

// flip changes a bit of the byte at an offset, from the end if it is negative.
func flip(at int) func(t *testing.T, path string) {
	return func(t *testing.T, path string) {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		content[(at+len(content))%len(content)] ^= 1
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteAt(content, 0)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
}

func TestClientsCannotWriteTheEnvelope(t *testing.T) {
	s := newServer(t)
	_, err := s.put(t, "cat.jpg", []byte("meow"), func(in *s3.PutObjectInput) {
		in.Metadata = map[string]string{envelopeAttribute: "x", "x-amz-meta-" + envelopeAttribute: "y"}
	})
	require.NoError(t, err)
	got, err := s.get(t, "cat.jpg")
	require.NoError(t, err)
	require.Equal(t, "meow", string(got))
	require.Equal(t, encryption.SSES3, s.envelope(t, "cat.jpg").Mode())
}

// envelope reads what lies beside an object.
func (s *server) envelope(t *testing.T, key string) *encryption.Envelope {
	t.Helper()
	text := make([]byte, 4096)
	n, err := unix.Getxattr(s.file(key), "user."+envelopeAttribute, text)
	require.NoError(t, err)
	env := new(encryption.Envelope)
	require.NoError(t, env.UnmarshalText(text[:n]))
	return env
}

func TestAnUploadThatBreaksOffLeavesNothing(t *testing.T) {
	s := newServer(t, "-tls=false")
	signer := s3.NewPresignClient(s.Client)
	put, err := signer.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("cat.jpg"), ContentLength: aws.Int64(100_000)})
	require.NoError(t, err)
	s.breakOff(t, put.URL)
	_, err = s.get(t, "cat.jpg")
	requireAnswer(t, http.StatusNotFound, "NoSuchKey", err)

	upload, err := s.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("cat.jpg")})
	require.NoError(t, err)
	part, err := signer.PresignUploadPart(t.Context(), &s3.UploadPartInput{Bucket: upload.Bucket, Key: upload.Key, UploadId: upload.UploadId,
		PartNumber: aws.Int32(1), ContentLength: aws.Int64(100_000)})
	require.NoError(t, err)
	s.breakOff(t, part.URL)
	parts, err := s.ListParts(t.Context(), &s3.ListPartsInput{Bucket: upload.Bucket, Key: upload.Key, UploadId: upload.UploadId})
	require.NoError(t, err)
	require.Empty(t, parts.Parts)
}

// breakOff sends 20,000 of 100,000 bytes to a URL.
func (s *server) breakOff(t *testing.T, url string) {
	t.Helper()
	address := strings.TrimPrefix(s.env["AWS_ENDPOINT_URL"], "http://")
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	path := strings.TrimPrefix(url, "http://"+address)
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 100000\r\n\r\n%s", path, address, random(20_000))
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	answer, _ := http.ReadResponse(bufio.NewReader(conn), nil)
	if answer != nil {
		require.NotEqual(t, http.StatusOK, answer.StatusCode)
		answer.Body.Close()
	}
	require.NoError(t, conn.Close())
}

func TestCustomerKeysNeedTLS(t *testing.T) {
	s := newServer(t, "-tls=false")
	require.NotContains(t, s.env, "AWS_CA_BUNDLE")
	_, err := s.put(t, "shared", []byte("meow"))
	require.NoError(t, err)
	_, err = s.put(t, "mine", []byte("meow"), newCustomerKey().put)
	requireAnswer(t, http.StatusBadRequest, "InvalidRequest", err)
}

func TestWithoutEncryptionThePlaintextLiesThere(t *testing.T) {
	s := newServer(t, "-encryption=off")
	_, err := s.put(t, "cat.jpg", []byte("meow"))
	require.NoError(t, err)
	stored, err := os.ReadFile(s.file("cat.jpg"))
	require.NoError(t, err)
	require.Equal(t, "meow", string(stored))
}

func TestArgumentsThatAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-encryption=maybe"}, {"-encryption=off", "-listen", "0.0.0.0:0"}, {"-encryption=off", "-listen", ":0"}, {"-encryption=off", "-listen", "example.org:0"},
		{"-dir", filepath.Join(os.DevNull, "x")}, {"more"}, {"-listen", "nowhere"}, {"-unknown"},
		{"-listen", "127.0.0.1:0", "-vault-token-file", "token"}, {"-listen", "127.0.0.1:0", "-vault", "https://127.0.0.1:1"}} {
		t.Chdir(t.TempDir())
		require.Error(t, run(t.Context(), args, new(bytes.Buffer)), args)
	}
}
