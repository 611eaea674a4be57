package s3client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"
)

// Minio is minio-go.
type Minio struct{ client *minio.Client }

// NewMinio returns a client that sends its requests through a transport.
func NewMinio(at Endpoint, transport http.RoundTripper) (*Minio, error) {
	endpoint, err := url.Parse(at.URL)
	if err != nil {
		return nil, err
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(at.AccessKey, at.SecretKey, ""),
		Secure:       endpoint.Scheme == "https",
		Transport:    transport,
		Region:       at.Region,
		BucketLookup: minio.BucketLookupPath,
		MaxRetries:   1,
	})
	return &Minio{client: client}, err
}

// Name returns the name of the client.
func (c *Minio) Name() string { return "minio-go" }

// Can reports whether the client has a feature.
func (c *Minio) Can(Feature) bool { return true }

// sse returns what minio-go knows of an encryption, nil where nothing is said.
func (e Encryption) sse() (encrypt.ServerSide, error) {
	switch {
	case e.Mode == SSES3:
		return encrypt.NewSSE(), nil
	case e.Mode == SSEKMS && e.Context == nil:
		return encrypt.NewSSEKMS(e.KeyID, nil)
	case e.Mode == SSEKMS:
		return encrypt.NewSSEKMS(e.KeyID, e.Context)
	case e.Mode == SSEC && e.CustomerKey != "":
		return encrypt.NewSSEC([]byte(e.CustomerKey))
	}
	return nil, nil
}

// readSSE is sse for reads, which send the customer key only.
func (e Encryption) readSSE() (encrypt.ServerSide, error) {
	if e.Mode != SSEC {
		return nil, nil
	}
	return e.sse()
}

// Put stores an object in one request.
func (c *Minio) Put(ctx context.Context, o Object, body []byte, e Encryption) error {
	return c.put(ctx, o, body, e, minio.PutObjectOptions{DisableMultipart: true})
}

// PutParts stores an object in parts.
func (c *Minio) PutParts(ctx context.Context, o Object, body []byte, e Encryption) error {
	return c.put(ctx, o, body, e, minio.PutObjectOptions{PartSize: PartSize})
}

func (c *Minio) put(ctx context.Context, o Object, body []byte, e Encryption, opts minio.PutObjectOptions) error {
	var err error
	if opts.ServerSideEncryption, err = e.sse(); err != nil {
		return err
	}
	_, err = c.client.PutObject(ctx, o.Bucket, o.Key, bytes.NewReader(body), int64(len(body)), opts)
	return withCode(err)
}

// Get reads an object.
func (c *Minio) Get(ctx context.Context, o Object, e Encryption) ([]byte, error) {
	return c.get(ctx, o, minio.GetObjectOptions{}, e)
}

// GetRange reads a part of an object.
func (c *Minio) GetRange(ctx context.Context, o Object, first, last int64, e Encryption) ([]byte, error) {
	var opts minio.GetObjectOptions
	if err := opts.SetRange(first, last); err != nil {
		return nil, err
	}
	return c.get(ctx, o, opts, e)
}

func (c *Minio) get(ctx context.Context, o Object, opts minio.GetObjectOptions, e Encryption) ([]byte, error) {
	var err error
	if opts.ServerSideEncryption, err = e.readSSE(); err != nil {
		return nil, err
	}
	object, err := c.client.GetObject(ctx, o.Bucket, o.Key, opts)
	if err != nil {
		return nil, withCode(err)
	}
	defer object.Close()
	body, err := io.ReadAll(object)
	return body, withCode(err)
}

// Head asks about an object.
func (c *Minio) Head(ctx context.Context, o Object, e Encryption) (Info, error) {
	sse, err := e.readSSE()
	if err != nil {
		return Info{}, err
	}
	info, err := c.client.StatObject(ctx, o.Bucket, o.Key, minio.StatObjectOptions{ServerSideEncryption: sse})
	if err != nil {
		return Info{}, withCode(err)
	}
	header := func(name string) string { return info.Metadata.Get("X-Amz-Server-Side-Encryption" + name) }
	return Info{Size: info.Size, ETag: info.ETag, Algorithm: header(""), KeyID: header("-Aws-Kms-Key-Id"), KeyMD5: header("-Customer-Key-Md5")}, nil
}

// List lists the objects of a bucket.
func (c *Minio) List(ctx context.Context, bucket, prefix string) (map[string]int64, error) {
	sizes := make(map[string]int64)
	for object := range c.client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if object.Err != nil {
			return nil, withCode(object.Err)
		}
		sizes[object.Key] = object.Size
	}
	return sizes, nil
}

// Copy copies an object on the server.
func (c *Minio) Copy(ctx context.Context, from Object, source Encryption, to Object, target Encryption) error {
	read, err := source.readSSE()
	if err != nil {
		return err
	}
	write, err := target.sse()
	if err != nil {
		return err
	}
	_, err = c.client.CopyObject(ctx,
		minio.CopyDestOptions{Bucket: to.Bucket, Object: to.Key, Encryption: write},
		minio.CopySrcOptions{Bucket: from.Bucket, Object: from.Key, Encryption: read})
	return withCode(err)
}

// withCode puts the code of an error document before its message, which is all that minio-go shows.
func withCode(err error) error {
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok && answer.Code != "" {
		return fmt.Errorf("%s (%d): %w", answer.Code, answer.StatusCode, err)
	}
	return err
}
