package backend

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/objectkms/kms"
)

// kind is what a JSON value is, in words for an error.
type kind string

const (
	kindObject kind = "an object"
	kindArray  kind = "a list"
	kindString kind = "text"
	kindNumber kind = "a number"
	kindBool   kind = "a boolean"
	kindNull   kind = "null"
)

// kindOf returns the kind of a value by its first character.
func kindOf(value []byte) kind {
	switch trimSpace(value)[0] {
	case '{':
		return kindObject
	case '[':
		return kindArray
	case '"':
		return kindString
	case 't', 'f':
		return kindBool
	case 'n':
		return kindNull
	}
	return kindNumber
}

// readText reads a string that is no secret.
func readText(value []byte) (string, error) {
	text, err := readBytes(value)
	return string(text), err
}

// readBytes reads a string into memory of its own.
func readBytes(value []byte) ([]byte, error) {
	if kind := kindOf(value); kind != kindString {
		return nil, errors.New("got " + string(kind) + ", want text")
	}
	return unquote(trimSpace(value))
}

// readSecret reads a secret text.
func readSecret(value []byte) (*kms.Secret, error) {
	text, err := readBytes(value)
	switch {
	case err != nil:
		return nil, err
	case len(text) == 0:
		return nil, errors.New("empty")
	case string(text) == hidden:
		return nil, errors.New("it is the sign for a secret that is not shown, want the secret itself")
	}
	return kms.NewSecret(text), nil
}

// hidden is how a kms.Secret shows itself. Whoever sends a summary back must not get this text as a passphrase.
const hidden = "[secret]"

// masterKeySize is the size of a root key in bytes.
const masterKeySize = 32

// readKey reads a secret of 32 bytes in base64.
func readKey(value []byte) (*kms.Secret, error) {
	text, err := readBytes(value)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(raw, text)
	if err != nil || n != masterKeySize {
		clear(raw)
		return nil, errors.New("want 32 bytes in base64, with its padding")
	}
	return kms.NewSecret(raw[:n:n]), nil
}

func readBool(value []byte) (bool, error) {
	if kind := kindOf(value); kind != kindBool {
		return false, errors.New("got " + string(kind) + ", want true or false")
	}
	return trimSpace(value)[0] == 't', nil
}

// readInt reads a whole number in decimal digits from 1 to most.
func readInt(value []byte, most int) (int, error) {
	if kind := kindOf(value); kind != kindNumber {
		return 0, errors.New("got " + string(kind) + ", want a whole number")
	}
	digits := string(trimSpace(value))
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n < 1 || n > uint64(most) {
		return 0, errors.New("got " + show(digits) + ", want a whole number from 1 to " + strconv.Itoa(most))
	}
	return int(n), nil
}

// readMode reads the permissions of a file: as a number, which JSON has in decimal only, or as octal digits in a string.
func readMode(value []byte) (uint32, error) {
	if kindOf(value) == kindNumber {
		n, err := readInt(value, math.MaxInt32)
		return uint32(n), err
	}
	digits, err := readText(value)
	if err != nil {
		return 0, errors.New("got " + string(kindOf(value)) + ", want 384 or \"0600\"")
	}
	n, err := strconv.ParseUint(digits, 8, 32)
	if err != nil {
		return 0, errors.New("got " + show(digits) + ", want octal digits such as \"0600\"")
	}
	return uint32(n), nil
}

var errEscape = errors.New("an escape is half of a surrogate pair")

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
			return nil, errEscape
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
		panic("backend: internal error: the syntax was not checked")
	}
	return rune(n)
}
