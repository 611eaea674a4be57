package s3client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const s3cmdConfig = `[default]
access_key = %s
secret_key = %s
bucket_location = %s
host_base = %s
host_bucket = %s
use_https = %s
ca_certs_file = %s
multipart_chunk_size_mb = 5
check_ssl_hostname = True
send_chunk = 65536
`

// S3cmd is the command s3cmd. It has SSE-S3 and SSE-KMS.
type S3cmd struct{ tool }

// NewS3cmd returns the command s3cmd, which keeps its files below dir.
func NewS3cmd(at Endpoint, dir string) (*S3cmd, error) {
	path, err := find("s3cmd", "--version")
	if err != nil {
		return nil, err
	}
	endpoint, err := url.Parse(at.URL)
	if err != nil {
		return nil, err
	}
	https := "False"
	if endpoint.Scheme == "https" {
		https = "True"
	}
	config := filepath.Join(dir, "s3cmd.config")
	text := fmt.Sprintf(s3cmdConfig, at.AccessKey, at.SecretKey, at.Region, endpoint.Host, endpoint.Host, https, at.CAFile)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	t, err := newTool(path, dir, "s3cmd", []string{"--config", config, "--no-progress"}, nil)
	t.retries = "WARNING: Retrying failed request"
	return &S3cmd{t}, err
}

// Name returns the name of the client.
func (c *S3cmd) Name() string { return "s3cmd" }

// Can reports whether the client has a feature. After a HEAD that is refused with 400 s3cmd tries another signature, and tells how that went.
func (c *S3cmd) Can(f Feature) bool { return f == CopyAcross || f == WriteExplains }

func (e Encryption) s3cmdArgs() ([]string, error) {
	switch e.Mode {
	case SSES3:
		return []string{"--server-side-encryption"}, nil
	case SSEKMS:
		return []string{"--server-side-encryption-kms-id=" + e.KeyID}, nil
	case SSEC:
		return nil, errors.New("s3cmd has no customer keys")
	}
	return nil, nil
}

func address(o Object) string { return "s3://" + o.Bucket + "/" + o.Key }

// Put stores an object in one request.
func (c *S3cmd) Put(ctx context.Context, o Object, body []byte, e Encryption) error {
	return c.put(ctx, o, body, e, "--disable-multipart")
}

// PutParts stores an object in parts.
func (c *S3cmd) PutParts(ctx context.Context, o Object, body []byte, e Encryption) error {
	return c.put(ctx, o, body, e)
}

func (c *S3cmd) put(ctx context.Context, o Object, body []byte, e Encryption, args ...string) error {
	sse, err := e.s3cmdArgs()
	if err != nil {
		return err
	}
	file, err := c.write(body)
	if err != nil {
		return err
	}
	_, err = c.run(ctx, append(append(args, sse...), "put", file, address(o))...)
	return err
}

// Get reads an object.
func (c *S3cmd) Get(ctx context.Context, o Object, _ Encryption) ([]byte, error) {
	return c.read(func(file string) error {
		_, err := c.run(ctx, "get", address(o), file)
		return err
	})
}

// GetRange is not there: s3cmd can only go on with a file that it has the beginning of.
func (c *S3cmd) GetRange(context.Context, Object, int64, int64, Encryption) ([]byte, error) {
	return nil, errors.New("s3cmd has no ranges")
}

var s3cmdSize = regexp.MustCompile(`(?m)^\s*File size:\s*(\d+)$`)

// Head asks about an object. s3cmd shows the size; what it shows of the encryption is not the key.
func (c *S3cmd) Head(ctx context.Context, o Object, _ Encryption) (Info, error) {
	out, err := c.run(ctx, "info", address(o))
	if err != nil {
		return Info{}, err
	}
	found := s3cmdSize.FindSubmatch(out)
	if found == nil {
		return Info{}, fmt.Errorf("s3cmd shows no size: %s", out)
	}
	size, err := strconv.ParseInt(string(found[1]), 10, 64)
	return Info{Size: size}, err
}

// List lists the objects of a bucket.
func (c *S3cmd) List(ctx context.Context, bucket, prefix string) (map[string]int64, error) {
	out, err := c.run(ctx, "ls", "--recursive", "s3://"+bucket+"/"+prefix)
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64)
	for line := range strings.Lines(string(out)) { // date, time, size, address
		fields := strings.Fields(line)
		if len(fields) != 4 {
			return nil, fmt.Errorf("s3cmd lists %q", line)
		}
		if sizes[strings.TrimPrefix(fields[3], "s3://"+bucket+"/")], err = strconv.ParseInt(fields[2], 10, 64); err != nil {
			return nil, err
		}
	}
	return sizes, nil
}

// Copy copies an object on the server.
func (c *S3cmd) Copy(ctx context.Context, from Object, _ Encryption, to Object, target Encryption) error {
	sse, err := target.s3cmdArgs()
	if err != nil {
		return err
	}
	_, err = c.run(ctx, append(sse, "cp", address(from), address(to))...)
	return err
}
