package s3client

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

//go:embed boto3.py
var boto3Script string

// Boto3 is the SDK of Python, in a process that answers one request after the other.
type Boto3 struct {
	tool
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer
}

// NewBoto3 starts a process of Python that keeps its files below dir. Close ends it.
func NewBoto3(at Endpoint, dir string) (*Boto3, error) {
	path, err := find("python3", "-c", "import boto3")
	if err != nil {
		return nil, err
	}
	t, err := newTool(path, dir, "boto3", nil, nil)
	if err != nil {
		return nil, err
	}
	c := &Boto3{tool: t, cmd: exec.Command(path, "-c", boto3Script)}
	c.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.dir, "ENDPOINT=" + at.URL, "AWS_CA_BUNDLE=" + at.CAFile, "AWS_DEFAULT_REGION=" + at.Region,
		"AWS_ACCESS_KEY_ID=" + at.AccessKey, "AWS_SECRET_ACCESS_KEY=" + at.SecretKey, "AWS_EC2_METADATA_DISABLED=true", "PYTHONWARNINGS=ignore",
	}
	c.cmd.Stderr = &c.stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.stdout = bufio.NewReader(stdout)
	return c, c.cmd.Start()
}

// Close ends the process.
func (c *Boto3) Close() error {
	c.stdin.Close()
	return c.cmd.Wait()
}

// Name returns the name of the client.
func (c *Boto3) Name() string { return "boto3" }

// Can reports whether the client has a feature. Only newer versions send a customer key to complete an upload.
func (c *Boto3) Can(f Feature) bool { return f != CustomerParts }

// args are the parameters of a call in Python.
type args map[string]any

// call lets the process do something. result is where its answer goes, or nil.
func (c *Boto3) call(ctx context.Context, op string, a args, result any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	line, err := json.Marshal(map[string]any{"op": op, "args": a})
	if err != nil {
		return err
	}
	if _, err := c.stdin.Write(append(line, '\n')); err != nil {
		return err
	}
	reply, err := c.stdout.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("python has ended: %w", err)
	}
	var answer struct {
		Error  string
		Result json.RawMessage
	}
	if err := json.Unmarshal(reply, &answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}

// with returns the parameters and those of an object.
func (a args) with(o Object) args {
	a["Bucket"], a["Key"] = o.Bucket, o.Key
	return a
}

// reads returns the parameters of a read. boto3 takes the key as it is, and writes the headers.
func (e Encryption) reads() args {
	if e.Mode != SSEC || e.CustomerKey == "" {
		return args{}
	}
	return args{"SSECustomerAlgorithm": "AES256", "SSECustomerKey": e.CustomerKey}
}

func (e Encryption) writes() args {
	a := e.reads()
	if e.algorithm() != "" {
		a["ServerSideEncryption"] = e.algorithm()
	}
	if e.KeyID != "" {
		a["SSEKMSKeyId"] = e.KeyID
	}
	if e.Context != nil {
		a["SSEKMSEncryptionContext"] = contextHeader(e.Context)
	}
	if e.BucketKey {
		a["BucketKeyEnabled"] = true
	}
	return a
}

// Put stores an object in one request.
func (c *Boto3) Put(ctx context.Context, o Object, body []byte, e Encryption) error {
	return c.put(ctx, "put", o, body, e)
}

// PutParts stores an object in parts.
func (c *Boto3) PutParts(ctx context.Context, o Object, body []byte, e Encryption) error {
	return c.put(ctx, "put_parts", o, body, e)
}

func (c *Boto3) put(ctx context.Context, op string, o Object, body []byte, e Encryption) error {
	file, err := c.write(body)
	if err != nil {
		return err
	}
	a := e.writes().with(o)
	a["file"] = file
	return c.call(ctx, op, a, nil)
}

// Get reads an object.
func (c *Boto3) Get(ctx context.Context, o Object, e Encryption) ([]byte, error) {
	return c.get(ctx, e.reads().with(o))
}

// GetRange reads a part of an object.
func (c *Boto3) GetRange(ctx context.Context, o Object, first, last int64, e Encryption) ([]byte, error) {
	a := e.reads().with(o)
	a["Range"] = fmt.Sprintf("bytes=%d-%d", first, last)
	return c.get(ctx, a)
}

func (c *Boto3) get(ctx context.Context, a args) ([]byte, error) {
	return c.read(func(file string) error {
		a["file"] = file
		return c.call(ctx, "get", a, nil)
	})
}

// Head asks about an object.
func (c *Boto3) Head(ctx context.Context, o Object, e Encryption) (Info, error) {
	var head headOutput
	err := c.call(ctx, "head", e.reads().with(o), &head)
	return head.info(), err
}

// List lists the objects of a bucket.
func (c *Boto3) List(ctx context.Context, bucket, prefix string) (map[string]int64, error) {
	sizes := make(map[string]int64)
	err := c.call(ctx, "list", args{"Bucket": bucket, "Prefix": prefix}, &sizes)
	return sizes, err
}

// Copy copies an object on the server.
func (c *Boto3) Copy(ctx context.Context, from Object, source Encryption, to Object, target Encryption) error {
	a := target.writes().with(to)
	a["CopySource"] = map[string]string{"Bucket": from.Bucket, "Key": from.Key}
	for name, value := range source.reads() {
		a["CopySource"+name] = value
	}
	return c.call(ctx, "copy", a, nil)
}
