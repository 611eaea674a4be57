package backend

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/objectkms/kms"
)

// A fieldError is ErrInvalidConfig and says which field is at fault.
type fieldError struct {
	path    string
	problem string
}

func (e *fieldError) Error() string {
	text := e.problem
	if e.path != "" {
		text = e.path + ": " + text
	}
	return kms.ErrInvalidConfig.Error() + ": " + text
}

func (e *fieldError) Unwrap() error { return kms.ErrInvalidConfig }

func invalid(path, format string, args ...any) error {
	return &fieldError{path, fmt.Sprintf(format, args...)}
}

func wrongKind(path, want string, value []byte) error {
	return invalid(path, "got %s, want %s", kindOf(value), want)
}

// within says in which field of an object an error was found.
func within(name string, err error) error {
	if !isPlain(name) {
		name = show(name)
	}
	if e, ok := errors.AsType[*fieldError](err); ok {
		return e.below(name)
	}
	return &fieldError{name, err.Error()}
}

// at says in which former backend an error was found, which may be of a decoder of somebody else's.
func at(path string, err error) error {
	if e, ok := errors.AsType[*fieldError](err); ok {
		return e.below(path)
	}
	return fmt.Errorf("%s: %w", path, asInvalid(err))
}

func (e *fieldError) below(path string) error {
	if e.path != "" {
		path += "." + e.path
	}
	return &fieldError{path, e.problem}
}

// isPlain tells names that can stand in a path as they are.
func isPlain(name string) bool {
	if len(name) == 0 || len(name) > maxShown {
		return false
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// maxShown is how many bytes an error shows of a text in a document.
const maxShown = 64

// show quotes what a document holds where no secret stands, and not much of it.
func show(text string) string {
	if len(text) > maxShown {
		return strconv.Quote(text[:maxShown]) + "…"
	}
	return strconv.Quote(text)
}
