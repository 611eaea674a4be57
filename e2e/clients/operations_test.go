package clients

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/e2e/clients/s3client"
	"github.com/objectkms/kms/e2e/clients/server"
)

// What a client does not ask for comes from the bucket, also for copies, and from the default key.
func TestWhatAClientDoesNotSay(t *testing.T) {
	s := startLocal(t)
	c := awsSDK(t, s)
	makeBucket(t, s, "defaults")
	s.Key(t, "", otherKeyID)
	at := func(key string) s3client.Object { return s3client.Object{Bucket: "defaults", Key: key} }
	head := func(key string) s3client.Info {
		info, err := c.Head(t.Context(), at(key), s3client.Encryption{})
		require.NoError(t, err)
		info.ETag = ""
		return info
	}
	sseC := s3client.Encryption{Mode: s3client.SSEC, CustomerKey: newCustomerKey()}
	require.NoError(t, c.Put(t.Context(), at("of a customer"), []byte("meow"), sseC))

	require.NoError(t, c.Put(t.Context(), at("nothing said"), []byte("meow"), s3client.Encryption{}))
	require.Equal(t, s3client.Info{Size: 4, Algorithm: "AES256"}, head("nothing said"))
	require.NoError(t, c.Put(t.Context(), at("no key named"), []byte("meow"), s3client.Encryption{Mode: s3client.SSEKMS}))
	require.Equal(t, s3client.Info{Size: 4, Algorithm: "aws:kms", KeyID: s.Env["KMS_DEFAULT_KEY_ID"]}, head("no key named"))

	rule := types.ServerSideEncryptionRule{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: "aws:kms", KMSMasterKeyID: aws.String(otherKeyID)}}
	_, err := c.S3.PutBucketEncryption(t.Context(), &s3.PutBucketEncryptionInput{Bucket: aws.String("defaults"),
		ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{rule}}})
	require.NoError(t, err)
	want := s3client.Info{Size: 4, Algorithm: "aws:kms", KeyID: otherKeyID}
	require.NoError(t, c.Put(t.Context(), at("as the bucket"), []byte("meow"), s3client.Encryption{}))
	require.Equal(t, want, head("as the bucket"))
	require.NoError(t, c.Copy(t.Context(), at("of a customer"), sseC, at("copied"), s3client.Encryption{}))
	require.Equal(t, want, head("copied"))
	require.Equal(t, s3client.Info{Size: 4, Algorithm: "AES256"}, head("nothing said"), "what is stored stays as it is")

	_, err = c.S3.DeleteBucketEncryption(t.Context(), &s3.DeleteBucketEncryptionInput{Bucket: aws.String("defaults")})
	require.NoError(t, err)
	require.NoError(t, c.Put(t.Context(), at("as the bucket"), []byte("meow"), s3client.Encryption{}))
	require.Equal(t, s3client.Info{Size: 4, Algorithm: "AES256"}, head("as the bucket"))
}

// UpdateObjectEncryption puts an object under another key without a byte of it being written. An SSE-C object is refused.
func TestUpdateObjectEncryption(t *testing.T) {
	s := startLocal(t)
	c := awsSDK(t, s)
	makeBucket(t, s, "updates")
	s.Key(t, "", otherKeyID)
	update := func(o s3client.Object, keyID string) error {
		_, err := c.S3.UpdateObjectEncryption(t.Context(), &s3.UpdateObjectEncryptionInput{Bucket: &o.Bucket, Key: &o.Key,
			ObjectEncryption: &types.ObjectEncryptionMemberSSEKMS{Value: types.SSEKMSEncryption{KMSKeyArn: aws.String("arn:aws:kms:us-east-1:123456789012:key/" + keyID)}}})
		return err
	}
	for _, enc := range []s3client.Encryption{{Mode: s3client.SSES3}, {Mode: s3client.SSEKMS}} {
		k := kept{s3client.Object{Bucket: "updates", Key: string(enc.Mode)}, enc, randomBody(9, 100_000)}
		require.NoError(t, c.Put(t.Context(), k.at, k.body, enc))
		before, err := c.Head(t.Context(), k.at, enc)
		require.NoError(t, err)
		stored, err := os.ReadFile(s.ObjectFile(k.at.Bucket, k.at.Key))
		require.NoError(t, err)

		require.ErrorContains(t, update(k.at, "none-such"), "KMS.NotFoundException")
		require.NoError(t, update(k.at, otherKeyID))
		readsAs(t, c, k)
		after, err := c.Head(t.Context(), k.at, enc)
		require.NoError(t, err)
		require.Equal(t, s3client.Info{Size: before.Size, ETag: before.ETag, Algorithm: "aws:kms", KeyID: otherKeyID}, after)
		same, err := os.ReadFile(s.ObjectFile(k.at.Bucket, k.at.Key))
		require.NoError(t, err)
		require.True(t, bytes.Equal(stored, same), "the data has moved")

		s.Key(t, "disable", otherKeyID)
		_, err = c.Get(t.Context(), k.at, enc)
		require.ErrorContains(t, err, "KMS.DisabledException", "it is under the other key")
		s.Key(t, "enable", otherKeyID)
	}
	sseC := s3client.Encryption{Mode: s3client.SSEC, CustomerKey: newCustomerKey()}
	o := s3client.Object{Bucket: "updates", Key: "of a customer"}
	require.NoError(t, c.Put(t.Context(), o, []byte("meow"), sseC))
	require.ErrorContains(t, update(o, otherKeyID), "InvalidRequest")
}

// An upload of each mode has its parts from requests, and from other objects of each mode; a part that is sent again takes the place of the first one.
func TestPartsOfAnUpload(t *testing.T) {
	s := startLocal(t)
	makeBucket(t, s, "uploads")
	c := awsSDK(t, s)
	for _, from := range eachMode() {
		source := kept{s3client.Object{Bucket: "uploads", Key: "source-" + string(from.Mode)}, from, randomBody(5, 6<<20)}
		require.NoError(t, c.Put(t.Context(), source.at, source.body, source.enc))
		for _, enc := range eachMode() {
			t.Run(string(from.Mode+" to "+enc.Mode), func(t *testing.T) { uploadOfParts(t, s, source, enc) })
		}
	}
}

// eachMode returns one encryption of each mode, with a new customer key.
func eachMode() []s3client.Encryption {
	return []s3client.Encryption{{Mode: s3client.SSES3}, {Mode: s3client.SSEKMS}, {Mode: s3client.SSEC, CustomerKey: newCustomerKey()}}
}

func uploadOfParts(t *testing.T, s *server.Server, source kept, enc s3client.Encryption) {
	c := awsSDK(t, s)
	o := s3client.Object{Bucket: source.at.Bucket, Key: "target-" + string(enc.Mode)}
	first, last := randomBody(6, 5<<20), randomBody(7, 1234)
	upload, err := c.BeginUpload(t.Context(), o, enc)
	require.NoError(t, err)
	_, err = c.UploadPart(t.Context(), o, upload, 1, randomBody(8, 5<<20), enc)
	require.NoError(t, err)
	one, err := c.UploadPart(t.Context(), o, upload, 1, first, enc)
	require.NoError(t, err)
	two, err := c.CopyPart(t.Context(), source.at, source.enc, 100, 100+5<<20, o, upload, 2, enc)
	require.NoError(t, err)
	three, err := c.UploadPart(t.Context(), o, upload, 3, last, enc)
	require.NoError(t, err)
	require.NoError(t, c.CompleteUpload(t.Context(), o, upload, []types.CompletedPart{one, two, three}, enc))
	middle := source.body[100 : 100+5<<20+1]
	readsAs(t, c, kept{o, enc, bytes.Join([][]byte{first, middle, last}, nil)})

	var h headers
	if enc.Mode == s3client.SSEC {
		h = customer(hCustomer, enc.CustomerKey)
	}
	for number, want := range [][]byte{first, middle, last} {
		out, err := c.S3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &o.Bucket, Key: &o.Key, PartNumber: aws.Int32(int32(number + 1))}, h.set)
		require.NoError(t, err)
		got, err := io.ReadAll(out.Body)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), "part %d", number+1)
		require.EqualValues(t, 3, aws.ToInt32(out.PartsCount))
	}
	_, err = c.S3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &o.Bucket, Key: &o.Key, PartNumber: aws.Int32(4)}, h.set)
	require.ErrorContains(t, err, "InvalidPart")
}
