package clients

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/clients/s3client"
	"github.com/objectkms/kms/e2e/clients/server"
	"github.com/objectkms/kms/e2e/testenv"
)

var unavailable = answer{503, "ServiceUnavailable", "The key management service is not available. Please try again.", "", ""}

// The rows of the table of errors about keys that cannot be used.
func TestTheTableOfErrorsForStatesOfKeys(t *testing.T) {
	s := startLocal(t)
	tb := newTable(t, s)
	both := func() []try {
		return append(tb.writes(headers{hSSE: "aws:kms", hKeyID: otherKeyID}), tb.reads(s3client.SSEKMS, headers{})...)
	}
	t.Run("disabled", func(t *testing.T) {
		s.Key(t, "disable", otherKeyID)
		defer s.Key(t, "enable", otherKeyID)
		row{"", both(), answer{400, "KMS.DisabledException", otherKeyID + " is disabled.", "", ""}}.check(t)
	})
	t.Run("pending deletion", func(t *testing.T) {
		s.DeleteKey(t, otherKeyID)
		defer func() {
			s.Key(t, "cancel-deletion", otherKeyID)
			s.Key(t, "enable", otherKeyID)
		}()
		row{"", both(), answer{400, "KMS.KMSInvalidStateException", otherKeyID + " is pending deletion.", "", ""}}.check(t)
	})
	t.Run("stopped", func(t *testing.T) {
		s.StopKMS(t)
		defer s.StartKMS(t)
		row{"", both(), unavailable}.check(t)
	})
	got, err := tb.sdk.Get(t.Context(), tb.object(s3client.SSEKMS), s3client.Encryption{})
	require.NoError(t, err, "all is well again")
	require.Equal(t, "meow", string(got))
}

// The rows about a KMS that is another server: it may say no, and it may be down.
func TestTheTableOfErrorsForVault(t *testing.T) {
	if testing.Short() {
		t.Skip("wants a Vault server, which -short does without")
	}
	v := testenv.StartServer(t, testenv.ServerOptions{})
	mounts := v.DefaultMounts(t)
	token := filepath.Join(t.TempDir(), "token")
	allow := `path "*" { capabilities = ["create", "read", "update", "delete", "list"] }`
	require.NoError(t, mounts.Client().Sys().PutPolicyWithContext(t.Context(), "server", allow))
	require.NoError(t, os.WriteFile(token, []byte(tokenOf(t, mounts, "server")), 0o600))
	s := server.Start(t, server.Options{More: []string{"-vault", v.URL(), "-vault-token-file", token}})
	tb := newTable(t, s)
	forget := func() { s.Post(t, "/kms/clear-cache") }
	uses := func() []try {
		return append([]try{tb.put(headers{hSSE: "aws:kms", hKeyID: otherKeyID}), tb.create(headers{hSSE: "aws:kms", hKeyID: otherKeyID})}, tb.reads(s3client.SSEKMS, headers{})...)
	}
	t.Run("no permission", func(t *testing.T) {
		deny := allow
		for _, path := range []string{"datakey/plaintext/", "datakey/wrapped/", "encrypt/", "decrypt/", "rewrap/"} {
			deny += "\n" + `path "transit/` + path + otherKeyID + `" { capabilities = ["deny"] }`
		}
		require.NoError(t, mounts.Client().Sys().PutPolicyWithContext(t.Context(), "server", deny))
		forget()
		row{"", uses(), answer{403, "AccessDenied", "Access Denied", "", ""}}.check(t)
		require.NoError(t, mounts.Client().Sys().PutPolicyWithContext(t.Context(), "server", allow))
	})
	t.Run("sealed", func(t *testing.T) {
		forget()
		v.Seal(t)
		row{"", uses(), unavailable}.check(t)
		v.Unseal(t)
	})
}

// tokenOf returns a token with a policy.
func tokenOf(t *testing.T, mounts *testenv.Mounts, policy string) string {
	t.Helper()
	secret, err := mounts.Client().Logical().WriteWithContext(t.Context(), "auth/token/create", map[string]any{"policies": []string{policy}})
	require.NoError(t, err)
	return secret.Auth.ClientToken
}

// The rows about a connection without TLS.
func TestTheTableOfErrorsOverPlainHTTP(t *testing.T) {
	s := server.Start(t, server.Options{PlainHTTP: true})
	seen := &recorder{RoundTripper: s.Transport(t)}
	tb := &table{s: s, sdk: s3client.NewAWS(endpoint(s), seen), seen: seen, bucket: "errors", key: newCustomerKey()}
	makeBucket(t, s, tb.bucket)
	require.NoError(t, tb.sdk.Put(t.Context(), tb.object(s3client.SSES3), []byte("meow"), s3client.Encryption{}))
	upload, err := tb.sdk.BeginUpload(t.Context(), s3client.Object{Bucket: tb.bucket, Key: "upload"}, s3client.Encryption{})
	require.NoError(t, err)
	tb.uploads = map[s3client.Mode]string{s3client.SSES3: upload}
	key := customer(hCustomer, tb.key)
	tries := slices.Concat(tb.writes(key), tb.reads(s3client.SSES3, key), tb.sources(s3client.SSES3, customer(hSource, tb.key)),
		[]try{tb.part(s3client.SSES3, key), tb.complete(s3client.SSES3, key)})
	row{"", tries, answer{400, "InvalidRequest", "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection.", "", ""}}.check(t)
	readsAs(t, tb.sdk, kept{tb.object(s3client.SSES3), s3client.Encryption{}, []byte("meow")})
}

// The rows about forms and about requests that nobody has signed.
func TestTheTableOfErrorsWithoutAnSDK(t *testing.T) {
	s := startLocal(t)
	makeBucket(t, s, "forms")
	form := s3client.Object{Bucket: "forms", Key: "form"}
	for _, r := range []struct {
		name   string
		fields headers
		want   answer
	}{
		{"unknown S", headers{hSSE: "aes:kms"}, invalidArgument("The encryption method specified is not supported", hSSE, "aes:kms")},
		{"SSE-C with S", customer(hCustomer, newCustomerKey()).and(headers{hSSE: "AES256"}),
			invalidArgument("Server Side Encryption with Customer provided key is incompatible with the encryption method specified", hSSE, "AES256")},
		{"K without S", headers{hKeyID: "id"}, invalidArgument(needsKMS, hKeyID, "null")},
		{"no such key", headers{hSSE: "aws:kms", hKeyID: "x"}, answer{400, "KMS.NotFoundException", "Key 'x' does not exist", "", ""}},
	} {
		t.Run(r.name, func(t *testing.T) {
			got, _ := post(t, s, form, []byte("meow"), r.fields)
			require.Equal(t, r.want, got)
		})
	}
	t.Run("aws:kms, anonymous", func(t *testing.T) {
		policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::forms/*"}]}`
		_, err := awsSDK(t, s).S3.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String("forms"), Policy: &policy})
		require.NoError(t, err)
		require.Equal(t, answer{Status: 200}, anonymousPut(t, s, headers{hSSE: "AES256"}))
		require.Equal(t, invalidArgument("Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.", "Authorization", "null"),
			anonymousPut(t, s, headers{hSSE: "aws:kms"}))
	})
}

func anonymousPut(t *testing.T, s *server.Server, h headers) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+"/forms/anonymous", strings.NewReader("meow"))
	require.NoError(t, err)
	for name, value := range h {
		req.Header.Set(name, value)
	}
	resp, err := s.HTTP(t).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	a, err := readAnswer(resp)
	require.NoError(t, err)
	return a
}

// The rows about the configuration of a bucket.
func TestTheTableOfErrorsForBuckets(t *testing.T) {
	tb := newTable(t, startLocal(t))
	configure := func(rules ...types.ServerSideEncryptionRule) try {
		return tb.sdkTry("PUT ?encryption", func(ctx context.Context) error {
			_, err := tb.sdk.S3.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: &tb.bucket,
				ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: append([]types.ServerSideEncryptionRule{}, rules...)}})
			return err
		})
	}
	rule := func(algorithm types.ServerSideEncryption, keyID *string) types.ServerSideEncryptionRule {
		return types.ServerSideEncryptionRule{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: algorithm, KMSMasterKeyID: keyID}}
	}
	const malformed = "The XML you provided was not well-formed or did not validate against our published schema"
	for _, r := range []row{
		{"no rule", []try{configure()}, answer{400, "MalformedXML", malformed, "", ""}},
		{"two rules", []try{configure(rule("AES256", nil), rule("AES256", nil))}, answer{400, "MalformedXML", malformed, "", ""}},
		{"key id with AES256", []try{configure(rule("AES256", aws.String("id")))},
			invalidArgument("a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse", "ApplyServerSideEncryptionByDefault", "")},
	} {
		t.Run(r.name, r.check)
	}
	t.Run("none set", func(t *testing.T) {
		out, err := tb.sdk.S3.GetBucketEncryption(t.Context(), &s3.GetBucketEncryptionInput{Bucket: &tb.bucket})
		require.NoError(t, err)
		require.Equal(t, types.ServerSideEncryptionAes256, out.ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm)
	})
	t.Run("SSE-C blocked", func(t *testing.T) {
		blocked := rule("AES256", nil)
		blocked.BlockedEncryptionTypes = &types.BlockedEncryptionTypes{EncryptionType: []types.EncryptionType{"SSE-C"}}
		_, err := configure(blocked).do(t.Context())
		require.NoError(t, err)
		row{"", tb.writes(customer(hCustomer, tb.key)), answer{403, "AccessDenied",
			"This bucket has blocked upload requests that specify Server Side Encryption with Customer provided keys (SSE-C).", "", ""}}.check(t)
		readsAs(t, tb.sdk, kept{tb.object(s3client.SSEC), tb.encryptions()[2], []byte("meow")})
	})
}

// The row about what is stored and not authentic: an answer before the headers. That a later one cuts the connection, every client shows.
func TestTheTableOfErrorsForDamagedObjects(t *testing.T) {
	tb := newTable(t, startLocal(t))
	for _, enc := range tb.encryptions() {
		h := headers{}
		if enc.Mode == s3client.SSEC {
			h = customer(hCustomer, tb.key)
		}
		back := tb.s.Flip(t, tb.bucket, string(enc.Mode), 1)
		row{"", tb.reads(enc.Mode, h)[:2], answer{500, "InternalError", "We encountered an internal error. Please try again.", "", ""}}.check(t)
		back()
		readsAs(t, tb.sdk, kept{tb.object(enc.Mode), enc, []byte("meow")})
	}
}
