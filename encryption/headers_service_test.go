package encryption_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

const keyPrefix = "arn:aws:kms:eu-1:12:key/"

// exchange writes an object as the headers of a PUT say, reads and copies it, and returns the headers of the three responses.
func exchange(t *testing.T, svc *encryption.Service, request http.Header) (put, get, copyResponse http.Header) {
	t.Helper()
	put, get, copyResponse = make(http.Header), make(http.Header), make(http.Header)
	parse := func() *encryption.Request {
		req, err := encryption.ParseWriteHeaders(request, trusted, encryption.BucketDefault{})
		require.NoError(t, err)
		return req
	}
	read := func() *encryption.Request {
		req := new(encryption.Request)
		if req.CustomerKey = parse().CustomerKey; req.CustomerKey != nil {
			req.Mode = encryption.SSEC
		}
		return req
	}
	object, err := svc.EncryptStream(t.Context(), photo, parse(), strings.NewReader("meow"))
	require.NoError(t, err)
	var body bytes.Buffer
	_, err = object.WriteTo(&body)
	require.NoError(t, err)
	object.WriteHeaders(put)
	env, err := object.Envelope()
	require.NoError(t, err)

	opened, err := svc.OpenObject(t.Context(), photo, env, read(), int64(body.Len()))
	require.NoError(t, err)
	require.NoError(t, opened.Close())
	opened.WriteHeaders(get)

	target := parse()
	env, err = svc.Rewrap(t.Context(), photo, env, read(), encryption.ObjectID{Bucket: "archive", Key: "cat.jpg"}, target)
	require.NoError(t, err)
	svc.WriteCopyHeaders(copyResponse, env, target)
	return put, get, copyResponse
}

func TestHeadersOfResponses(t *testing.T) {
	customer := withKey(headers(), hCustomer, testCustomerKey)
	echoed := headers(hCustomer+"Algorithm", "AES256", hCustomer+"Key-Md5", customer.Get(hCustomer+"Key-Md5"))
	context := base64Of(`{"a":"b"}`)
	tests := []struct {
		name              string
		request, put, get http.Header
	}{
		{"nothing", headers(), headers(hSSE, "AES256"), headers(hSSE, "AES256")},
		{"SSE-S3", headers(hSSE, "AES256", hBucketKey, "true"), headers(hSSE, "AES256"), headers(hSSE, "AES256")},
		{"SSE-KMS", headers(hSSE, "aws:kms"), headers(hSSE, "aws:kms", hKeyID, "default"), headers(hSSE, "aws:kms", hKeyID, "default")},
		{"SSE-KMS, all", headers(hSSE, "aws:kms", hKeyID, "other", hContext, base64Of(` {"a" : "b"}`), hBucketKey, "true"),
			headers(hSSE, "aws:kms", hKeyID, "other", hContext, context, hBucketKey, "true"), headers(hSSE, "aws:kms", hKeyID, "other", hBucketKey, "true")},
		{"SSE-KMS, bucket key false", headers(hSSE, "aws:kms", hBucketKey, "false"),
			headers(hSSE, "aws:kms", hKeyID, "default"), headers(hSSE, "aws:kms", hKeyID, "default")},
		{"SSE-KMS, ARN", headers(hSSE, "aws:kms", hKeyID, keyPrefix+"other"), headers(hSSE, "aws:kms", hKeyID, keyPrefix+"other"), headers(hSSE, "aws:kms", hKeyID, "other")},
		{"SSE-C", customer, echoed, echoed},
	}
	svc := encryption.NewService(newManager(t, newMock(t)), encryption.Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			put, get, copied := exchange(t, svc, tt.request)
			require.Equal(t, tt.put, put)
			require.Equal(t, tt.get, get)
			require.Equal(t, tt.put, copied)
		})
	}
}

func TestKeyIDsOfAServer(t *testing.T) {
	opts := encryption.Options{
		ResolveKeyID: func(named string) (string, error) {
			switch named {
			case "alias/cats":
				return "other", nil
			case "alias/none":
				return "", nil
			case "alias/down":
				return "", fmt.Errorf("%w: aliases", kms.ErrUnavailable)
			}
			return named, nil
		},
		KeyARN: func(keyID string) string { return keyPrefix + keyID },
	}
	svc := encryption.NewService(newManager(t, newMock(t)), opts)
	for named, want := range map[string]string{"": "default", "alias/cats": "other", "other": "other"} {
		put, get, copied := exchange(t, svc, headers(hSSE, "aws:kms", hKeyID, named))
		for _, h := range []http.Header{put, get, copied} {
			require.Equal(t, keyPrefix+want, h.Get(hKeyID), named)
		}
	}
	for named, code := range map[string]string{"alias/none": "KMS.NotFoundException", "alias/down": "ServiceUnavailable", keyPrefix + "other": "KMS.NotFoundException"} {
		req := &encryption.Request{Mode: encryption.SSEKMS, KeyID: named}
		_, err := svc.EncryptStream(t.Context(), photo, req, strings.NewReader(""))
		require.Equal(t, code, encryption.S3Error(err).Code, named)
	}

	// A read compares what its key id resolves to.
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "alias/cats"}, nil)
	require.Equal(t, "other", env.KeyID())
	for named, want := range map[string]error{"alias/cats": nil, "other": nil, "default": kms.ErrInvalidRequest, "alias/down": kms.ErrUnavailable, "alias/none": kms.ErrKeyNotFound} {
		_, err := get(t.Context(), svc, photo, env, &encryption.Request{KeyID: named}, bytes.NewReader(body))
		require.ErrorIs(t, err, want, named)
	}
}

func TestKeyIDsOfResponsesWithoutAnARN(t *testing.T) {
	resolve := func(named string) (string, error) { return strings.TrimPrefix(named, keyPrefix), nil }
	svc := encryption.NewService(newManager(t, newMock(t)), encryption.Options{ResolveKeyID: resolve})
	put, get, copied := exchange(t, svc, headers(hSSE, "aws:kms", hKeyID, keyPrefix+"other"))
	for _, h := range []http.Header{put, get, copied} {
		require.Equal(t, "other", h.Get(hKeyID))
	}
}

// Only the ARN of a KMS key loses what stands before its id.
func TestARNsThatAreNone(t *testing.T) {
	names := []string{
		"arn:aws:kms:r:a:alias/default", "arn:aws:kms:r:a:key/", "arn:aws:s3:r:a:key/default", "aws:kms:r:a:key/default", "arn:aws:kms:r:key/default",
		"key/default", "ARN:aws:kms:r:a:key/default", "arn:aws:kms:r:a:b:key/default",
	}
	ring := newRing(append(names, "default")...)
	svc := encryption.NewService(ring, encryption.Options{})
	for _, name := range names {
		env, _ := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: name}, nil)
		require.Equal(t, name, env.KeyID())
	}
	for _, name := range []string{"arn:aws:kms:r:a:key/default", "arn:aws-cn:kms:::key/default"} {
		env, _ := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: name}, nil)
		require.Equal(t, "default", env.KeyID())
	}
}

// A KeyService may have ARNs for ids itself.
func TestARNsOfTheKeyServiceAreAnsweredAsTheyAre(t *testing.T) {
	ring := newRing(keyPrefix + "default")
	ring.masters["default"] = ring.masters[keyPrefix+"default"]
	ring.generate = func(resp *kms.GenerateDataKeyResponse) { resp.KeyID = keyPrefix + "default" }
	svc := encryption.NewService(ring, encryption.Options{})
	object, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "arn:aws:kms:other:1:key/default"}, strings.NewReader(""))
	require.NoError(t, err)
	h := make(http.Header)
	object.WriteHeaders(h)
	require.Equal(t, keyPrefix+"default", h.Get(hKeyID))
}
