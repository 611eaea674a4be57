package encryption_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// letters are the names that the table of headers has for them: S, K, X and B, C with the customer key and c without it, and CS for that of a copy's source.
func letters(h http.Header) string {
	var found []string
	for _, header := range [][2]string{{"S", hSSE}, {"K", hKeyID}, {"X", hContext}, {"B", hBucketKey}, {"C", hCustomer + "Key"}, {"CS", hSource + "Key"}} {
		if h.Get(header[1]) != "" {
			found = append(found, header[0])
		}
	}
	if h.Get(hCustomer+"Key") == "" && h.Get(hCustomer+"Algorithm") != "" && h.Get(hCustomer+"Key-Md5") != "" {
		found = append(found, "c")
	}
	return strings.Join(found, " ")
}

// The table of headers by operation, row by row: what a request has, and what its response.
func TestTheTableOfHeadersByOperation(t *testing.T) {
	s := newS3Server(t)
	const s3, withKMS, sseC = encryption.SSES3, encryption.SSEKMS, encryption.SSEC
	writes := func(op func(http.Header) (http.Header, error)) func(encryption.Mode) (http.Header, http.Header, error) {
		return func(mode encryption.Mode) (http.Header, http.Header, error) {
			h := modes()[mode]
			response, err := op(h)
			return h, response, err
		}
	}
	reads := func(op func(encryption.Mode) func(http.Header) (http.Header, error)) func(encryption.Mode) (http.Header, http.Header, error) {
		return func(mode encryption.Mode) (http.Header, http.Header, error) {
			h := readHeaders(mode)
			response, err := op(mode)(h)
			return h, response, err
		}
	}
	copies := func(h func(encryption.Mode) http.Header, op func(encryption.Mode) func(http.Header) (http.Header, error)) func(encryption.Mode) (http.Header, http.Header, error) {
		return func(mode encryption.Mode) (http.Header, http.Header, error) {
			h := sourceHeaders(h(mode), mode)
			response, err := op(mode)(h)
			return h, response, err
		}
	}
	all := func(mode encryption.Mode) http.Header { return modes()[mode] }
	type want map[encryption.Mode]string // request and response
	write := want{s3: "S → S", withKMS: "S K X B → S K X B", sseC: "C → c"}
	read := want{s3: " → S", withKMS: " → S K B", sseC: "C → c"}
	for _, row := range []struct {
		operation string
		do        func(encryption.Mode) (request, response http.Header, err error)
		want      want
	}{
		{"PutObject", writes(s.putObject), write},
		{"POST object (form)", writes(s.postObject), write},
		{"CreateMultipartUpload", writes(s.createMultipartUpload), write},
		{"UploadPart", reads(s.uploadPart), read},
		{"UploadPartCopy", copies(readHeaders, s.uploadPartCopy), want{s3: " → S", withKMS: " → S K B", sseC: "C CS → c"}},
		{"CompleteMultipartUpload", reads(s.completeMultipartUpload), want{s3: " → S", withKMS: " → S K B", sseC: "C → "}},
		// AbortMultipartUpload has no headers, and nothing to do but to delete what is stored.
		{"CopyObject", copies(all, s.copyObject), want{s3: "S → S", withKMS: "S K X B → S K X B", sseC: "C CS → c"}},
		{"GetObject", reads(s.getObject), read},
		{"Range GET", reads(s.getRange), read},
		{"HeadObject", reads(s.headObject), read},
		{"GetObjectAttributes, SelectObjectContent, ListParts", reads(s.getObjectAttributes), want{s3: " → ", withKMS: " → ", sseC: "C → "}},
	} {
		for mode, want := range row.want {
			t.Run(row.operation+" "+mode.String(), func(t *testing.T) {
				request, response, err := row.do(mode)
				require.NoError(t, err)
				require.Equal(t, want, letters(request)+" → "+letters(response))
				for name, value := range map[string]string{hKeyID: keyPrefix + "other", hBucketKey: "true", hContext: base64Of(`{"a":"b"}`), hCustomer + "Algorithm": "AES256"} {
					require.Contains(t, []string{"", value}, response.Get(name))
				}
				require.NotContains(t, fmt.Sprint(response), base64.StdEncoding.EncodeToString(testCustomerKey), "the key is never returned")
			})
		}
	}
	t.Run("UpdateObjectEncryption", func(t *testing.T) {
		for _, mode := range []encryption.Mode{s3, withKMS} {
			require.NoError(t, s.updateObjectEncryption(mode, keyPrefix+"default"))
			require.Equal(t, "default", s.objects[mode].env.KeyID())
			require.Equal(t, withKMS, s.objects[mode].env.Mode())
			_, err := s.getObject(mode)(headers())
			require.NoError(t, err, "no data has moved")
		}
	})
	t.Run("Put/Get/DeleteBucketEncryption", func(t *testing.T) {
		for algorithm, keyID := range map[string]string{"AES256": "", "aws:kms": "<KMSMasterKeyID>id</KMSMasterKeyID>"} {
			for _, blocked := range []string{"NONE", "SSE-C"} {
				def, err := encryption.ParseBucketEncryption(bucketRules(algorithm, keyID, "<BucketKeyEnabled>true</BucketKeyEnabled>"+
					"<BlockedEncryptionTypes><EncryptionType>"+blocked+"</EncryptionType></BlockedEncryptionTypes>"))
				require.NoError(t, err)
				document, err := def.AppendXML(nil)
				require.NoError(t, err)
				again, err := encryption.ParseBucketEncryption(document)
				require.NoError(t, err)
				require.Equal(t, def, again)
				require.True(t, def.BucketKey)
				require.Equal(t, blocked == "SSE-C", def.CustomerKeys == encryption.CustomerKeysBlocked)
				require.Equal(t, keyID != "", def.KeyID == "id" && def.Mode == withKMS)
			}
		}
	})
}

// bucketRules returns the configuration of a bucket with one rule.
func bucketRules(algorithm, keyID, more string) []byte {
	return []byte("<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>" + algorithm + "</SSEAlgorithm>" + keyID +
		"</ApplyServerSideEncryptionByDefault>" + more + "</Rule></ServerSideEncryptionConfiguration>")
}

// A try is one operation of a row of the table of errors.
type try struct {
	op  string
	do  func(http.Header) (http.Header, error)
	req http.Header
}

// The table of errors, row by row: who may answer it, and what.
func TestTheTableOfErrors(t *testing.T) {
	const (
		s3, withKMS, sseC = encryption.SSES3, encryption.SSEKMS, encryption.SSEC
		needsKey          = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object."
		notApplicable     = "The encryption parameters are not applicable to this object."
		partParameters    = "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters."
		internal          = "We encountered an internal error. Please try again."
	)
	key, otherKey := withKey(headers(), hCustomer, testCustomerKey), withKey(headers(), hCustomer, random(32))
	source := withKey(headers(), hSource, testCustomerKey)
	kmsWith := func(pairs ...string) http.Header { return headers(append([]string{hSSE, "aws:kms"}, pairs...)...) }
	writes := func(s *s3Server, h http.Header) []try {
		return []try{{"PUT", s.putObject, h}, {"POST", s.postObject, h}, {"Create", s.createMultipartUpload, h}, {"Copy target", s.copyObject(s3), h}}
	}
	readsOf := func(s *s3Server, mode encryption.Mode, h http.Header) []try {
		return []try{{"GET", s.getObject(mode), h}, {"Range", s.getRange(mode), h}, {"HEAD", s.headObject(mode), h}, {"Attributes", s.getObjectAttributes(mode), h}}
	}
	copySource := func(s *s3Server, mode encryption.Mode, h http.Header) []try {
		return []try{{"Copy source", s.copyObject(mode), h}, {"UploadPartCopy source", s.uploadPartCopy(mode), sourcePart(h, mode)}}
	}
	parts := func(s *s3Server, mode encryption.Mode, h http.Header) []try {
		return []try{{"UploadPart", s.uploadPart(mode), h}}
	}
	complete := func(s *s3Server, mode encryption.Mode, h http.Header) []try {
		return []try{{"Complete", s.completeMultipartUpload(mode), h}}
	}
	sourceOf := func(h http.Header) http.Header { return withPrefix(h, hCustomer, hSource) }
	type answer struct {
		status                                 int
		code, message, argument, argumentValue string
	}
	argument := func(message, value string) answer { return answer{400, "InvalidArgument", message, sse, value} }
	unavailable := answer{503, "ServiceUnavailable", "The key management service is not available. Please try again.", "", ""}

	for _, row := range []struct {
		row   string
		set   func(s *s3Server)
		tries func(s *s3Server) []try
		want  answer
	}{
		{"SSE-C + S header together", nil, func(s *s3Server) []try { return writes(s, changed(key, hSSE, "AES256")) }, argument(twoMethods, "AES256")},
		{"SSE-C algorithm not AES256", nil, func(s *s3Server) []try {
			h := changed(key, hCustomer+"Algorithm", "AES128")
			return slices.Concat(writes(s, h), readsOf(s, sseC, h), copySource(s, sseC, sourceOf(h)), parts(s, sseC, h), complete(s, sseC, h))
		}, answer{400, "InvalidEncryptionAlgorithmError", "The Encryption request you specified is not valid. Supported value: AES256.", sse, "AES128"}},
		{"SSE-C algorithm missing", nil, func(s *s3Server) []try { return writes(s, changed(key, hCustomer+"Algorithm", "-")) },
			argument(mustProvide+"a valid encryption algorithm.", "null")},
		{"SSE-C key missing", nil, func(s *s3Server) []try { return writes(s, changed(key, hCustomer+"Key", "-")) },
			argument(mustProvide+"an appropriate secret key.", "null")},
		{"SSE-C MD5 missing, PUT", nil, func(s *s3Server) []try { return writes(s, changed(key, hCustomer+"Key-Md5", "-")) }, argument(invalidSecretKey, "null")},
		{"SSE-C MD5 missing, GET / HEAD", nil, func(s *s3Server) []try { return readsOf(s, sseC, changed(key, hCustomer+"Key-Md5", "-")) },
			answer{403, "AccessDenied", mustProvide + "the correct secret key.", "", ""}},
		{"SSE-C key not 32 bytes", nil, func(s *s3Server) []try {
			h := withKey(headers(), hCustomer, random(31))
			return slices.Concat(writes(s, h), readsOf(s, sseC, h))
		}, argument(invalidSecretKey, "null")},
		{"SSE-C key not base64", nil, func(s *s3Server) []try {
			h := changed(key, hCustomer+"Key", "%%%")
			return slices.Concat(writes(s, h), readsOf(s, sseC, h))
		}, argument(invalidSecretKey, "null")},
		{"SSE-C MD5 does not match key", nil, func(s *s3Server) []try {
			h := changed(key, hCustomer+"Key-Md5", otherKey.Get(hCustomer+"Key-Md5"))
			return slices.Concat(writes(s, h), readsOf(s, sseC, h))
		}, argument(wrongMD5, "null")},
		{"SSE-C object read without key", nil, func(s *s3Server) []try {
			return append(readsOf(s, sseC, headers()), copySource(s, sseC, headers())...)
		}, answer{400, "InvalidRequest", needsKey, "", ""}},
		{"SSE-C object read with another key", nil, func(s *s3Server) []try {
			return append(readsOf(s, sseC, otherKey), copySource(s, sseC, sourceOf(otherKey))...)
		}, answer{403, "AccessDenied", mustProvide + "the correct secret key.", "", ""}},
		{"SSE-C headers on a non-SSE-C object", nil, func(s *s3Server) []try {
			return slices.Concat(readsOf(s, s3, key), readsOf(s, withKMS, key), copySource(s, s3, source), copySource(s, withKMS, source))
		}, answer{400, "InvalidRequest", notApplicable, "", ""}},
		{"S header on GET/HEAD", nil, func(s *s3Server) []try { return readsOf(s, s3, headers(hSSE, "AES256")) },
			argument(sse+" header is not supported for this operation.", "AES256")},
		{"K header on GET/HEAD", nil, func(s *s3Server) []try { return readsOf(s, withKMS, headers(hKeyID, "id")) },
			answer{400, "InvalidArgument", sse + "-aws-kms-key-id header is not supported for this operation.", sse + "-aws-kms-key-id", "id"}},
		{"X header on GET/HEAD", nil, func(s *s3Server) []try { return readsOf(s, withKMS, headers(hContext, base64Of("{}"))) },
			answer{400, "InvalidArgument", sse + "-context header is not supported for this operation.", sse + "-context", "null"}},
		{"UploadPart without C for SSE-C upload", nil, func(s *s3Server) []try { return parts(s, sseC, headers()) }, answer{400, "InvalidRequest", partParameters, "", ""}},
		{"UploadPart with C for a non-SSE-C upload", nil, func(s *s3Server) []try { return append(parts(s, s3, key), parts(s, withKMS, key)...) },
			answer{400, "InvalidRequest", partParameters, "", ""}},
		{"UploadPart with another key", nil, func(s *s3Server) []try { return parts(s, sseC, otherKey) },
			answer{400, "InvalidRequest", "The provided encryption parameters did not match the ones used originally.", "", ""}},
		{"Complete without C for SSE-C upload", nil, func(s *s3Server) []try { return complete(s, sseC, headers()) }, answer{400, "InvalidRequest", partParameters, "", ""}},
		{"SSE-C over plain HTTP", func(s *s3Server) { s.transport.Secure = false }, func(s *s3Server) []try {
			return slices.Concat(writes(s, key), readsOf(s, sseC, key), copySource(s, sseC, source), parts(s, sseC, key), complete(s, sseC, key))
		}, answer{400, "InvalidRequest", "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection.", "", ""}},
		{"SSE-C blocked by bucket", func(s *s3Server) { s.bucket.CustomerKeys = encryption.CustomerKeysBlocked }, func(s *s3Server) []try { return writes(s, key) },
			answer{403, "AccessDenied", "This bucket has blocked upload requests that specify Server Side Encryption with Customer provided keys (SSE-C).", "", ""}},
		{"unknown S value", nil, func(s *s3Server) []try { return writes(s, headers(hSSE, "aes:kms")) }, argument("The encryption method specified is not supported", "aes:kms")},
		{"K without S=aws:kms", nil, func(s *s3Server) []try {
			return append(writes(s, headers(hKeyID, "id")), writes(s, headers(hSSE, "AES256", hKeyID, "id"))...)
		},
			answer{400, "InvalidArgument", needsKMS, sse + "-aws-kms-key-id", "null"}},
		{"X without S=aws:kms", nil, func(s *s3Server) []try { return writes(s, headers(hContext, base64Of("{}"))) },
			answer{400, "InvalidArgument", needsKMS, sse + "-context", "null"}},
		{"KMS key unknown: no id of a key", nil, func(s *s3Server) []try { return writes(s, kmsWith(hKeyID, "no key id")) },
			answer{400, "KMS.NotFoundException", "Invalid keyId 'no key id'", "", ""}},
		{"KMS key unknown: no such key", nil, func(s *s3Server) []try {
			return append(writes(s, kmsWith(hKeyID, "x")), writes(s, kmsWith(hKeyID, keyPrefix+"x"))...)
		},
			answer{400, "KMS.NotFoundException", "Key '" + keyPrefix + "x' does not exist", "", ""}},
		{"KMS key unknown: wrong region", nil, func(s *s3Server) []try { return writes(s, kmsWith(hKeyID, "arn:aws:kms:us-west-2:12:key/other")) },
			answer{400, "KMS.NotFoundException", "Invalid arn us-west-2", "", ""}},
		{"KMS key disabled", func(s *s3Server) { s.disable("other") }, func(s *s3Server) []try {
			return append(writes(s, kmsWith(hKeyID, "other")), readsOf(s, withKMS, headers())...)
		}, answer{400, "KMS.DisabledException", keyPrefix + "other is disabled.", "", ""}},
		{"KMS key pending deletion", func(s *s3Server) { s.delete("other") }, func(s *s3Server) []try {
			return append(writes(s, kmsWith(hKeyID, "other")), readsOf(s, withKMS, headers())...)
		}, answer{400, "KMS.KMSInvalidStateException", keyPrefix + "other is pending deletion.", "", ""}},
		{"no permission on the KMS key", func(s *s3Server) { s.wear(denied{}) }, func(s *s3Server) []try {
			return append(writes(s, kmsWith(hKeyID, "other"))[:3], readsOf(s, withKMS, headers())...)
		}, answer{403, "AccessDenied", "Access Denied", "", ""}},
		{"KMS not configured", func(s *s3Server) { s.wear(nil) }, func(s *s3Server) []try { return writes(s, kmsWith())[:3] },
			answer{501, "NotImplemented", "No key management service is configured.", "", ""}},
		{"KMS down", func(s *s3Server) { s.fail(kms.ErrUnavailable) }, func(s *s3Server) []try { return append(writes(s, kmsWith()), readsOf(s, withKMS, headers())...) }, unavailable},
		{"context not base64", nil, func(s *s3Server) []try { return writes(s, kmsWith(hContext, "{}")) }, answer{400, "InvalidArgument", notAContext, sse + "-context", "null"}},
		{"context not a JSON string map", nil, func(s *s3Server) []try {
			return append(writes(s, kmsWith(hContext, base64Of(`{"a":1}`))), writes(s, kmsWith(hContext, base64Of(`["a"]`)))...)
		}, answer{400, "InvalidArgument", notAContext, sse + "-context", "null"}},
		{"aws:kms over SigV2/anonymous", func(s *s3Server) { s.transport.SigV4 = false }, func(s *s3Server) []try { return writes(s, kmsWith()) },
			answer{400, "InvalidArgument", "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.", "Authorization", "null"}},
		{"?encryption with 0 rules", nil, func(s *s3Server) []try { return configure("<ServerSideEncryptionConfiguration/>") }, answer{400, "MalformedXML",
			"The XML you provided was not well-formed or did not validate against our published schema", "", ""}},
		{"?encryption with 2 rules", nil, func(s *s3Server) []try {
			one := string(bucketRules("AES256", "", ""))
			rule := one[strings.Index(one, "<Rule>"):strings.Index(one, "</ServerSide")]
			return configure(strings.Replace(one, rule, rule+rule, 1))
		}, answer{400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema", "", ""}},
		{"KMSMasterKeyID with AES256", nil, func(s *s3Server) []try {
			return configure(string(bucketRules("AES256", "<KMSMasterKeyID>id</KMSMasterKeyID>", "")))
		},
			answer{400, "InvalidArgument", "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse", "ApplyServerSideEncryptionByDefault", ""}},
		{"bad ciphertext, before headers", func(s *s3Server) { s.objects[s3].body[57] ^= 1 }, func(s *s3Server) []try { return readsOf(s, s3, headers())[:2] },
			answer{500, "InternalError", internal, "", ""}},
		// What no row of the table has, and clients know.
		{"aws:kms:dsse", nil, func(s *s3Server) []try { return writes(s, headers(hSSE, "aws:kms:dsse")) },
			answer{501, "NotImplemented", "A header you provided implies functionality that is not implemented.", "", ""}},
		{"range not within the object", nil, func(s *s3Server) []try { return readsOf(s, s3, headers("Range", "bytes=4-"))[:1] },
			answer{416, "InvalidRange", "The requested range is not satisfiable", "", ""}},
		{"body of another size", nil, func(s *s3Server) []try { return declare(s, 3, 5) },
			answer{400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header", "", ""}},
	} {
		t.Run(row.row, func(t *testing.T) {
			s := newS3Server(t)
			if row.set != nil {
				row.set(s)
			}
			for _, try := range row.tries(s) {
				_, err := try.do(try.req)
				require.Error(t, err, try.op)
				require.NotErrorIs(t, err, errBody, try.op)
				e := encryption.S3Error(err)
				require.Equal(t, row.want, answer{e.Status, e.Code, e.Message, e.ArgumentName, e.ArgumentValue}, try.op)
			}
		})
	}
}

// The rows of the table in which AWS answers no error, or an error comes too late for an answer.
func TestTheTableOfErrorsWhereThereIsNone(t *testing.T) {
	t.Run("?encryption none set", func(t *testing.T) {
		document, err := encryption.BucketDefault{}.AppendXML(nil)
		require.NoError(t, err)
		require.Contains(t, string(document), "<SSEAlgorithm>AES256</SSEAlgorithm>")
	})
	t.Run("KMS omitted key id", func(t *testing.T) {
		response, err := newS3Server(t).putObject(headers(hSSE, "aws:kms"))
		require.NoError(t, err)
		require.Equal(t, keyPrefix+"default", response.Get(hKeyID))
	})
	t.Run("SSE-C blocked by bucket: reads still work", func(t *testing.T) {
		s := newS3Server(t)
		s.bucket.CustomerKeys = encryption.CustomerKeysBlocked
		_, err := s.getObject(encryption.SSEC)(readHeaders(encryption.SSEC))
		require.NoError(t, err)
	})
	t.Run("bad ciphertext mid-body", func(t *testing.T) {
		s := newS3Server(t)
		env, body := put(t, s.svc, photo, &encryption.Request{Mode: encryption.SSES3}, random(chunk+5))
		body[len(body)-1] ^= 1
		s.objects[encryption.SSES3] = &s3Object{env, body}
		response, err := s.getObject(encryption.SSES3)(headers())
		require.ErrorIs(t, err, errBody, "the connection is cut")
		require.ErrorIs(t, err, kms.ErrDecrypt)
		require.Equal(t, "AES256", response.Get(hSSE))
	})
}
