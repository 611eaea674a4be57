package vault

import (
	"encoding/json"
	"fmt"

	"github.com/objectkms/kms"
)

// A request is one that can be sent, and sent again.
type request struct {
	method, path string
	body         []byte // JSON; nil: none
	token        string // empty: none
	health       bool   // asks about health, whose statuses have meanings of their own
}

// newRequest encodes a request. The path is one that stays where it is meant to be.
func newRequest(method, path string, body any) (*request, error) {
	if !isPath(path) {
		return nil, fmt.Errorf("%w: path %q leads elsewhere", kms.ErrInvalidRequest, path)
	}
	req := &request{method: method, path: path}
	if body == nil {
		return req, nil
	}
	var err error
	if req.body, err = json.Marshal(body); err != nil {
		return nil, fmt.Errorf("%w: body of the request: %w", kms.ErrInvalidRequest, err)
	}
	return req, nil
}

// with returns the request with a token.
func (r request) with(token string) *request {
	r.token = token
	return &r
}
