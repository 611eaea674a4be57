package s3client

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
)

// Rclone is the command rclone. What it sends is the same for reading and for writing, since it belongs to the remote.
type Rclone struct{ tool }

// NewRclone returns the command rclone, which keeps its files below dir.
func NewRclone(at Endpoint, dir string) (*Rclone, error) {
	found, err := find("rclone", "version")
	if err != nil {
		return nil, err
	}
	env := []string{
		"RCLONE_CONFIG_S3_TYPE=s3", "RCLONE_CONFIG_S3_PROVIDER=Minio", "RCLONE_CONFIG_S3_ENDPOINT=" + at.URL, "RCLONE_CONFIG_S3_REGION=" + at.Region,
		"RCLONE_CONFIG_S3_ACCESS_KEY_ID=" + at.AccessKey, "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY=" + at.SecretKey,
		"RCLONE_S3_CHUNK_SIZE=5M", "RCLONE_S3_UPLOAD_CUTOFF=5M", "RCLONE_S3_NO_CHECK_BUCKET=true",
	}
	args := []string{"--config=", "--ca-cert=" + at.CAFile, "--retries=1", "--low-level-retries=1"}
	if at.CAFile == "" {
		args = []string{"--config=", "--retries=1", "--low-level-retries=1"}
	}
	t, err := newTool(found, dir, "rclone", args, env)
	return &Rclone{t}, err
}

// Name returns the name of the client.
func (c *Rclone) Name() string { return "rclone" }

// Can reports whether the client has a feature. A HEAD that is refused with another status than 404 is to rclone as if there were no object.
func (c *Rclone) Can(f Feature) bool { return f == CustomerKeys || f == Ranges || f == WriteExplains }

// with returns the tool with what it sends of an encryption.
func (c *Rclone) with(e Encryption) tool {
	t := c.tool
	set := func(name, value string) { t.args = append(t.args[:len(t.args):len(t.args)], "--s3-"+name+"="+value) }
	if e.algorithm() != "" {
		set("server-side-encryption", e.algorithm())
	}
	if e.KeyID != "" {
		set("sse-kms-key-id", e.KeyID)
	}
	if e.Mode == SSEC && e.CustomerKey != "" {
		set("sse-customer-algorithm", "AES256")
		set("sse-customer-key", e.CustomerKey)
		set("sse-customer-key-md5", KeyMD5(e.CustomerKey))
	}
	return t
}

func remote(o Object) string { return "s3:" + o.Bucket + "/" + o.Key }

// Put stores an object in one request.
func (c *Rclone) Put(ctx context.Context, o Object, body []byte, e Encryption) error {
	return c.put(ctx, o, body, e, "--s3-upload-cutoff=100M")
}

// PutParts stores an object in parts.
func (c *Rclone) PutParts(ctx context.Context, o Object, body []byte, e Encryption) error {
	return c.put(ctx, o, body, e)
}

func (c *Rclone) put(ctx context.Context, o Object, body []byte, e Encryption, args ...string) error {
	file, err := c.write(body)
	if err != nil {
		return err
	}
	_, err = c.with(e).run(ctx, append(args, "copyto", "--ignore-times", file, remote(o))...)
	return err
}

// Get reads an object.
func (c *Rclone) Get(ctx context.Context, o Object, e Encryption) ([]byte, error) {
	return c.read(func(file string) error {
		_, err := c.with(e).run(ctx, "copyto", "--ignore-times", remote(o), file)
		return err
	})
}

// GetRange reads a part of an object.
func (c *Rclone) GetRange(ctx context.Context, o Object, first, last int64, e Encryption) ([]byte, error) {
	return c.with(e).run(ctx, "cat", "--offset="+strconv.FormatInt(first, 10), "--count="+strconv.FormatInt(last-first+1, 10), remote(o))
}

// rcloneEntry is what rclone lists.
type rcloneEntry struct {
	Path string
	Size int64
}

// Head asks about an object. rclone shows its size.
func (c *Rclone) Head(ctx context.Context, o Object, e Encryption) (Info, error) {
	out, err := c.with(e).run(ctx, "lsjson", "--stat", remote(o))
	if err != nil {
		return Info{}, err
	}
	var entry rcloneEntry
	if err := json.Unmarshal(out, &entry); err != nil {
		return Info{}, fmt.Errorf("%w: %s", err, out)
	}
	return Info{Size: entry.Size}, nil
}

// List lists the objects of a bucket. The prefix is a directory.
func (c *Rclone) List(ctx context.Context, bucket, prefix string) (map[string]int64, error) {
	out, err := c.run(ctx, "lsjson", "--recursive", "--files-only", "--no-modtime", "--no-mimetype", "s3:"+bucket+"/"+prefix)
	if err != nil {
		return nil, err
	}
	var entries []rcloneEntry
	if err := json.Unmarshal(out, &entries); err != nil {
		return nil, err
	}
	sizes := make(map[string]int64)
	for _, entry := range entries {
		sizes[path.Join(prefix, entry.Path)] = entry.Size
	}
	return sizes, nil
}

// Copy copies an object on the server. The encryption of both is the same.
func (c *Rclone) Copy(ctx context.Context, from Object, _ Encryption, to Object, target Encryption) error {
	_, err := c.with(target).run(ctx, "copyto", "--ignore-times", remote(from), remote(to))
	return err
}
