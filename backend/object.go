package backend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/objectkms/kms"
)

// maxDocument is the size in bytes of the largest document that is read.
const maxDocument = 1 << 20

// A member is a name and a value of a JSON object. The value stands in the document still: it is not copied, since it may hold a secret.
type member struct {
	name  string
	value []byte
}

// checkSyntax refuses a document that is not one JSON value in UTF-8. The functions below are for values that have passed.
func checkSyntax(doc []byte) error {
	if len(doc) > maxDocument {
		return fmt.Errorf("%w: the document has %d bytes, want at most %d", kms.ErrInvalidConfig, len(doc), maxDocument)
	}
	if !utf8.Valid(doc) {
		return fmt.Errorf("%w: the document is not UTF-8", kms.ErrInvalidConfig)
	}
	err := json.Unmarshal(doc, new(nothing))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		// Its text shows a character, which may be one of a secret.
		return fmt.Errorf("%w: the document is not JSON, as byte %d shows", kms.ErrInvalidConfig, syntax.Offset)
	}
	return err
}

// nothing is decoded from any value. The syntax is checked before.
type nothing struct{}

func (*nothing) UnmarshalJSON([]byte) error { return nil }

// splitObject returns the members of an object in their order. A name may come once, however it is escaped. Members whose value is null are left out.
func splitObject(object []byte) ([]member, error) {
	if kindOf(object) != kindObject {
		return nil, wrongKind("", "an object", object)
	}
	var members []member
	seen := make(map[string]bool)
	for rest := skipSpace(trimSpace(object)[1:]); rest[0] != '}'; rest = nextElement(rest) {
		end := valueEnd(rest)
		text, err := unquote(rest[:end])
		if err != nil {
			return nil, fmt.Errorf("%w: the name of a field: %w", kms.ErrInvalidConfig, err)
		}
		name := string(text)
		if seen[name] {
			return nil, within(name, errors.New("given twice"))
		}
		seen[name] = true
		rest = skipSpace(skipSpace(rest[end:])[1:]) // past the colon
		end = valueEnd(rest)
		if value := rest[:end:end]; kindOf(value) != kindNull {
			members = append(members, member{name, value})
		}
		rest = rest[end:]
	}
	return members, nil
}

// splitArray returns the values of an array.
func splitArray(array []byte) [][]byte {
	var values [][]byte
	for rest := skipSpace(trimSpace(array)[1:]); rest[0] != ']'; {
		end := valueEnd(rest)
		values = append(values, rest[:end:end])
		rest = nextElement(rest[end:])
	}
	return values
}

// nextElement skips what stands between the end of a value and the next one, or the end of the object or array.
func nextElement(rest []byte) []byte {
	rest = skipSpace(rest)
	if rest[0] == ',' {
		rest = skipSpace(rest[1:])
	}
	return rest
}

// valueEnd returns the index behind the value that a text begins with.
func valueEnd(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += stringEnd(text[i:]) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth > 0 || i+1 < len(text) && !bytes.ContainsRune([]byte(",]} \t\r\n"), rune(text[i+1])) {
				continue // between values, or inside a number or a literal
			}
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(text)
}

// stringEnd returns the index behind the string that a text begins with.
func stringEnd(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

func skipSpace(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n") }
func trimSpace(text []byte) []byte { return bytes.Trim(text, " \t\r\n") }

// joinObject makes an object of members again, in memory of its own that the caller wipes.
func joinObject(members []member) []byte {
	size := 2
	for _, m := range members {
		size += 6*len(m.name) + len(m.value) + 4
	}
	object := append(make([]byte, 0, size), '{')
	for i, m := range members {
		if i > 0 {
			object = append(object, ',')
		}
		name, _ := json.Marshal(m.name) // a string always has a JSON form
		object = append(append(append(object, name...), ':'), m.value...)
	}
	return append(object, '}')
}
