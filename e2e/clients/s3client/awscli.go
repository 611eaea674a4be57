package s3client

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// awsConfig makes parts of the size that all clients have.
const awsConfig = `[default]
s3 =
  multipart_threshold = 5MB
  multipart_chunksize = 5MB
  max_concurrent_requests = 4
`

// AWSCLI is the command aws.
type AWSCLI struct{ tool }

// NewAWSCLI returns the command aws, which keeps its files below dir.
func NewAWSCLI(at Endpoint, dir string) (*AWSCLI, error) {
	path, err := find("aws", "--version")
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "aws.config")
	if err := os.WriteFile(config, []byte(awsConfig), 0o600); err != nil {
		return nil, err
	}
	env := []string{
		"AWS_ACCESS_KEY_ID=" + at.AccessKey, "AWS_SECRET_ACCESS_KEY=" + at.SecretKey, "AWS_DEFAULT_REGION=" + at.Region,
		"AWS_CA_BUNDLE=" + at.CAFile, "AWS_CONFIG_FILE=" + config, "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true",
	}
	t, err := newTool(path, dir, "aws", []string{"--endpoint-url", at.URL, "--output", "json"}, env)
	return &AWSCLI{t}, err
}

// Name returns the name of the client.
func (c *AWSCLI) Name() string { return "aws-cli" }

// Can reports whether the client has a feature. Only newer versions send a customer key to complete an upload.
func (c *AWSCLI) Can(f Feature) bool { return f != CustomerParts }

// customerArgs returns the arguments of a customer key. prefix is empty or "copy-source-".
func (e Encryption) customerArgs(prefix string) []string {
	if e.Mode != SSEC || e.CustomerKey == "" {
		return nil
	}
	return []string{"--" + prefix + "sse-customer-algorithm", "AES256", "--" + prefix + "sse-customer-key", e.CustomerKey}
}

// writeArgs returns the arguments of a write.
func (e Encryption) writeArgs() []string {
	args := e.customerArgs("")
	if e.algorithm() != "" {
		args = append(args, "--server-side-encryption", e.algorithm())
	}
	if e.KeyID != "" {
		args = append(args, "--ssekms-key-id", e.KeyID)
	}
	if e.Context != nil {
		args = append(args, "--ssekms-encryption-context", contextHeader(e.Context))
	}
	if e.BucketKey {
		args = append(args, "--bucket-key-enabled")
	}
	return args
}

func (c *AWSCLI) api(ctx context.Context, operation string, o Object, args ...string) ([]byte, error) {
	return c.run(ctx, append([]string{"s3api", operation, "--bucket", o.Bucket, "--key", o.Key}, args...)...)
}

// Put stores an object in one request.
func (c *AWSCLI) Put(ctx context.Context, o Object, body []byte, e Encryption) error {
	file, err := c.write(body)
	if err != nil {
		return err
	}
	_, err = c.api(ctx, "put-object", o, append(e.writeArgs(), "--body", file)...)
	return err
}

// PutParts stores an object in parts.
func (c *AWSCLI) PutParts(ctx context.Context, o Object, body []byte, e Encryption) error {
	file, err := c.write(body)
	if err != nil {
		return err
	}
	args := []string{"s3", "cp", "--only-show-errors", file, "s3://" + o.Bucket + "/" + o.Key}
	if e.algorithm() != "" {
		args = append(args, "--sse", e.algorithm())
	}
	if e.KeyID != "" {
		args = append(args, "--sse-kms-key-id", e.KeyID)
	}
	if e.Mode == SSEC {
		args = append(args, "--sse-c", "AES256", "--sse-c-key", e.CustomerKey)
	}
	_, err = c.run(ctx, args...)
	return err
}

// Get reads an object.
func (c *AWSCLI) Get(ctx context.Context, o Object, e Encryption) ([]byte, error) {
	return c.get(ctx, o, e)
}

// GetRange reads a part of an object.
func (c *AWSCLI) GetRange(ctx context.Context, o Object, first, last int64, e Encryption) ([]byte, error) {
	return c.get(ctx, o, e, "--range", fmt.Sprintf("bytes=%d-%d", first, last))
}

func (c *AWSCLI) get(ctx context.Context, o Object, e Encryption, args ...string) ([]byte, error) {
	return c.read(func(file string) error {
		_, err := c.api(ctx, "get-object", o, append(append(args, e.customerArgs("")...), file)...)
		return err
	})
}

// headOutput is what aws and boto3 say of a HEAD.
type headOutput struct {
	ContentLength        int64
	ETag                 string
	ServerSideEncryption string
	SSEKMSKeyId          string
	SSECustomerKeyMD5    string
}

func (h headOutput) info() Info {
	return Info{Size: h.ContentLength, ETag: unquote(h.ETag), Algorithm: h.ServerSideEncryption, KeyID: h.SSEKMSKeyId, KeyMD5: h.SSECustomerKeyMD5}
}

// Head asks about an object.
func (c *AWSCLI) Head(ctx context.Context, o Object, e Encryption) (Info, error) {
	out, err := c.api(ctx, "head-object", o, e.customerArgs("")...)
	if err != nil {
		return Info{}, err
	}
	var head headOutput
	err = json.Unmarshal(out, &head)
	return head.info(), err
}

// List lists the objects of a bucket.
func (c *AWSCLI) List(ctx context.Context, bucket, prefix string) (map[string]int64, error) {
	out, err := c.run(ctx, "s3api", "list-objects-v2", "--bucket", bucket, "--prefix", prefix)
	if err != nil {
		return nil, err
	}
	var list struct {
		Contents []struct {
			Key  string
			Size int64
		}
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, err
	}
	sizes := make(map[string]int64)
	for _, object := range list.Contents {
		sizes[object.Key] = object.Size
	}
	return sizes, nil
}

// Copy copies an object on the server.
func (c *AWSCLI) Copy(ctx context.Context, from Object, source Encryption, to Object, target Encryption) error {
	args := append([]string{"--copy-source", from.Bucket + "/" + from.Key}, source.customerArgs("copy-source-")...)
	_, err := c.api(ctx, "copy-object", to, append(args, target.writeArgs()...)...)
	return err
}
