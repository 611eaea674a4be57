package kms

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/objectkms/kms/internal/encctx"
)

// Limits of requests.
const (
	maxKeyIDSize       = 2048 // a backend of someone else's may have longer ids than ours
	maxDescriptionSize = 8192
	maxTags            = 50
	maxTagKeySize      = 128
	maxTagValueSize    = 256
	maxContextSize     = 8192
	maxPlaintextSize   = 4096
	maxCiphertextSize  = 16 << 10
	maxRewrapItems     = 10000
	maxListLimit       = 1000
	defaultListLimit   = 100
	minPendingDays     = 7
	maxPendingDays     = 30
	keyMaterialSize    = 32
)

// ValidateKeyID checks a key id against the grammar of this library's backends: 1 to 128 of the
// characters A-Z a-z 0-9 . _ - beginning with a letter or digit, which is safe as a file name and as a path
// element of a URL. The error wraps ErrInvalidRequest. A Manager itself accepts any printable id, for backends
// with another grammar.
func ValidateKeyID(id string) error {
	if len(id) == 0 || len(id) > 128 {
		return fmt.Errorf("%w: key id has %d bytes, want 1 to 128", ErrInvalidRequest, len(id))
	}
	for i := range len(id) {
		c := id[i]
		alphanumeric := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alphanumeric && (i == 0 || c != '.' && c != '_' && c != '-') {
			return fmt.Errorf("%w: key id has the byte %#02x at index %d, want letters, digits and, after the first, . _ -", ErrInvalidRequest, c, i)
		}
	}
	return nil
}

// checkKeyID is the rule for any backend's ids: present, bounded, printable.
func checkKeyID(id string) error {
	if id == "" {
		return fmt.Errorf("%w: no key id", ErrInvalidRequest)
	}
	return checkOptionalKeyID(id)
}

func checkOptionalKeyID(id string) error {
	if len(id) > maxKeyIDSize {
		return fmt.Errorf("%w: key id has %d bytes, want at most %d", ErrInvalidRequest, len(id), maxKeyIDSize)
	}
	if !utf8.ValidString(id) {
		return fmt.Errorf("%w: key id %q is not UTF-8", ErrInvalidRequest, id)
	}
	for _, r := range id {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%w: key id %q has a character that cannot be printed", ErrInvalidRequest, id)
		}
	}
	return nil
}

func checkDescription(s string) error {
	if len(s) > maxDescriptionSize {
		return fmt.Errorf("%w: description has %d bytes, want at most %d", ErrInvalidRequest, len(s), maxDescriptionSize)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: description is not UTF-8", ErrInvalidRequest)
	}
	return nil
}

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return fmt.Errorf("%w: %d tags, want at most %d", ErrInvalidRequest, len(tags), maxTags)
	}
	for name, value := range tags {
		if err := checkTagKey(name); err != nil {
			return err
		}
		if len(value) > maxTagValueSize || !utf8.ValidString(value) {
			return fmt.Errorf("%w: value of tag %q has %d bytes, want at most %d of UTF-8", ErrInvalidRequest, name, len(value), maxTagValueSize)
		}
	}
	return nil
}

func checkTagKey(name string) error {
	if len(name) == 0 || len(name) > maxTagKeySize || !utf8.ValidString(name) {
		return fmt.Errorf("%w: tag name has %d bytes, want 1 to %d of UTF-8", ErrInvalidRequest, len(name), maxTagKeySize)
	}
	return nil
}

func checkUsage(usage KeyUsage) error {
	if usage != "" && usage != EncryptDecrypt {
		return fmt.Errorf("%w: key usage %q, want %q", ErrInvalidRequest, usage, EncryptDecrypt)
	}
	return nil
}

// Validate checks the size and the text of an encryption context. The error wraps ErrInvalidRequest and holds
// none of its values.
func (ec EncryptionContext) Validate() error {
	if n := encctx.Size(ec); n > maxContextSize {
		return fmt.Errorf("%w: encryption context has %d bytes, want at most %d", ErrInvalidRequest, n, maxContextSize)
	}
	for key, value := range ec {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return fmt.Errorf("%w: encryption context is not UTF-8", ErrInvalidRequest)
		}
	}
	return nil
}

func checkCiphertext(b []byte) error {
	if len(b) == 0 || len(b) > maxCiphertextSize {
		return fmt.Errorf("%w: ciphertext has %d bytes, want 1 to %d", ErrInvalidRequest, len(b), maxCiphertextSize)
	}
	return nil
}

// firstError returns the first error that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func errNilRequest() error { return fmt.Errorf("%w: request is nil", ErrInvalidRequest) }
