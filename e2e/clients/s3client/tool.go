package s3client

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A tool is a program of the command line, with a directory for its files.
type tool struct {
	path string
	dir  string
	args []string // before all others
	env  []string
	// retries is what the tool says before it waits and tries again, where it cannot be told not to. It is ended then.
	retries string
}

// find returns the first program of this name that works: one that ends well with these arguments.
func find(name string, args ...string) (string, error) {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if exec.Command(path, args...).Run() == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: no %s in the path, or none that works with %q", ErrAbsent, name, strings.Join(args, " "))
}

func newTool(path, dir, name string, args, env []string) (tool, error) {
	dir = filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return tool{}, err
	}
	return tool{path: path, dir: dir, args: args, env: env}, nil
}

// run runs the tool and returns what it writes. Its error has what it says of errors.
func (t tool) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, t.path, append(t.args[:len(t.args):len(t.args)], args...)...)
	// Nothing that the user has set for such tools counts.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.dir, "LC_ALL=C.UTF-8"}, t.env...)
	var stdout bytes.Buffer
	stderr := &watched{text: t.retries, seen: func() { cmd.Process.Kill() }}
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("%s: %w: %s", filepath.Base(t.path), err, strings.TrimSpace(stderr.written.String()))
	}
	return stdout.Bytes(), nil
}

// watched keeps what is written, and calls seen when a text comes, if there is one to look for.
type watched struct {
	written bytes.Buffer
	text    string
	seen    func()
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.written.Write(p)
	if w.text != "" && strings.Contains(w.written.String(), w.text) {
		w.seen()
	}
	return n, err
}

// write puts a body into a file for the tool.
func (t tool) write(body []byte) (file string, err error) {
	file = filepath.Join(t.dir, "body")
	return file, os.WriteFile(file, body, 0o600)
}

// read lets the tool fill a file, and returns what is in it, also where the tool has failed.
func (t tool) read(fill func(file string) error) ([]byte, error) {
	file := filepath.Join(t.dir, "read")
	if err := os.RemoveAll(file); err != nil {
		return nil, err
	}
	failed := fill(file)
	body, err := os.ReadFile(file)
	if failed != nil {
		return body, failed
	}
	return body, err
}
