package backend

import (
	"errors"
	"strings"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
)

// The functions below make readers that put what they read into a field of a ConfigureRequest.

func textField(to **string) func([]byte) error { return field(to, strictjson.Text) }

func boolField(to **bool) func([]byte) error { return field(to, strictjson.Bool) }

func modeField(to **uint32) func([]byte) error { return field(to, readMode) }

func intField(to **int, most int) func([]byte) error {
	return field(to, func(value []byte) (int, error) { return strictjson.Int(value, most) })
}

// pathField reads the path of a file. What the file holds is refused: it may be a secret, and no error should show it.
func pathField(to **string) func([]byte) error {
	return field(to, func(value []byte) (string, error) {
		path, err := strictjson.Text(value)
		if strings.Contains(path, "-----BEGIN") {
			return "", errors.New("want the path of a PEM file, not what it holds")
		}
		return path, err
	})
}

func field[T any](to **T, read func([]byte) (T, error)) func([]byte) error {
	return func(value []byte) error {
		v, err := read(value)
		if err == nil {
			*to = &v
		}
		return err
	}
}

func secretField(to **kms.Secret, read func([]byte) (*kms.Secret, error)) func([]byte) error {
	return func(value []byte) (err error) {
		*to, err = read(value)
		return err
	}
}
