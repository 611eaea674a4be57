package backend

import (
	"errors"
	"fmt"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
)

func invalid(path, format string, args ...any) error { return strictjson.Errorf(path, format, args...) }

// at says in which former backend an error was found, which may be of a decoder of somebody else's.
func at(path string, err error) error {
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		return e.Below(path)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// asInvalid makes an error ErrInvalidConfig, on its way out of the package.
func asInvalid(err error) error {
	if err == nil || errors.Is(err, kms.ErrInvalidConfig) {
		return err
	}
	return fmt.Errorf("%w: %w", kms.ErrInvalidConfig, err)
}
