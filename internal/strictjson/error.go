package strictjson

import (
	"errors"
	"fmt"
	"strconv"
)

// An Error says what is wrong in a document, and where.
type Error struct {
	Path    string // such as former[1].auth_method.Token.token; empty: the whole document
	Problem string
}

// Error returns the path and the problem in one line.
func (e *Error) Error() string {
	if e.Path == "" {
		return e.Problem
	}
	return e.Path + ": " + e.Problem
}

// Errorf returns an Error. What it formats must not be of a secret.
func Errorf(path, format string, args ...any) error {
	return &Error{path, fmt.Sprintf(format, args...)}
}

func wrongKind(value []byte, want Kind) error {
	return Errorf("", "got %s, want %s", KindOf(value), want)
}

// Within says in which field of an object an error was found. An error that is no Error becomes the problem of one.
func Within(name string, err error) error {
	if !isPlain(name) {
		name = Show(name)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Below(name)
	}
	return &Error{name, err.Error()}
}

// Below returns the Error as it is seen from further up.
func (e *Error) Below(path string) error {
	if e.Path != "" {
		path += "." + e.Path
	}
	return &Error{path, e.Problem}
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

// Show quotes what a document holds where no secret stands, and not much of it.
func Show(text string) string {
	if len(text) > maxShown {
		return strconv.Quote(text[:maxShown]) + "…"
	}
	return strconv.Quote(text)
}
