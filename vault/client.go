// Package vault keeps master keys in a Vault or OpenBao server.
package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/objectkms/kms"
)

// A client sends requests to one server.
type client struct {
	api *api.Client
}

// newClient connects to the server of cfg, which is valid, and logs in.
func newClient(ctx context.Context, cfg Config) (*client, error) {
	conf := api.DefaultConfig()
	conf.Address = cfg.Address
	server, err := api.NewClient(conf)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kms.ErrInvalidConfig, err)
	}
	if given, ok := cfg.Auth.(TokenAuth); ok {
		server.SetToken(string(given.Token.Bytes()))
	}
	return newClientFrom(ctx, server, cfg)
}

// newClientFrom is newClient over a client of the caller's, which it does not change.
func newClientFrom(_ context.Context, server *api.Client, _ Config) (*client, error) {
	return &client{api: server}, nil
}

// close ends the session.
func (c *client) close() {}

// maxResponse is the largest response in bytes that is read.
const maxResponse = 32 << 20

// do sends one request and decodes the JSON of a successful response into out, unless out is nil. body is sent as JSON unless nil. path has no
// leading slash and no /v1. A response of any other status than 200 to 299 is a *statusError, classified; what it held is decoded into out too where it is JSON with data.
func (c *client) do(ctx context.Context, method, path string, body, out any) error {
	req := c.api.NewRequest(method, "/v1/"+path)
	if body != nil {
		if err := req.SetJSONBody(body); err != nil {
			return err
		}
	}
	resp, err := c.api.RawRequestWithContext(ctx, req)
	if resp == nil {
		return fmt.Errorf("%w: %w", kms.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	raw, readErr := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if readErr != nil {
		return fmt.Errorf("%w: %w", kms.ErrUnavailable, readErr)
	}
	if out != nil && len(bytes.TrimSpace(raw)) > 0 {
		if err := json.Unmarshal(raw, out); err != nil {
			return fmt.Errorf("%w: answer is not JSON", kms.ErrUnavailable)
		}
	}
	if resp.StatusCode >= 300 {
		var answer struct{ Errors []string }
		json.Unmarshal(raw, &answer)
		return &statusError{status: resp.StatusCode, messages: answer.Errors}
	}
	return nil
}

// A statusError is a response that is no success. It wraps the sentinel of package kms that its status means.
type statusError struct {
	status   int
	messages []string // the server's; they never hold plaintext or tokens
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%v: vault answered %d: %s", e.Unwrap(), e.status, strings.Join(e.messages, "; "))
}

func (e *statusError) Unwrap() error {
	switch {
	case e.status == http.StatusForbidden || e.status == http.StatusUnauthorized:
		return kms.ErrPermission
	case e.status == http.StatusNotFound:
		return kms.ErrKeyNotFound
	case e.status == http.StatusTooManyRequests || e.status >= 500:
		return kms.ErrUnavailable
	}
	return kms.ErrInvalidRequest
}

// says reports whether one of the server's messages contains text.
func (e *statusError) says(text string) bool {
	for _, m := range e.messages {
		if strings.Contains(m, text) {
			return true
		}
	}
	return false
}
