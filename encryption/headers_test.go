package encryption_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

const (
	hSSE       = "X-Amz-Server-Side-Encryption"
	hKeyID     = hSSE + "-Aws-Kms-Key-Id"
	hContext   = hSSE + "-Context"
	hBucketKey = hSSE + "-Bucket-Key-Enabled"
	hCustomer  = hSSE + "-Customer-"
	hSource    = "X-Amz-Copy-Source-Server-Side-Encryption-Customer-"
)

// trusted is how a request of a careful client comes.
var trusted = encryption.Transport{Secure: true, SigV4: true}

// headers returns headers from names and values.
func headers(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// withKey adds the three headers of a customer key.
func withKey(h http.Header, prefix string, key []byte) http.Header {
	sum := md5.Sum(key)
	h.Set(prefix+"Algorithm", "AES256")
	h.Set(prefix+"Key", base64.StdEncoding.EncodeToString(key))
	h.Set(prefix+"Key-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	return h
}

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// getter is a Header that has Get and nothing else.
type getter map[string]string

func (g getter) Get(name string) string { return g[name] }

func TestWriteHeaders(t *testing.T) {
	kmsBucket := encryption.BucketDefault{Mode: encryption.SSEKMS, KeyID: "bucket", BucketKey: true}
	tests := []struct {
		name string
		h    http.Header
		def  encryption.BucketDefault
		want encryption.Request
	}{
		{"nothing", headers(), encryption.BucketDefault{}, encryption.Request{Mode: encryption.SSES3, MD5: true}},
		{"nothing, default SSE-S3", headers(), encryption.BucketDefault{Mode: encryption.SSES3, BucketKey: true}, encryption.Request{Mode: encryption.SSES3, MD5: true}},
		{"nothing, default SSE-KMS", headers(), kmsBucket, encryption.Request{Mode: encryption.SSEKMS, KeyID: "bucket", BucketKey: true}},
		{"B over the default", headers(hBucketKey, "false"), kmsBucket, encryption.Request{Mode: encryption.SSEKMS, KeyID: "bucket"}},
		{"S AES256", headers(hSSE, "AES256"), kmsBucket, encryption.Request{Mode: encryption.SSES3, MD5: true}},
		{"S AES256, B", headers(hSSE, "AES256", hBucketKey, "true"), encryption.BucketDefault{}, encryption.Request{Mode: encryption.SSES3, MD5: true}},
		{"S aws:kms", headers(hSSE, "aws:kms"), encryption.BucketDefault{}, encryption.Request{Mode: encryption.SSEKMS}},
		{"S aws:kms, K is not the bucket's", headers(hSSE, "aws:kms"), kmsBucket, encryption.Request{Mode: encryption.SSEKMS, BucketKey: true}},
		{"S aws:kms, B of a bucket with SSE-S3", headers(hSSE, "aws:kms"), encryption.BucketDefault{BucketKey: true}, encryption.Request{Mode: encryption.SSEKMS, BucketKey: true}},
		{"S K", headers(hSSE, "aws:kms", hKeyID, "id"), kmsBucket, encryption.Request{Mode: encryption.SSEKMS, KeyID: "id", BucketKey: true}},
		{"S, empty K", headers(hSSE, "aws:kms", hKeyID, ""), encryption.BucketDefault{}, encryption.Request{Mode: encryption.SSEKMS}},
		{"S K X B", headers(hSSE, "aws:kms", hKeyID, "arn:aws:kms:r:a:key/id", hContext, base64Of(`{"a":"b","":"\u00fc"}`), hBucketKey, "True"), encryption.BucketDefault{},
			encryption.Request{Mode: encryption.SSEKMS, KeyID: "arn:aws:kms:r:a:key/id", Context: kms.EncryptionContext{"a": "b", "": "ü"}, BucketKey: true}},
		{"B true", headers(hSSE, "aws:kms", hBucketKey, "true"), encryption.BucketDefault{}, encryption.Request{Mode: encryption.SSEKMS, BucketKey: true}},
		{"B false", headers(hSSE, "aws:kms", hBucketKey, "FALSE"), kmsBucket, encryption.Request{Mode: encryption.SSEKMS}},
		{"CS is no business of the target", withKey(headers(), hSource, testCustomerKey), encryption.BucketDefault{}, encryption.Request{Mode: encryption.SSES3, MD5: true}},
		{"equal values twice", headers(hSSE, "AES256", hSSE, "AES256"), encryption.BucketDefault{}, encryption.Request{Mode: encryption.SSES3, MD5: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := encryption.ParseWriteHeaders(tt.h, trusted, tt.def)
			require.NoError(t, err)
			require.Equal(t, &tt.want, req)
		})
	}
}

// requireCustomerKey checks that a request holds the test's customer key.
func requireCustomerKey(t *testing.T, req *encryption.Request, err error) {
	t.Helper()
	require.NoError(t, err)
	require.True(t, bytes.Equal(testCustomerKey, req.CustomerKey.Bytes()))
	req.CustomerKey.Destroy()
	require.Equal(t, &encryption.Request{Mode: encryption.SSEC, CustomerKey: req.CustomerKey}, req)
}

func TestCustomerKeysInHeaders(t *testing.T) {
	h := withKey(headers(), hCustomer, testCustomerKey)
	for _, def := range []encryption.BucketDefault{
		{}, {CustomerKeys: encryption.CustomerKeysAllowed}, {Mode: encryption.SSEKMS, KeyID: "id", BucketKey: true},
	} {
		req, err := encryption.ParseWriteHeaders(h, encryption.Transport{Secure: true}, def)
		requireCustomerKey(t, req, err)
	}
	req, err := encryption.ParseWriteHeaders(h, encryption.Transport{AllowPlainSSEC: true}, encryption.BucketDefault{})
	requireCustomerKey(t, req, err)
	req, err = encryption.ParseReadHeaders(h, encryption.Transport{Secure: true})
	requireCustomerKey(t, req, err)
	req, err = encryption.ParseReadHeaders(h, encryption.Transport{AllowPlainSSEC: true})
	requireCustomerKey(t, req, err)
	req, err = encryption.ParseCompleteHeaders(h, encryption.Transport{Secure: true})
	requireCustomerKey(t, req, err)
	req, err = encryption.ParseCopySourceHeaders(withKey(headers(), hSource, testCustomerKey), encryption.Transport{Secure: true})
	requireCustomerKey(t, req, err)
}

// Some clients say once more what they have said when they created the upload.
func TestACompletionIsNotAskedHowToEncrypt(t *testing.T) {
	h := headers(hSSE, "aws:kms", hKeyID, "another", hContext, "no base64")
	req, err := encryption.ParseCompleteHeaders(h, trusted)
	require.NoError(t, err)
	require.Equal(t, &encryption.Request{}, req)
	_, err = encryption.ParseReadHeaders(h, trusted)
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
	req, err = encryption.ParseCompleteHeaders(withKey(headers(hSSE, "AES256"), hCustomer, testCustomerKey), trusted)
	requireCustomerKey(t, req, err)
}

func TestACopyHasAKeyForTheSourceAndOneForTheTarget(t *testing.T) {
	source, target := random(32), random(32)
	h := withKey(withKey(headers(), hCustomer, target), hSource, source)
	from, err := encryption.ParseCopySourceHeaders(h, trusted)
	require.NoError(t, err)
	to, err := encryption.ParseWriteHeaders(h, trusted, encryption.BucketDefault{})
	require.NoError(t, err)
	require.Equal(t, source, from.CustomerKey.Bytes())
	require.Equal(t, target, to.CustomerKey.Bytes())
	part, err := encryption.ParseReadHeaders(h, trusted)
	require.NoError(t, err)
	require.Equal(t, target, part.CustomerKey.Bytes())
}

func TestReadsWithoutHeadersBringNothing(t *testing.T) {
	for _, parse := range []func(encryption.Header, encryption.Transport) (*encryption.Request, error){
		encryption.ParseReadHeaders, encryption.ParseCompleteHeaders, encryption.ParseCopySourceHeaders,
	} {
		req, err := parse(headers(hBucketKey, "true", "Range", "bytes=0-1"), encryption.Transport{})
		require.NoError(t, err)
		require.Equal(t, &encryption.Request{}, req)
	}
	// What is said of the target has no meaning for the source.
	req, err := encryption.ParseCopySourceHeaders(withKey(headers(hSSE, "aws:kms"), hCustomer, testCustomerKey), encryption.Transport{})
	require.NoError(t, err)
	require.Equal(t, &encryption.Request{}, req)
	req, err = encryption.ParseReadHeaders(withKey(headers(), hSource, testCustomerKey), encryption.Transport{})
	require.NoError(t, err)
	require.Equal(t, &encryption.Request{}, req)
}

func TestHeadersOfAOneMethodHeader(t *testing.T) {
	h := getter{strings.ToLower(hSSE): "aws:kms", strings.ToLower(hKeyID): "id", strings.ToLower(hContext): base64Of(`{"a":"b"}`), strings.ToLower(hBucketKey): "true"}
	req, err := encryption.ParseWriteHeaders(h, trusted, encryption.BucketDefault{})
	require.NoError(t, err)
	require.Equal(t, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "id", Context: kms.EncryptionContext{"a": "b"}, BucketKey: true}, req)

	// An empty header is not told from none.
	req, err = encryption.ParseWriteHeaders(getter{strings.ToLower(hSSE): ""}, trusted, encryption.BucketDefault{})
	require.NoError(t, err)
	require.Equal(t, encryption.SSES3, req.Mode)
}

func TestFieldsOfAPostForm(t *testing.T) {
	form := url.Values{}
	for name, values := range withKey(headers(), hCustomer, testCustomerKey) {
		form[strings.ToLower(name)] = values
	}
	req, err := encryption.ParseWriteHeaders(form, trusted, encryption.BucketDefault{})
	requireCustomerKey(t, req, err)
	req, err = encryption.ParseReadHeaders(form, trusted)
	requireCustomerKey(t, req, err)
}
