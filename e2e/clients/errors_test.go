package clients

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/clients/s3client"
	"github.com/objectkms/kms/e2e/clients/server"
)

// A table is what the rows of the table of errors work with: a bucket with an object of each mode, and an upload of each.
type table struct {
	s       *server.Server
	sdk     *s3client.AWS
	seen    *recorder
	bucket  string
	key     string // of customers
	uploads map[s3client.Mode]string
}

const otherKeyID = "other"

func newTable(t *testing.T, s *server.Server) *table {
	t.Helper()
	seen := &recorder{RoundTripper: s.Transport(t)}
	tb := &table{s: s, sdk: s3client.NewAWS(endpoint(s), seen), seen: seen, bucket: "errors", key: newCustomerKey(), uploads: make(map[s3client.Mode]string)}
	makeBucket(t, s, tb.bucket)
	s.Key(t, "", otherKeyID)
	for _, enc := range tb.encryptions() {
		require.NoError(t, tb.sdk.Put(t.Context(), tb.object(enc.Mode), []byte("meow"), enc))
		upload, err := tb.sdk.S3.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &tb.bucket, Key: tb.at("upload")}, tb.asking(enc).set)
		require.NoError(t, err)
		tb.uploads[enc.Mode] = aws.ToString(upload.UploadId)
	}
	return tb
}

func (tb *table) encryptions() []s3client.Encryption {
	return []s3client.Encryption{{Mode: s3client.SSES3}, {Mode: s3client.SSEKMS, KeyID: otherKeyID}, {Mode: s3client.SSEC, CustomerKey: tb.key}}
}

// asking returns the headers of a write.
func (tb *table) asking(enc s3client.Encryption) headers {
	switch enc.Mode {
	case s3client.SSEC:
		return customer(hCustomer, enc.CustomerKey)
	case s3client.SSEKMS:
		return headers{hSSE: "aws:kms", hKeyID: enc.KeyID}
	}
	return headers{hSSE: "AES256"}
}

func (tb *table) object(mode s3client.Mode) s3client.Object {
	return s3client.Object{Bucket: tb.bucket, Key: string(mode)}
}

func (tb *table) at(key string) *string { return &key }

// A try is one operation with headers of its own.
type try struct {
	op string
	do func(ctx context.Context) (answer, error)
}

// sdkTry is a try through aws-sdk-go-v2.
func (tb *table) sdkTry(op string, call func(ctx context.Context) error) try {
	return try{op, func(ctx context.Context) (answer, error) {
		tb.seen.last = answer{}
		err := call(ctx)
		return tb.seen.last, err
	}}
}

func (tb *table) put(h headers) try {
	return tb.sdkTry("PUT", func(ctx context.Context) error {
		_, err := tb.sdk.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: &tb.bucket, Key: tb.at("put"), Body: bytes.NewReader([]byte("meow"))}, h.set)
		return err
	})
}

func (tb *table) create(h headers) try {
	return tb.sdkTry("Create", func(ctx context.Context) error {
		_, err := tb.sdk.S3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &tb.bucket, Key: tb.at("put")}, h.set)
		return err
	})
}

// copyOf copies the object of a mode.
func (tb *table) copyOf(mode s3client.Mode, h headers) try {
	return tb.sdkTry("Copy", func(ctx context.Context) error {
		_, err := tb.sdk.S3.CopyObject(ctx, &s3.CopyObjectInput{Bucket: &tb.bucket, Key: tb.at("put"), CopySource: aws.String(tb.bucket + "/" + string(mode))}, h.set)
		return err
	})
}

func (tb *table) uploadPartCopy(mode s3client.Mode, h headers) try {
	return tb.sdkTry("UploadPartCopy", func(ctx context.Context) error {
		_, err := tb.sdk.S3.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: &tb.bucket, Key: tb.at("upload"), UploadId: aws.String(tb.uploads[s3client.SSES3]), PartNumber: aws.Int32(1),
			CopySource: aws.String(tb.bucket + "/" + string(mode))}, h.set)
		return err
	})
}

// writes are the operations that say how an object is to be encrypted.
func (tb *table) writes(h headers) []try {
	return []try{tb.put(h), tb.create(h), tb.copyOf(s3client.SSES3, h)}
}

func (tb *table) get(mode s3client.Mode, h headers) try {
	return tb.sdkTry("GET", func(ctx context.Context) error {
		out, err := tb.sdk.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &tb.bucket, Key: tb.at(string(mode))}, h.set)
		if err == nil {
			out.Body.Close()
		}
		return err
	})
}

// head is a HEAD, whose answer has no document: the test knows that by its name.
func (tb *table) head(mode s3client.Mode, h headers) try {
	return tb.sdkTry(http.MethodHead, func(ctx context.Context) error {
		_, err := tb.sdk.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &tb.bucket, Key: tb.at(string(mode))}, h.set)
		return err
	})
}

func (tb *table) attributes(mode s3client.Mode, h headers) try {
	return tb.sdkTry("Attributes", func(ctx context.Context) error {
		_, err := tb.sdk.S3.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: &tb.bucket, Key: tb.at(string(mode)),
			ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesObjectSize}}, h.set)
		return err
	})
}

// reads are the operations that read an object.
func (tb *table) reads(mode s3client.Mode, h headers) []try {
	ranged := tb.get(mode, h.and(headers{"Range": "bytes=1-2"}))
	ranged.op = "Range"
	return []try{tb.get(mode, h), ranged, tb.head(mode, h), tb.attributes(mode, h)}
}

// sources are the operations that read an object to write another.
func (tb *table) sources(mode s3client.Mode, h headers) []try {
	return []try{tb.copyOf(mode, h), tb.uploadPartCopy(mode, h)}
}

func (tb *table) part(mode s3client.Mode, h headers) try {
	return tb.sdkTry("UploadPart", func(ctx context.Context) error {
		_, err := tb.sdk.S3.UploadPart(ctx, &s3.UploadPartInput{Bucket: &tb.bucket, Key: tb.at("upload"), UploadId: aws.String(tb.uploads[mode]), PartNumber: aws.Int32(1),
			Body: bytes.NewReader([]byte("meow"))}, h.set)
		return err
	})
}

// complete uploads a part as it should be, and completes with these headers.
func (tb *table) complete(mode s3client.Mode, h headers) try {
	return tb.sdkTry("Complete", func(ctx context.Context) error {
		good := headers{}
		if mode == s3client.SSEC {
			good = customer(hCustomer, tb.key)
		}
		part, err := tb.sdk.S3.UploadPart(ctx, &s3.UploadPartInput{Bucket: &tb.bucket, Key: tb.at("upload"), UploadId: aws.String(tb.uploads[mode]), PartNumber: aws.Int32(2),
			Body: bytes.NewReader([]byte("meow"))}, good.set)
		if err != nil {
			return err
		}
		_, err = tb.sdk.S3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: &tb.bucket, Key: tb.at("upload"), UploadId: aws.String(tb.uploads[mode]),
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(2), ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32}}}}, h.set)
		return err
	})
}

const (
	mustProvide    = "Requests specifying Server Side Encryption with Customer provided keys must provide "
	invalidKey     = "The secret key was invalid for the specified algorithm."
	needsKMS       = "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
	notAContext    = "The header '" + hContext + "' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map"
	partParameters = "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters."
)

// A row is one of the table: operations, and what all of them are answered.
type row struct {
	name  string
	tries []try
	want  answer
}

func invalidArgument(message, name, value string) answer {
	return answer{400, "InvalidArgument", message, name, value}
}

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// customerRows are those about customer keys.
func (tb *table) customerRows() []row {
	const s3Mode, withKMS, sseC = s3client.SSES3, s3client.SSEKMS, s3client.SSEC
	key, other := customer(hCustomer, tb.key), customer(hCustomer, newCustomerKey())
	source, otherSource := customer(hSource, tb.key), customer(hSource, newCustomerKey())
	algorithm, keyName, md5 := hCustomer+"algorithm", hCustomer+"key", hCustomer+"key-MD5"
	both := func(h headers) []try { return slices.Concat(tb.writes(h), tb.reads(sseC, h)) }
	return []row{
		{"SSE-C with S", tb.writes(key.and(headers{hSSE: "AES256"})),
			invalidArgument("Server Side Encryption with Customer provided key is incompatible with the encryption method specified", hSSE, "AES256")},
		{"algorithm not AES256", slices.Concat(both(key.and(headers{algorithm: "AES128"})), tb.sources(sseC, source.and(headers{hSource + "algorithm": "AES128"}))),
			answer{400, "InvalidEncryptionAlgorithmError", "The Encryption request you specified is not valid. Supported value: AES256.", hSSE, "AES128"}},
		{"algorithm missing", tb.writes(key.and(headers{algorithm: ""})), invalidArgument(mustProvide+"a valid encryption algorithm.", hSSE, "null")},
		{"key missing", tb.writes(key.and(headers{keyName: ""})), invalidArgument(mustProvide+"an appropriate secret key.", hSSE, "null")},
		{"MD5 missing, writes", tb.writes(key.and(headers{md5: ""})), invalidArgument(invalidKey, hSSE, "null")},
		{"MD5 missing, reads", tb.reads(sseC, key.and(headers{md5: ""})), answer{403, "AccessDenied", mustProvide + "the correct secret key.", "", ""}},
		{"key not 32 bytes", both(customer(hCustomer, tb.key[:31])), invalidArgument(invalidKey, hSSE, "null")},
		{"key not base64", both(key.and(headers{keyName: "%%%"})), invalidArgument(invalidKey, hSSE, "null")},
		{"MD5 of another key", both(key.and(headers{md5: other[md5]})),
			invalidArgument("The calculated MD5 hash of the key did not match the hash that was provided.", hSSE, "null")},
		{"object read without key", slices.Concat(tb.reads(sseC, headers{}), tb.sources(sseC, headers{})), answer{400, "InvalidRequest",
			"The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.", "", ""}},
		{"object read with another key", slices.Concat(tb.reads(sseC, other), tb.sources(sseC, otherSource)), answer{403, "AccessDenied", mustProvide + "the correct secret key.", "", ""}},
		{"key for another mode's object", slices.Concat(tb.reads(s3Mode, key), tb.reads(withKMS, key), tb.sources(s3Mode, source), tb.sources(withKMS, source)),
			answer{400, "InvalidRequest", "The encryption parameters are not applicable to this object.", "", ""}},
		{"part without key, and with one where there is none", []try{tb.part(sseC, headers{}), tb.part(s3Mode, key), tb.part(withKMS, key)}, answer{400, "InvalidRequest", partParameters, "", ""}},
		{"part with another key", []try{tb.part(sseC, other)}, answer{400, "InvalidRequest", "The provided encryption parameters did not match the ones used originally.", "", ""}},
		{"complete without key", []try{tb.complete(sseC, headers{})}, answer{400, "InvalidRequest", partParameters, "", ""}},
	}
}

// methodRows are those about the other headers.
func (tb *table) methodRows() []row {
	withKMS := headers{hSSE: "aws:kms"}
	notSupported := func(name string) string { return name + " header is not supported for this operation." }
	return []row{
		{"S on reads", tb.reads(s3client.SSES3, headers{hSSE: "AES256"}), invalidArgument(notSupported(hSSE), hSSE, "AES256")},
		{"K on reads", tb.reads(s3client.SSEKMS, headers{hKeyID: "id"}), invalidArgument(notSupported(hKeyID), hKeyID, "id")},
		{"X on reads", tb.reads(s3client.SSEKMS, headers{hContext: base64Of("{}")}), invalidArgument(notSupported(hContext), hContext, "null")},
		{"unknown S", tb.writes(headers{hSSE: "aes:kms"}), invalidArgument("The encryption method specified is not supported", hSSE, "aes:kms")},
		{"K without S=aws:kms", append(tb.writes(headers{hKeyID: "id"}), tb.writes(headers{hKeyID: "id", hSSE: "AES256"})...), invalidArgument(needsKMS, hKeyID, "null")},
		{"X without S=aws:kms", tb.writes(headers{hContext: base64Of("{}")}), invalidArgument(needsKMS, hContext, "null")},
		{"key unknown: no id", tb.writes(withKMS.and(headers{hKeyID: "no key id"})), answer{400, "KMS.NotFoundException", "Invalid keyId 'no key id'", "", ""}},
		{"key unknown: none such", tb.writes(withKMS.and(headers{hKeyID: "x"})), answer{400, "KMS.NotFoundException", "Key 'x' does not exist", "", ""}},
		{"context not base64", tb.writes(withKMS.and(headers{hContext: "{}"})), invalidArgument(notAContext, hContext, "null")},
		{"context not a string map", append(tb.writes(withKMS.and(headers{hContext: base64Of(`{"a":1}`)})), tb.writes(withKMS.and(headers{hContext: base64Of(`["a"]`)}))...),
			invalidArgument(notAContext, hContext, "null")},
		{"aws:kms:dsse", tb.writes(headers{hSSE: "aws:kms:dsse"}), answer{501, "NotImplemented", "A header you provided implies functionality that is not implemented.", "", ""}},
	}
}

// check lets each operation of a row fail.
func (r row) check(t *testing.T) {
	for _, try := range r.tries {
		got, err := try.do(t.Context())
		if err == nil {
			t.Errorf("%s: no error, want %+v", try.op, r.want)
			continue
		}
		want := r.want
		if try.op == http.MethodHead {
			want = answer{Status: want.Status}
		}
		if got != want {
			t.Errorf("%s: got %+v, want %+v (%v)", try.op, got, want, err)
		}
	}
}

func TestTheTableOfErrors(t *testing.T) {
	tb := newTable(t, startLocal(t))
	for _, row := range slices.Concat(tb.customerRows(), tb.methodRows()) {
		t.Run(row.name, row.check)
	}
}
