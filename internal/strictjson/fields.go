package strictjson

import (
	"errors"
	"strings"
)

// Fields says how each field of an object is read, by its name. What a reader answers is an Error of something inside the value, or any error that says what is
// wrong with it.
type Fields map[string]func(value []byte) error

// Into makes a reader that puts what it reads into a variable.
func Into[T any](to *T, read func(value []byte) (T, error)) func(value []byte) error {
	return func(value []byte) error {
		v, err := read(value)
		if err == nil {
			*to = v
		}
		return err
	}
}

// Decode reads the members of an object. It refuses those that are not among the fields.
func (f Fields) Decode(object []byte) error {
	members, err := Object(object)
	if err != nil {
		return err
	}
	for _, m := range members {
		read, ok := f[m.Name]
		if !ok {
			return Within(m.Name, errors.New("unknown field"+f.suggest(m.Name)))
		}
		if err := read(m.Value); err != nil {
			return Within(m.Name, err)
		}
	}
	return nil
}

// suggest names the field that may have been meant.
func (f Fields) suggest(name string) string {
	for known := range f {
		if strings.EqualFold(known, name) {
			return ", want " + known
		}
	}
	return ""
}
