// Package strictjson reads JSON without guessing, and without leaving copies of secrets behind.
//
// encoding/json takes names in any case, takes the last of several equal ones, passes over unknown ones, and mends text that is no Unicode. Here all this is an
// error, which names the place by its path. Nothing in an error comes from a value, but for numbers and names.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// A Member is a name and a value of a JSON object. The value stands in the document still: it is not copied, since it may hold a secret.
type Member struct {
	Name  string
	Value []byte
}

// Check refuses a document that is not one JSON value in UTF-8, of at most so many bytes. All else in this package is for values that have passed, and may panic for others.
func Check(doc []byte, most int) error {
	if len(doc) > most {
		return Errorf("", "the document has %d bytes, want at most %d", len(doc), most)
	}
	if !utf8.Valid(doc) {
		return Errorf("", "the document is not UTF-8")
	}
	err := json.Unmarshal(doc, new(nothing))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		// Its text shows a character, which may be one of a secret.
		return Errorf("", "the document is not JSON, as byte %d shows", syntax.Offset)
	}
	return err
}

// nothing is decoded from any value. The syntax is checked before.
type nothing struct{}

func (*nothing) UnmarshalJSON([]byte) error { return nil }

// Object returns the members of an object in their order. A name may come once, however it is escaped. Members whose value is null are left out.
func Object(object []byte) ([]Member, error) {
	if KindOf(object) != KindObject {
		return nil, wrongKind(object, KindObject)
	}
	var members []Member
	seen := make(map[string]bool)
	for rest := skipSpace(trimSpace(object)[1:]); rest[0] != '}'; rest = nextElement(rest) {
		end := valueEnd(rest)
		text, err := unquote(rest[:end])
		if err != nil {
			return nil, Errorf("", "the name of a field: %v", err)
		}
		name := string(text)
		if seen[name] {
			return nil, Within(name, errors.New("given twice"))
		}
		seen[name] = true
		rest = skipSpace(skipSpace(rest[end:])[1:]) // past the colon
		end = valueEnd(rest)
		if value := rest[:end:end]; KindOf(value) != KindNull {
			members = append(members, Member{name, value})
		}
		rest = rest[end:]
	}
	return members, nil
}

// Array returns the values of an array of at most so many: what is a value of two bytes in a document takes many times as much memory once it is read.
func Array(array []byte, most int) ([][]byte, error) {
	if KindOf(array) != KindArray {
		return nil, wrongKind(array, KindArray)
	}
	var values [][]byte
	for rest := skipSpace(trimSpace(array)[1:]); rest[0] != ']'; {
		if len(values) == most {
			return nil, Errorf("", "got more values, want at most %d", most)
		}
		end := valueEnd(rest)
		values = append(values, rest[:end:end])
		rest = nextElement(rest[end:])
	}
	return values, nil
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

// Join makes an object of members again, in memory of its own that the caller wipes.
func Join(members []Member) []byte {
	size := 2
	for _, m := range members {
		size += 6*len(m.Name) + len(m.Value) + 4
	}
	object := append(make([]byte, 0, size), '{')
	for i, m := range members {
		if i > 0 {
			object = append(object, ',')
		}
		name, _ := json.Marshal(m.Name) // a string always has a JSON form
		object = append(append(append(object, name...), ':'), m.Value...)
	}
	return append(object, '}')
}
