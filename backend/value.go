package backend

import (
	"errors"
	"math"
	"strconv"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
)

// readSecret reads a secret text.
func readSecret(value []byte) (*kms.Secret, error) {
	text, err := strictjson.Bytes(value)
	switch {
	case err != nil:
		return nil, err
	case len(text) == 0:
		return nil, errors.New("empty")
	case string(text) == hidden:
		return nil, errors.New(isHidden)
	}
	return kms.NewSecret(text), nil
}

// hidden is how a kms.Secret shows itself. Whoever sends a summary back must not get this text as a passphrase.
const hidden = "[secret]"

// isHidden is the problem of that text.
const isHidden = "it is the sign for a secret that is not shown, want the secret itself"

// masterKeySize is the size of a root key in bytes.
const masterKeySize = 32

// readKey reads a secret of 32 bytes in base64.
func readKey(value []byte) (*kms.Secret, error) {
	raw, err := strictjson.Base64(value)
	switch {
	case strictjson.KindOf(value) != strictjson.KindString:
		return nil, err
	case err != nil || len(raw) != masterKeySize:
		clear(raw)
		return nil, errors.New("want 32 bytes in base64, with its padding")
	}
	return kms.NewSecret(raw), nil
}

// readMode reads the permissions of a file: as a number, which JSON has in decimal only, or as octal digits in a string.
func readMode(value []byte) (uint32, error) {
	if strictjson.KindOf(value) == strictjson.KindNumber {
		n, err := strictjson.Int(value, math.MaxInt32)
		return uint32(n), err
	}
	digits, err := strictjson.Text(value)
	if err != nil {
		return 0, errors.New("got " + string(strictjson.KindOf(value)) + ", want 384 or \"0600\"")
	}
	n, err := strconv.ParseUint(digits, 8, 32)
	if err != nil {
		return 0, errors.New("got " + strictjson.Show(digits) + ", want octal digits such as \"0600\"")
	}
	return uint32(n), nil
}
