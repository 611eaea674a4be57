package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/objectkms/kms"
)

// Headers of Vault's.
const (
	tokenHeader     = "X-Vault-Token" // #nosec G101 -- the name of a header
	namespaceHeader = "X-Vault-Namespace"
	requestHeader   = "X-Vault-Request" // an agent may insist on it, since no browser sends it by itself
)

// maxResponse is the largest response in bytes that is read.
const maxResponse = 32 << 20

// send sends a request and reads the whole response. Errors wrap ErrUnavailable, or are those of a context that was cancelled.
//
// A standby that does not forward requests answers 307 with the address of its leader, having done nothing. That is followed once, with the
// token, where the path is the same and the way is as safe as the one to the standby.
func (c *client) send(ctx context.Context, req *request) (*answer, error) {
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	target := c.base.JoinPath("v1", req.path) // #nosec G125 -- mounts are checked, and ids have no slash
	answer, err := c.sendTo(limited, target, req)
	if err == nil && answer.status == http.StatusTemporaryRedirect && !req.health {
		leader, refused := c.leader(target, answer.location)
		answer.wipe()
		if refused != nil {
			return nil, refused
		}
		answer, err = c.sendTo(limited, leader, req)
	}
	if err != nil && limited.Err() != nil {
		return nil, contextError(limited, "request to Vault")
	}
	return answer, err
}

// leader returns where a standby says that its leader is.
func (c *client) leader(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	switch {
	case err != nil || location == "" || to.Hostname() == "":
		return nil, fmt.Errorf("%w: redirected to what is no URL", kms.ErrUnavailable)
	case to.EscapedPath() != from.EscapedPath() || to.RawQuery != "" || to.User != nil:
		return nil, fmt.Errorf("%w: redirected to another path of %.100q", kms.ErrUnavailable, to.Host)
	case to.Scheme == "https":
		return to, nil
	case to.Scheme == "http" && from.Scheme == "http" && (c.plain || isLoopback(to.Hostname())):
		return to, nil
	}
	return nil, fmt.Errorf("%w: redirected to %.100s://%.100s, want https://", kms.ErrUnavailable, to.Scheme, to.Host)
}

// sendTo sends a request to one address.
func (c *client) sendTo(ctx context.Context, target *url.URL, req *request) (*answer, error) {
	httpReq, err := c.httpRequest(ctx, target, req)
	if err != nil {
		return nil, fmt.Errorf("%w: request cannot be made", kms.ErrInvalidRequest)
	}
	c.counts.requests.Add(1)
	resp, err := c.http.Do(httpReq)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kms.ErrUnavailable, withoutURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		// What follows is the bare connection, which no context ends.
		return nil, fmt.Errorf("%w: answer %d is none of Vault's", kms.ErrUnavailable, resp.StatusCode)
	}
	raw, err := readBody(resp)
	if err != nil {
		clear(raw)
		return nil, fmt.Errorf("%w: answer %d is cut off: %w", kms.ErrUnavailable, resp.StatusCode, err)
	}
	return newAnswer(resp, raw, req)
}

func (c *client) httpRequest(ctx context.Context, target *url.URL, req *request) (*http.Request, error) {
	var body io.Reader
	if req.body != nil {
		body = bytes.NewReader(req.body)
	}
	httpReq, err := http.NewRequestWithContext(ctx, req.method, target.String(), body)
	if err != nil {
		return nil, err
	}
	httpReq.Header = c.header.Clone()
	if req.body != nil {
		httpReq.Header.Set("Content-Type", "application/json")
	}
	if req.token != "" {
		httpReq.Header.Set(tokenHeader, req.token)
	}
	if req.health {
		httpReq.Header.Del(namespaceHeader)
	}
	return httpReq, nil
}

// readBody reads a body, in one piece of memory where its size is known, so that it can be wiped.
func readBody(resp *http.Response) ([]byte, error) {
	if resp.ContentLength > maxResponse {
		return nil, fmt.Errorf("%d bytes, want at most %d", resp.ContentLength, maxResponse)
	}
	var buf bytes.Buffer
	// ReadFrom wants room for one read more than there is to read.
	buf.Grow(int(max(resp.ContentLength, 0)) + bytes.MinRead)
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, maxResponse+1))
	if err == nil && n > maxResponse {
		err = fmt.Errorf("more than %d bytes", maxResponse)
	}
	return buf.Bytes(), err
}

// withoutURL strips the URL of a request from its error: it is known here, and long.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
