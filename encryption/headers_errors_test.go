package encryption_test

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

const (
	sse              = "x-amz-server-side-encryption"
	mustProvide      = "Requests specifying Server Side Encryption with Customer provided keys must provide "
	invalidSecretKey = "The secret key was invalid for the specified algorithm."
	wrongMD5         = "The calculated MD5 hash of the key did not match the hash that was provided."
	needsKMS         = "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
	notAContext      = "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map"
	twoMethods       = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
)

func invalidArgument(message, name, value string) encryption.Error {
	return encryption.Error{Code: "InvalidArgument", Status: 400, Message: message, ArgumentName: name, ArgumentValue: value, Err: kms.ErrInvalidRequest}
}

// requireAnswer checks that an error is one that a client is answered, in all but the text of its cause.
func requireAnswer(t *testing.T, want encryption.Error, err error) {
	t.Helper()
	var got *encryption.Error
	require.ErrorAs(t, err, &got)
	require.Same(t, got, encryption.S3Error(err))
	require.ErrorIs(t, got.Err, want.Err)
	want.Err, got = nil, &encryption.Error{Code: got.Code, Status: got.Status, Message: got.Message, ArgumentName: got.ArgumentName, ArgumentValue: got.ArgumentValue}
	require.Equal(t, &want, got)
}

// changed returns headers with one of them set to another value, or removed where it is "-".
func changed(h http.Header, name, value string) http.Header {
	h = maps.Clone(h)
	if h.Set(name, value); value == "-" {
		h.Del(name)
	}
	return h
}

// customerErrors are the answers for the headers of a customer key that are wrong, on reads and writes alike.
func customerErrors(prefix string) map[string]struct {
	h    http.Header
	want encryption.Error
} {
	type row = struct {
		h    http.Header
		want encryption.Error
	}
	h := withKey(headers(), prefix, testCustomerKey)
	encoded := h.Get(prefix + "Key")
	badKey := invalidArgument(invalidSecretKey, sse, "null")
	wrongAlgorithm := func(value string) encryption.Error {
		e := invalidArgument("The Encryption request you specified is not valid. Supported value: AES256.", sse, value)
		e.Code = "InvalidEncryptionAlgorithmError"
		return e
	}
	noAlgorithm := invalidArgument(mustProvide+"a valid encryption algorithm.", sse, "null")
	noKey := invalidArgument(mustProvide+"an appropriate secret key.", sse, "null")
	return map[string]row{
		"algorithm AES128":            {changed(h, prefix+"Algorithm", "AES128"), wrongAlgorithm("AES128")},
		"algorithm in small letters":  {changed(h, prefix+"Algorithm", "aes256"), wrongAlgorithm("aes256")},
		"algorithm is a key":          {changed(h, prefix+"Algorithm", encoded), wrongAlgorithm("null")},
		"algorithm does not print":    {changed(h, prefix+"Algorithm", "\x00"), wrongAlgorithm("null")},
		"no algorithm":                {changed(h, prefix+"Algorithm", "-"), noAlgorithm},
		"empty algorithm":             {changed(h, prefix+"Algorithm", ""), noAlgorithm},
		"MD5 only":                    {headers(prefix+"Key-Md5", h.Get(prefix+"Key-Md5")), noAlgorithm},
		"no key":                      {changed(h, prefix+"Key", "-"), noKey},
		"algorithm only":              {headers(prefix+"Algorithm", "AES256"), noKey},
		"empty key":                   {changed(h, prefix+"Key", ""), noKey},
		"31 bytes":                    {withKey(headers(), prefix, testCustomerKey[:31]), badKey},
		"33 bytes":                    {withKey(headers(), prefix, append(testCustomerKey[:32:32], 0)), badKey},
		"key is not base64":           {changed(h, prefix+"Key", "%"+encoded[1:]), badKey},
		"key without padding":         {changed(h, prefix+"Key", strings.TrimRight(encoded, "=")), badKey},
		"key with bits left over":     {changed(h, prefix+"Key", encoded[:42]+"5="), badKey},
		"key in lines":                {changed(h, prefix+"Key", encoded[:4]+"\r\n"+encoded[4:]), badKey},
		"key of 200 bytes":            {withKey(headers(), prefix, random(200)), badKey},
		"key of 4000 bytes":           {withKey(headers(), prefix, random(4000)), badKey},
		"MD5 of another key":          {changed(h, prefix+"Key-Md5", withKey(headers(), prefix, random(32)).Get(prefix+"Key-Md5")), invalidArgument(wrongMD5, sse, "null")},
		"MD5 is not base64":           {changed(h, prefix+"Key-Md5", "x"), invalidArgument(wrongMD5, sse, "null")},
		"MD5 of another short key":    {changed(withKey(headers(), prefix, random(24)), prefix+"Key-Md5", h.Get(prefix+"Key-Md5")), invalidArgument(wrongMD5, sse, "null")},
		"algorithm repeated":          {repeated(h, prefix+"Algorithm", "AES128"), repeatedHeader(prefix + "Algorithm")},
		"key repeated":                {repeated(h, prefix+"Key", base64.StdEncoding.EncodeToString(random(32))), repeatedHeader(prefix + "Key")},
		"MD5 repeated":                {repeated(h, prefix+"Key-Md5", "x"), repeatedHeader(prefix + "Key-Md5")},
		"an empty value and then one": {repeated(changed(h, prefix+"Key", ""), prefix+"Key", encoded), repeatedHeader(prefix + "Key")},
	}
}

func repeated(h http.Header, name, value string) http.Header {
	h = maps.Clone(h)
	h[name] = append(slices.Clone(h[name]), value)
	return h
}

func repeatedHeader(name string) encryption.Error {
	return invalidArgument("The header was sent more than once with different values.", strings.ToLower(name), "null")
}

func TestWrongCustomerKeyHeaders(t *testing.T) {
	for name, row := range customerErrors(hCustomer) {
		t.Run(name, func(t *testing.T) {
			req, err := encryption.ParseWriteHeaders(row.h, trusted, encryption.BucketDefault{})
			require.Nil(t, req)
			requireAnswer(t, row.want, err)
			req, err = encryption.ParseReadHeaders(row.h, trusted)
			require.Nil(t, req)
			requireAnswer(t, row.want, err)
			req, err = encryption.ParseCompleteHeaders(row.h, trusted)
			require.Nil(t, req)
			requireAnswer(t, row.want, err)
		})
	}
	for name, row := range customerErrors(hSource) {
		t.Run("copy source, "+name, func(t *testing.T) {
			req, err := encryption.ParseCopySourceHeaders(row.h, trusted)
			require.Nil(t, req)
			requireAnswer(t, row.want, err)
		})
	}
}

// The MD5 is the one header whose absence reads and writes answer differently.
func TestCustomerKeyWithoutMD5(t *testing.T) {
	denied := encryption.Error{Code: "AccessDenied", Status: 403, Message: mustProvide + "the correct secret key.", Err: kms.ErrInvalidRequest}
	for _, value := range []string{"-", ""} {
		h := changed(withKey(headers(), hCustomer, testCustomerKey), hCustomer+"Key-Md5", value)
		_, err := encryption.ParseWriteHeaders(h, trusted, encryption.BucketDefault{})
		requireAnswer(t, invalidArgument(invalidSecretKey, sse, "null"), err)
		_, err = encryption.ParseReadHeaders(h, trusted)
		requireAnswer(t, denied, err)
		h = changed(withKey(headers(), hSource, testCustomerKey), hSource+"Key-Md5", value)
		_, err = encryption.ParseCopySourceHeaders(h, trusted)
		requireAnswer(t, denied, err)
	}
}

func TestCustomerKeysNeedTLS(t *testing.T) {
	want := encryption.Error{Code: "InvalidRequest", Status: 400, Err: kms.ErrInvalidRequest,
		Message: "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection."}
	plain := encryption.Transport{SigV4: true}
	for _, name := range []string{"Algorithm", "Key", "Key-Md5"} {
		_, err := encryption.ParseWriteHeaders(headers(hCustomer+name, "x"), plain, encryption.BucketDefault{})
		requireAnswer(t, want, err)
		_, err = encryption.ParseReadHeaders(headers(hCustomer+name, "x"), plain)
		requireAnswer(t, want, err)
		_, err = encryption.ParseCompleteHeaders(headers(hCustomer+name, "x"), plain)
		requireAnswer(t, want, err)
		_, err = encryption.ParseCopySourceHeaders(headers(hSource+name, "x"), plain)
		requireAnswer(t, want, err)
	}
	_, err := encryption.ParseWriteHeaders(headers(hSSE, "AES256"), plain, encryption.BucketDefault{})
	require.NoError(t, err)
}

func TestWrongWriteHeaders(t *testing.T) {
	ctx := base64Of(`{"a":"b"}`)
	unknown := func(value string) encryption.Error {
		return invalidArgument("The encryption method specified is not supported", sse, value)
	}
	blocked := encryption.Error{Code: "AccessDenied", Status: 403, Err: kms.ErrPermission,
		Message: "This bucket has blocked upload requests that specify Server Side Encryption with Customer provided keys (SSE-C)."}
	impossible := encryption.Error{Code: "InternalError", Status: 500, Message: "We encountered an internal error. Please try again.", Err: kms.ErrInvalidConfig}
	withC := func(pairs ...string) http.Header { return withKey(headers(pairs...), hCustomer, testCustomerKey) }
	tests := []struct {
		name string
		h    http.Header
		t    encryption.Transport
		def  encryption.BucketDefault
		want encryption.Error
	}{
		{"C and S AES256", withC(hSSE, "AES256"), trusted, encryption.BucketDefault{}, invalidArgument(twoMethods, sse, "AES256")},
		{"C and S aws:kms", withC(hSSE, "aws:kms"), trusted, encryption.BucketDefault{}, invalidArgument(twoMethods, sse, "aws:kms")},
		{"algorithm AES128 and S", headers(hSSE, "AES256", hCustomer+"Algorithm", "AES128"), trusted, encryption.BucketDefault{}, invalidArgument(twoMethods, sse, "AES256")},
		{"C and empty S", withC(hSSE, ""), trusted, encryption.BucketDefault{}, invalidArgument(twoMethods, sse, "")},
		{"C and K", withC(hKeyID, "id"), trusted, encryption.BucketDefault{}, invalidArgument(needsKMS, sse+"-aws-kms-key-id", "null")},
		{"C and X", withC(hContext, ctx), trusted, encryption.BucketDefault{}, invalidArgument(needsKMS, sse+"-context", "null")},
		{"C and a wrong B", withC(hBucketKey, "x"), trusted, encryption.BucketDefault{}, invalidArgument("The value must be true or false.", sse+"-bucket-key-enabled", "x")},
		{"C blocked", withC(), trusted, encryption.BucketDefault{CustomerKeys: encryption.CustomerKeysBlocked}, blocked},
		{"S aes:kms", headers(hSSE, "aes:kms"), trusted, encryption.BucketDefault{}, unknown("aes:kms")},
		{"S aes256", headers(hSSE, "aes256"), trusted, encryption.BucketDefault{}, unknown("aes256")},
		{"S empty", headers(hSSE, ""), trusted, encryption.BucketDefault{}, unknown("")},
		{"S aws:fsx", headers(hSSE, "aws:fsx"), trusted, encryption.BucketDefault{}, unknown("aws:fsx")},
		{"S long", headers(hSSE, strings.Repeat("x", 33)), trusted, encryption.BucketDefault{}, unknown("null")},
		{"S not long", headers(hSSE, strings.Repeat("x", 32)), trusted, encryption.BucketDefault{}, unknown(strings.Repeat("x", 32))},
		{"S aws:kms:dsse", headers(hSSE, "aws:kms:dsse", hKeyID, "id"), trusted, encryption.BucketDefault{},
			encryption.Error{Code: "NotImplemented", Status: 501, Message: "A header you provided implies functionality that is not implemented.", Err: kms.ErrUnsupported}},
		{"S repeated", headers(hSSE, "AES256", hSSE, "aws:kms"), trusted, encryption.BucketDefault{}, repeatedHeader(hSSE)},
		{"K repeated", headers(hSSE, "aws:kms", hKeyID, "a", hKeyID, "b"), trusted, encryption.BucketDefault{}, repeatedHeader(hKeyID)},
		{"X repeated", headers(hSSE, "aws:kms", hContext, ctx, hContext, base64Of("{}")), trusted, encryption.BucketDefault{}, repeatedHeader(hContext)},
		{"B repeated", headers(hSSE, "aws:kms", hBucketKey, "true", hBucketKey, "false"), trusted, encryption.BucketDefault{}, repeatedHeader(hBucketKey)},
		{"K alone", headers(hKeyID, "id"), trusted, encryption.BucketDefault{}, invalidArgument(needsKMS, sse+"-aws-kms-key-id", "null")},
		{"K alone, default SSE-KMS", headers(hKeyID, "id"), trusted, encryption.BucketDefault{Mode: encryption.SSEKMS}, invalidArgument(needsKMS, sse+"-aws-kms-key-id", "null")},
		{"K with S AES256", headers(hSSE, "AES256", hKeyID, "id"), trusted, encryption.BucketDefault{}, invalidArgument(needsKMS, sse+"-aws-kms-key-id", "null")},
		{"X alone", headers(hContext, ctx), trusted, encryption.BucketDefault{}, invalidArgument(needsKMS, sse+"-context", "null")},
		{"X with S AES256", headers(hSSE, "AES256", hContext, ctx), trusted, encryption.BucketDefault{}, invalidArgument(needsKMS, sse+"-context", "null")},
		{"B is no boolean", headers(hSSE, "aws:kms", hBucketKey, "1"), trusted, encryption.BucketDefault{}, invalidArgument("The value must be true or false.", sse+"-bucket-key-enabled", "1")},
		{"B empty", headers(hBucketKey, ""), trusted, encryption.BucketDefault{}, invalidArgument("The value must be true or false.", sse+"-bucket-key-enabled", "")},
		{"X not base64", headers(hSSE, "aws:kms", hContext, "{}"), trusted, encryption.BucketDefault{}, invalidArgument(notAContext, sse+"-context", "null")},
		{"S aws:kms without V4", headers(hSSE, "aws:kms"), encryption.Transport{Secure: true}, encryption.BucketDefault{},
			invalidArgument("Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.", "Authorization", "null")},
		{"default SSE-KMS without V4", headers(), encryption.Transport{Secure: true}, encryption.BucketDefault{Mode: encryption.SSEKMS},
			invalidArgument("Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.", "Authorization", "null")},
		{"default SSE-C", headers(), trusted, encryption.BucketDefault{Mode: encryption.SSEC}, impossible},
		{"default SSE-S3 with a key", headers(hSSE, "aws:kms"), trusted, encryption.BucketDefault{KeyID: "id"}, impossible},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := encryption.ParseWriteHeaders(tt.h, tt.t, tt.def)
			require.Nil(t, req)
			requireAnswer(t, tt.want, err)
		})
	}
}

func TestWriteHeadersInReads(t *testing.T) {
	notSupported := func(header, value string) encryption.Error {
		return invalidArgument(header+" header is not supported for this operation.", header, value)
	}
	for _, tt := range []struct {
		h    http.Header
		want encryption.Error
	}{
		{headers(hSSE, "AES256"), notSupported(sse, "AES256")},
		{headers(hSSE, "aws:kms", hKeyID, "id"), notSupported(sse, "aws:kms")},
		{headers(hSSE, ""), notSupported(sse, "")},
		{headers(hKeyID, "id"), notSupported(sse+"-aws-kms-key-id", "id")},
		{headers(hContext, base64Of("{}")), notSupported(sse+"-context", "null")},
		{withKey(headers(hSSE, "AES256"), hCustomer, testCustomerKey), notSupported(sse, "AES256")},
		{headers(hSSE, "a", hSSE, "b"), repeatedHeader(hSSE)},
	} {
		req, err := encryption.ParseReadHeaders(tt.h, trusted)
		require.Nil(t, req)
		requireAnswer(t, tt.want, err)
	}
}

// A bucket that blocks SSE-C still answers for what it has.
func TestBlockedCustomerKeysStillRead(t *testing.T) {
	h := withKey(headers(), hCustomer, testCustomerKey)
	_, err := encryption.ParseWriteHeaders(h, trusted, encryption.BucketDefault{CustomerKeys: encryption.CustomerKeysBlocked})
	require.True(t, errors.Is(err, kms.ErrPermission))
	req, err := encryption.ParseReadHeaders(h, trusted)
	requireCustomerKey(t, req, err)
}
