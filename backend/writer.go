package backend

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/objectkms/kms"
)

// A writer makes a JSON object of the fields that are given. It wipes every buffer that it leaves behind, but for the one with the result.
type writer struct {
	buf    []byte
	redact bool // secrets are written as a sign
	first  bool // nothing stands yet in the object that is open
	err    error
}

// notUTF8 is the problem of a text that JSON cannot hold.
const notUTF8 = "not UTF-8"

// open begins an object. An empty name is the outermost object or an element of a list.
func (w *writer) open(name string) {
	w.name(name)
	w.append("{")
	w.first = true
}

func (w *writer) close() {
	w.append("}")
	w.first = false
}

func (w *writer) name(name string) {
	if !w.first && len(w.buf) > 0 {
		w.append(",")
	}
	w.first = false
	if name != "" {
		w.append(strconv.Quote(name) + ":")
	}
}

// check keeps the first error of a value that a document cannot hold.
func (w *writer) check(name string, ok bool, problem string) {
	if !ok && w.err == nil {
		w.err = invalid(name, "%s", problem)
	}
}

func (w *writer) append(text string) { copy(w.grow(len(text)), text) }

// grow returns the next n bytes of the buffer.
func (w *writer) grow(n int) []byte {
	if len(w.buf)+n > cap(w.buf) {
		larger := make([]byte, len(w.buf), 2*cap(w.buf)+n+512)
		copy(larger, w.buf)
		clear(w.buf)
		w.buf = larger
	}
	w.buf = w.buf[:len(w.buf)+n]
	return w.buf[len(w.buf)-n:]
}

func (w *writer) text(name string, value *string) {
	if value != nil {
		w.check(name, utf8.ValidString(*value), notUTF8)
		w.name(name)
		quoted, _ := json.Marshal(*value) // a string always has a JSON form
		w.append(string(quoted))
	}
}

func (w *writer) textUnlessEmpty(name, value string) {
	if value != "" {
		w.text(name, &value)
	}
}

func (w *writer) int(name string, value *int) {
	if value != nil {
		w.name(name)
		w.append(strconv.Itoa(*value))
	}
}

func (w *writer) bool(name string, value *bool) {
	if value != nil {
		w.name(name)
		w.append(strconv.FormatBool(*value))
	}
}

// key writes a secret in base64.
func (w *writer) key(name string, value *kms.Secret) {
	if value == nil {
		return
	}
	if w.redact {
		w.textUnlessEmpty(name, hidden)
		return
	}
	w.name(name)
	w.append(`"`)
	base64.StdEncoding.Encode(w.grow(base64.StdEncoding.EncodedLen(value.Len())), value.Bytes())
	w.append(`"`)
}

// secret writes a secret text.
func (w *writer) secret(name string, value *kms.Secret) {
	if value == nil {
		return
	}
	if w.redact {
		w.textUnlessEmpty(name, hidden)
		return
	}
	w.check(name, utf8.Valid(value.Bytes()), notUTF8)
	w.check(name, string(value.Bytes()) != hidden, isHidden)
	w.name(name)
	w.append(`"`)
	for _, c := range value.Bytes() {
		if c < ' ' || c == '"' || c == '\\' {
			const hex = "0123456789abcdef"
			copy(w.grow(6), []byte{'\\', 'u', '0', '0', hex[c>>4], hex[c&15]})
			continue
		}
		w.grow(1)[0] = c
	}
	w.append(`"`)
}
