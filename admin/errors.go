package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/objectkms/kms"
)

// The errors of HTTP itself, which package kms knows nothing of.
var (
	errNoRoute  = errors.New("no such route")
	errMethod   = errors.New("the route has no such method")
	errTooLarge = errors.New("the body is too large")
)

// A deniedError is the refusal of the server's own Authorize.
type deniedError struct{ err error }

func denied(err error) error { return &deniedError{err} }

func (e *deniedError) Error() string   { return fmt.Sprintf("%v: %v", kms.ErrPermission, e.err) }
func (e *deniedError) Unwrap() []error { return []error{kms.ErrPermission, e.err} }

// errorBody is what is told of an error.
type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// errorAnswer returns the status and the body for an error.
func errorAnswer(err error) (status int, body []byte) {
	status, told := describe(err)
	body, _ = json.Marshal(told) // two strings
	return status, body
}

// describe returns what is told of an error. What comes from nobody knows where, and a refusal, are only told as such; the audit record has the whole.
func describe(err error) (status int, told *errorBody) {
	switch {
	case errors.Is(err, errNoRoute):
		return http.StatusNotFound, &errorBody{"NoSuchRoute", err.Error()}
	case errors.Is(err, errMethod):
		return http.StatusMethodNotAllowed, &errorBody{"MethodNotAllowed", err.Error()}
	case errors.Is(err, errTooLarge):
		return http.StatusRequestEntityTooLarge, &errorBody{"RequestTooLarge", err.Error()}
	}
	if _, is := errors.AsType[*deniedError](err); is {
		return http.StatusForbidden, &errorBody{"AccessDenied", kms.ErrPermission.Error()}
	}
	for _, class := range classes() {
		if errors.Is(err, class.err) {
			return kms.HTTPStatus(err), &errorBody{class.code, err.Error()}
		}
	}
	return http.StatusInternalServerError, &errorBody{"InternalError", "internal error"}
}

type class struct {
	err  error
	code string
}

// classes are the codes of errors, in the order of precedence that kms.HTTPStatus has.
func classes() []class {
	return []class{
		{kms.ErrPermission, "AccessDenied"},
		{kms.ErrInvalidRequest, "InvalidRequest"},
		{kms.ErrInvalidConfig, "InvalidConfiguration"},
		{kms.ErrKeyNotFound, "KeyNotFound"},
		{kms.ErrKeyExists, "KeyAlreadyExists"},
		{kms.ErrKeyDisabled, "KeyDisabled"},
		{kms.ErrKeyPendingDeletion, "KeyPendingDeletion"},
		{kms.ErrKeyInUse, "KeyInUse"},
		{kms.ErrDecrypt, "DecryptionFailed"},
		{kms.ErrKeyMaterial, "KeyMaterialDamaged"},
		{kms.ErrUnsupported, "NotImplemented"},
		{kms.ErrUnavailable, "ServiceUnavailable"},
		{kms.ErrNotConfigured, "NotConfigured"},
		{kms.ErrNotRunning, "NotRunning"},
		{kms.ErrClosed, "ServiceUnavailable"},
		{context.Canceled, "RequestCanceled"},
		{context.DeadlineExceeded, "RequestTimeout"},
	}
}
