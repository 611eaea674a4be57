package s3client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// AWS is aws-sdk-go-v2.
type AWS struct{ S3 *s3.Client }

// NewAWS returns a client that sends its requests through a transport.
func NewAWS(at Endpoint, transport http.RoundTripper, opts ...func(*s3.Options)) *AWS {
	return &AWS{S3: s3.New(s3.Options{
		BaseEndpoint: aws.String(at.URL),
		Region:       at.Region,
		Credentials:  credentials.NewStaticCredentialsProvider(at.AccessKey, at.SecretKey, ""),
		UsePathStyle: true,
		HTTPClient:   &http.Client{Transport: transport},
		Retryer:      aws.NopRetryer{},
	}, opts...)}
}

// Name returns the name of the client.
func (c *AWS) Name() string { return "aws-sdk-go-v2" }

// Can reports whether the client has a feature.
func (c *AWS) Can(Feature) bool { return true }

// customer returns the three headers of a customer key, all nil where there is none.
func (e Encryption) customer() (algorithm, key, md5 *string) {
	if e.Mode != SSEC || e.CustomerKey == "" {
		return nil, nil, nil
	}
	return aws.String("AES256"), aws.String(keyBase64(e.CustomerKey)), aws.String(KeyMD5(e.CustomerKey))
}

// kms returns the headers of SSE-KMS, all nil in other modes.
func (e Encryption) kms() (keyID, context *string, bucketKey *bool) {
	if e.Mode != SSEKMS {
		return nil, nil, nil
	}
	if e.KeyID != "" {
		keyID = aws.String(e.KeyID)
	}
	if e.Context != nil {
		context = aws.String(contextHeader(e.Context))
	}
	if e.BucketKey {
		bucketKey = aws.Bool(true)
	}
	return keyID, context, bucketKey
}

func contextHeader(context map[string]string) string {
	document, err := json.Marshal(context)
	if err != nil {
		panic(err) // strings can always be written
	}
	return base64.StdEncoding.EncodeToString(document)
}

// Put stores an object in one request.
func (c *AWS) Put(ctx context.Context, o Object, body []byte, e Encryption) error {
	in := &s3.PutObjectInput{Bucket: &o.Bucket, Key: &o.Key, Body: bytes.NewReader(body), ServerSideEncryption: types.ServerSideEncryption(e.algorithm())}
	in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = e.customer()
	in.SSEKMSKeyId, in.SSEKMSEncryptionContext, in.BucketKeyEnabled = e.kms()
	_, err := c.S3.PutObject(ctx, in)
	return err
}

// Get reads an object.
func (c *AWS) Get(ctx context.Context, o Object, e Encryption) ([]byte, error) {
	return c.get(ctx, o, nil, e)
}

// GetRange reads a part of an object.
func (c *AWS) GetRange(ctx context.Context, o Object, first, last int64, e Encryption) ([]byte, error) {
	return c.get(ctx, o, aws.String(fmt.Sprintf("bytes=%d-%d", first, last)), e)
}

func (c *AWS) get(ctx context.Context, o Object, bytesRange *string, e Encryption) ([]byte, error) {
	in := &s3.GetObjectInput{Bucket: &o.Bucket, Key: &o.Key, Range: bytesRange}
	in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = e.customer()
	out, err := c.S3.GetObject(ctx, in)
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

// Head asks about an object.
func (c *AWS) Head(ctx context.Context, o Object, e Encryption) (Info, error) {
	in := &s3.HeadObjectInput{Bucket: &o.Bucket, Key: &o.Key}
	in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = e.customer()
	out, err := c.S3.HeadObject(ctx, in)
	if err != nil {
		return Info{}, err
	}
	return Info{
		Size: aws.ToInt64(out.ContentLength), ETag: unquote(aws.ToString(out.ETag)),
		Algorithm: string(out.ServerSideEncryption), KeyID: aws.ToString(out.SSEKMSKeyId), KeyMD5: aws.ToString(out.SSECustomerKeyMD5),
	}, nil
}

func unquote(etag string) string { return strings.Trim(etag, `"`) }

// List lists the objects of a bucket.
func (c *AWS) List(ctx context.Context, bucket, prefix string) (map[string]int64, error) {
	sizes := make(map[string]int64)
	pages := s3.NewListObjectsV2Paginator(c.S3, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, object := range page.Contents {
			sizes[aws.ToString(object.Key)] = aws.ToInt64(object.Size)
		}
	}
	return sizes, nil
}

// Copy copies an object on the server.
func (c *AWS) Copy(ctx context.Context, from Object, source Encryption, to Object, target Encryption) error {
	in := &s3.CopyObjectInput{
		Bucket: &to.Bucket, Key: &to.Key, CopySource: aws.String(from.Bucket + "/" + url.PathEscape(from.Key)),
		ServerSideEncryption: types.ServerSideEncryption(target.algorithm()),
	}
	in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = target.customer()
	in.SSEKMSKeyId, in.SSEKMSEncryptionContext, in.BucketKeyEnabled = target.kms()
	in.CopySourceSSECustomerAlgorithm, in.CopySourceSSECustomerKey, in.CopySourceSSECustomerKeyMD5 = source.customer()
	_, err := c.S3.CopyObject(ctx, in)
	return err
}

// MakeBucket makes a bucket.
func (c *AWS) MakeBucket(ctx context.Context, bucket string) error {
	_, err := c.S3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
	return err
}
