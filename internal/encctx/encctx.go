// Package encctx defines the one canonical byte form of everything that a key is bound to.
//
// An encryption context has one encoding whatever the order of its map, and every use of a key
// has a labelled context of its own, so that no sealed message can stand in for another.
package encctx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"
)

// prefix begins the label of every context of format version 1.
const prefix = "objectkms/v1/"

// Append appends the canonical form of an encryption context to dst: for every entry, in the
// order of the key's bytes, the key and then the value, each as a 4-byte big-endian length and
// its bytes. A nil map and an empty one both append nothing. Distinct maps have distinct forms.
func Append(dst []byte, context map[string]string) []byte {
	for _, key := range slices.Sorted(maps.Keys(context)) {
		dst = appendField(dst, key)
		dst = appendField(dst, context[key])
	}
	return dst
}

// Size returns the number of bytes that Append appends for the context, or the largest int where they are more: strings that share their
// memory may have more bytes in all than an int of 32 bits counts.
func Size(context map[string]string) int {
	n := uint64(0)
	for key, value := range context {
		n += 8 + uint64(len(key)) + uint64(len(value))
	}
	return int(min(n, math.MaxInt))
}

// Parse reads what Append wrote. It refuses any other bytes: keys out of order or repeated, a
// length past the end, text that is not UTF-8. An empty form is a nil map.
func Parse(form []byte) (map[string]string, error) {
	var context map[string]string
	last := ""
	for len(form) > 0 {
		key, rest, err := cutField(form)
		if err != nil {
			return nil, err
		}
		value, rest, err := cutField(rest)
		if err != nil {
			return nil, err
		}
		if context == nil {
			context = make(map[string]string)
		} else if key <= last {
			return nil, errors.New("encryption context: keys are not in strictly rising order")
		}
		context[key], last, form = value, key, rest
	}
	return context, nil
}

// Bind appends to dst the context of one use of a key: the label behind "objectkms/v1/", a zero
// byte, and the fields in their order, each as a 4-byte big-endian length and its bytes. A label
// always comes with the same number of fields.
func Bind(dst []byte, label string, fields ...[]byte) []byte {
	dst = append(dst, prefix...)
	dst = append(dst, label...)
	dst = append(dst, 0)
	for _, field := range fields {
		dst = appendField(dst, field)
	}
	return dst
}

// Uint32 returns n as Bind wants integers: 4 bytes, big endian.
func Uint32(n uint32) []byte {
	return binary.BigEndian.AppendUint32(nil, n)
}

func appendField[T string | []byte](dst []byte, field T) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(field)))
	return append(dst, field...)
}

func cutField(form []byte) (field string, rest []byte, err error) {
	if len(form) < 4 {
		return "", nil, fmt.Errorf("encryption context: %d bytes left, want a 4-byte length", len(form))
	}
	n := binary.BigEndian.Uint32(form)
	form = form[4:]
	if uint64(n) > uint64(len(form)) {
		return "", nil, fmt.Errorf("encryption context: a field of %d bytes, only %d are left", n, len(form))
	}
	if !utf8.Valid(form[:n]) {
		return "", nil, errors.New("encryption context: a field is not UTF-8")
	}
	return string(form[:n]), form[n:], nil
}
