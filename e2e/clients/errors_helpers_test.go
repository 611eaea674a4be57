package clients

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/clients/s3client"
	"github.com/objectkms/kms/e2e/clients/server"
)

// An answer is what the server says to a request that it refuses.
type answer struct {
	Status        int `xml:"-"`
	Code, Message string
	ArgumentName  string
	ArgumentValue string
}

// A recorder is a transport that keeps the last answer, with all elements of its document: SDKs show only two of them.
type recorder struct {
	http.RoundTripper
	last   answer
	header http.Header
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	r.header = resp.Header
	r.last, err = readAnswer(resp)
	return resp, err
}

// readAnswer reads the document of an error, and leaves it for who reads it next.
func readAnswer(resp *http.Response) (answer, error) {
	a := answer{Status: resp.StatusCode}
	if resp.StatusCode < 300 {
		return a, nil
	}
	document, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(document))
	if len(document) > 0 {
		err = xml.Unmarshal(document, &a)
	}
	return a, err
}

// headers are set on a request before it is signed. An empty value takes a header away.
type headers map[string]string

// The beginnings of the names of headers.
const (
	hSSE      = "x-amz-server-side-encryption"
	hKeyID    = hSSE + "-aws-kms-key-id"
	hContext  = hSSE + "-context"
	hCustomer = hSSE + "-customer-"
	hSource   = "x-amz-copy-source-server-side-encryption-customer-"
)

// and returns the headers and others.
func (h headers) and(more headers) headers {
	all := maps.Clone(h)
	maps.Copy(all, more)
	return all
}

// customer returns the three headers of a customer key, with names that begin with prefix.
func customer(prefix, key string) headers {
	return headers{
		prefix + "algorithm": "AES256", prefix + "key": base64.StdEncoding.EncodeToString([]byte(key)), prefix + "key-MD5": s3client.KeyMD5(key),
	}
}

// set is an option of a call of aws-sdk-go-v2.
func (h headers) set(o *s3.Options) {
	step := middleware.FinalizeMiddlewareFunc("headers", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		request := in.Request.(*smithyhttp.Request)
		for name, value := range h {
			request.Header.Del(name)
			if value != "" {
				request.Header.Set(name, value)
			}
		}
		return next.HandleFinalize(ctx, in)
	})
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(step, "Signing", middleware.Before)
	})
}

// post sends a form, as a browser does, and returns the answer. Its fields are part of the policy, which is signed.
func post(t testing.TB, s *server.Server, o s3client.Object, body []byte, fields headers) (answer, http.Header) {
	t.Helper()
	at := endpoint(s)
	now := time.Now().UTC()
	scope := now.Format("20060102") + "/" + at.Region + "/s3/aws4_request"
	all := fields.and(headers{
		"key": o.Key, "x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": at.AccessKey + "/" + scope, "x-amz-date": now.Format("20060102T150405Z"),
	})
	conditions := []any{map[string]string{"bucket": o.Bucket}}
	for name, value := range all {
		conditions = append(conditions, map[string]string{name: value})
	}
	document, err := json.Marshal(map[string]any{"expiration": now.Add(time.Minute).Format(time.RFC3339), "conditions": conditions})
	require.NoError(t, err)
	all["policy"] = base64.StdEncoding.EncodeToString(document)
	all["x-amz-signature"] = signature(at.SecretKey, now.Format("20060102"), at.Region, all["policy"])

	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for name, value := range all {
		require.NoError(t, w.WriteField(name, value))
	}
	file, err := w.CreateFormFile("file", "file")
	require.NoError(t, err)
	_, err = file.Write(body)
	require.NoError(t, err)
	require.NoError(t, w.Close())

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at.URL+"/"+o.Bucket, &form)
	require.NoError(t, err)
	req.Header.Set("Content-Type", w.FormDataContentType())
	resp, err := s.HTTP(t).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	a, err := readAnswer(resp)
	require.NoError(t, err)
	return a, resp.Header
}

// signature is that of signature version 4 for a policy.
func signature(secret, date, region, policy string) string {
	key := []byte("AWS4" + secret)
	for _, part := range []string{date, region, "s3", "aws4_request", policy} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}
