package strictjson

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind is what a JSON value is, in words for an error.
type Kind string

// The kinds of values.
const (
	KindObject Kind = "an object"
	KindArray  Kind = "a list"
	KindString Kind = "text"
	KindNumber Kind = "a number"
	KindBool   Kind = "a boolean"
	KindNull   Kind = "null"
)

// KindOf returns the kind of a value by its first character.
func KindOf(value []byte) Kind {
	switch trimSpace(value)[0] {
	case '{':
		return KindObject
	case '[':
		return KindArray
	case '"':
		return KindString
	case 't', 'f':
		return KindBool
	case 'n':
		return KindNull
	}
	return KindNumber
}

// Text reads a string that is no secret.
func Text(value []byte) (string, error) {
	text, err := Bytes(value)
	return string(text), err
}

// Bytes reads a string into memory of its own, of which there is no other copy.
func Bytes(value []byte) ([]byte, error) {
	if KindOf(value) != KindString {
		return nil, wrongKind(value, KindString)
	}
	return unquote(trimSpace(value))
}

// Base64 reads bytes in base64 into memory of its own. Each has one form: with padding, and without line breaks.
func Base64(value []byte) ([]byte, error) {
	text, err := Bytes(value)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(raw, text)
	if err != nil || bytes.ContainsAny(text, "\r\n") {
		clear(raw)
		return nil, Errorf("", "want base64, with its padding")
	}
	return raw[:n:n], nil
}

// Bool reads a boolean.
func Bool(value []byte) (bool, error) {
	if KindOf(value) != KindBool {
		return false, wrongKind(value, "true or false")
	}
	return trimSpace(value)[0] == 't', nil
}

// Int reads a whole number in decimal digits, from 1 to most.
func Int(value []byte, most int) (int, error) {
	if KindOf(value) != KindNumber {
		return 0, wrongKind(value, "a whole number")
	}
	digits := string(trimSpace(value))
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n < 1 || n > uint64(most) {
		return 0, Errorf("", "got %s, want a whole number from 1 to %d", Show(digits), most)
	}
	return int(n), nil
}

// unquote returns the text of a JSON string. encoding/json would put a replacement character where an escape is no character, and would leave a copy of a secret
// in a string that cannot be wiped.
func unquote(quoted []byte) ([]byte, error) {
	quoted = quoted[1 : len(quoted)-1]
	text := make([]byte, 0, len(quoted)) // never too small, so that no copy is left behind
	for i := 0; i < len(quoted); i++ {
		c := quoted[i]
		if c != '\\' {
			text = append(text, c)
			continue
		}
		i++
		if quoted[i] != 'u' {
			text = append(text, unescape(quoted[i]))
			continue
		}
		r, size := readRune(quoted[i-1:])
		if r < 0 {
			clear(text)
			return nil, Errorf("", "an escape is half of a surrogate pair")
		}
		text = utf8.AppendRune(text, r)
		i += size - 2
	}
	return text, nil
}

// unescape returns what a letter behind a backslash stands for.
func unescape(letter byte) byte {
	switch letter {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return letter // a quote, a slash or a backslash
}

// readRune returns the character of an escape \uXXXX, or of two that are a surrogate pair, and their size in bytes. It is negative where there is only one of a pair.
func readRune(text []byte) (r rune, size int) {
	const escape = 6
	r = hexDigits(text[2:escape])
	if !utf16.IsSurrogate(r) {
		return r, escape
	}
	if len(text) < 2*escape || text[escape] != '\\' || text[escape+1] != 'u' {
		return -1, 0
	}
	if r = utf16.DecodeRune(r, hexDigits(text[escape+2:2*escape])); r == utf8.RuneError {
		return -1, 0
	}
	return r, 2 * escape
}

func hexDigits(digits []byte) rune {
	n, err := strconv.ParseUint(string(digits), 16, 16)
	if err != nil {
		panic("strictjson: internal error: the syntax was not checked")
	}
	return rune(n)
}
