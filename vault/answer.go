package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/objectkms/kms"
)

// An answer is a whole response.
type answer struct {
	status   int
	body     []byte // JSON or empty
	location string
	err      *statusError // nil: success
}

// maxValues is how many values an answer has at most, counted by its commas: more than there are ids of a usual length in the longest list. What has two
// bytes in an answer takes a hundred and more when it is decoded, and no context ends that.
const maxValues = 1 << 20

// newAnswer checks that a response is one of Vault's. It takes raw over, also with an error.
func newAnswer(resp *http.Response, raw []byte, req *request) (*answer, error) {
	if n := bytes.Count(raw, []byte{','}); n > maxValues {
		clear(raw)
		return nil, fmt.Errorf("%w: answer %d has about %d values, want at most %d", kms.ErrUnavailable, resp.StatusCode, n, maxValues)
	}
	a := &answer{status: resp.StatusCode, body: bytes.Trim(raw, " \t\r\n"), location: resp.Header.Get("Location")}
	success := a.status >= 200 && a.status <= 299
	if success && (len(a.body) == 0 || json.Valid(a.body)) {
		return a, nil
	}
	var said struct {
		Errors *[]string       `json:"errors"`
		Data   json.RawMessage `json:"data"`
	}
	wellFormed := json.Unmarshal(a.body, &said) == nil && (said.Errors != nil || said.Data != nil)
	if success || !wellFormed && isClientError(a.status) && !req.health {
		a.wipe()
		return nil, fmt.Errorf("%w: answer %d is none of Vault's", kms.ErrUnavailable, a.status)
	}
	a.err = &statusError{status: a.status, retryAfter: retryAfter(resp.Header)}
	if said.Errors != nil {
		a.err.messages = redact(*said.Errors, req)
		a.err.fault = faultOf(a.status, *said.Errors)
	}
	return a, nil
}

// faultOf returns the class of an internal error for which the request is to blame, and nil for any other. Vault 1.13 answers 500 to a wrong secret id, and
// every Vault with the storage "file" to a name that is too long for a file.
func faultOf(status int, messages []string) error {
	if status != http.StatusInternalServerError {
		return nil
	}
	for _, m := range messages {
		switch {
		case strings.Contains(m, "invalid secret id"):
			return kms.ErrPermission
		case strings.HasSuffix(strings.TrimSpace(m), "file name too long"):
			return kms.ErrInvalidRequest
		}
	}
	return nil
}

// isClientError reports whether a status says that the request is to blame, which only Vault itself can say.
func isClientError(status int) bool {
	return status >= 400 && status <= 499 && status != http.StatusTooManyRequests
}

// retryAfter returns how long the server asks to be left alone: seconds or a date (RFC 9110, section 10.2.3).
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return seconds(n)
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(time.Until(date), 0)
	}
	return 0
}

// refused reports whether Vault does not accept the token, or what is asked with it.
func (a *answer) refused() bool {
	return a.err != nil && (a.status == http.StatusForbidden || a.status == http.StatusUnauthorized)
}

// failure returns the error of an answer that shows a server that does not work.
func (a *answer) failure() error {
	if a.err != nil && (a.status >= 500 || a.status < 400) && a.err.fault == nil {
		return a.err
	}
	return nil
}

// decode decodes the body into out, unless that is nil, and returns the error of the answer.
func (a *answer) decode(out any) error {
	switch {
	case a.err != nil:
		if out != nil && json.Valid(a.body) {
			json.Unmarshal(a.body, out) // of an error nothing more is known than what fits
		}
		return a.err
	case out == nil || a.status == http.StatusNoContent:
		return nil
	case len(a.body) == 0:
		return fmt.Errorf("%w: answer %d is empty", kms.ErrUnavailable, a.status)
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return fmt.Errorf("%w: answer %d has not the form that was asked for", kms.ErrUnavailable, a.status)
	}
	return nil
}

func (a *answer) wipe() { clear(a.body) }

// A statusError is a response that is no success. It wraps the sentinel of package kms that its status means.
type statusError struct {
	status     int
	messages   []string // the server's, without what the request held; nil where it sent no list of them
	retryAfter time.Duration
	fault      error // the class, where the status says another one
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%v: %s", e.Unwrap(), e.detail())
}

// detail says what the server answered, without a class.
func (e *statusError) detail() string {
	text := fmt.Sprintf("vault answered %d", e.status)
	if len(e.messages) > 0 {
		text += ": " + strings.Join(e.messages, "; ")
	}
	return text
}

// Unwrap returns the class. Vault answers 404 without a message where a path of a mount holds nothing, and with one where there is no such
// path at all; 412 where a node has not seen yet what another one has done.
func (e *statusError) Unwrap() error {
	switch {
	case e.fault != nil:
		return e.fault
	case e.status == http.StatusForbidden || e.status == http.StatusUnauthorized:
		return kms.ErrPermission
	case e.status == http.StatusNotFound && len(e.messages) == 0:
		return kms.ErrKeyNotFound
	case e.status == http.StatusNotFound, e.status == http.StatusPreconditionFailed, !isClientError(e.status):
		return kms.ErrUnavailable
	}
	return kms.ErrInvalidRequest
}

// RetryAfter returns how long the server asked to be left alone; 0 where it did not.
func (e *statusError) RetryAfter() time.Duration { return e.retryAfter }

// says reports whether one of the server's messages contains text.
func (e *statusError) says(text string) bool {
	for _, m := range e.messages {
		if strings.Contains(m, text) {
			return true
		}
	}
	return false
}
