package vault

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/objectkms/kms"
)

// errTooOld says that a version is below the min_decryption_version that an operator has set on the Transit key.
var errTooOld = fmt.Errorf("%w: below min_decryption_version", kms.ErrPermission)

// explain gives a refusal of Transit's its class. Transit answers 400 to whatever it does not like, with words that say why; a 400 whose words are not known
// is no judgement of a ciphertext or of a key.
func (t *transit) explain(err error) error {
	e, ok := errors.AsType[*statusError](err)
	if !ok {
		return err
	}
	if e.status != http.StatusBadRequest {
		return unlessNotFound(err)
	}
	for _, message := range e.messages {
		if class := classOf(message); class != nil {
			return fmt.Errorf("%w: %s", class, e.detail())
		}
	}
	return fmt.Errorf("%w: %s", kms.ErrUnavailable, e.detail())
}

// explainItem is explain for one item of a batch, whose error is text. Nothing of the text is repeated, since nobody has looked whether it holds what was sent.
func explainItem(text string) error {
	if class := classOf(text); class != nil {
		return fmt.Errorf("%w: Transit refuses the item", class)
	}
	return fmt.Errorf("%w: Transit refuses the item for a reason that is not known here", kms.ErrUnavailable)
}

// classOf returns what words of Transit's mean, or nil.
func classOf(message string) error {
	means := []struct {
		words string
		class error
	}{
		{"encryption key not found", kms.ErrKeyNotFound},
		{"no existing key named", kms.ErrKeyNotFound},
		{"could not delete key; not found", kms.ErrKeyNotFound},
		{"key not found", kms.ErrKeyNotFound},
		{"disallowed by policy (too old)", errTooOld},
		{"deletion is not allowed", kms.ErrPermission},
		{"message authentication failed", kms.ErrDecrypt},
		{"invalid ciphertext", kms.ErrDecrypt},
		{"unable to decrypt", kms.ErrDecrypt},
		{"not supported for key type", kms.ErrUnsupported},
		{"rotation is not allowed", kms.ErrUnsupported},
		{"imported key", kms.ErrUnsupported},
	}
	for _, m := range means {
		if strings.Contains(message, m.words) {
			return m.class
		}
	}
	return nil
}

// ofVersion adds the version of the key to an error that says it is too old.
func ofVersion(err error, version uint32) error {
	if errors.Is(err, errTooOld) {
		return fmt.Errorf("version %d of the key may not decrypt any more: %w", version, err)
	}
	return err
}
