package encryption

import (
	"fmt"
	"unicode/utf8"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
)

const (
	attributeLabel     = "attribute"
	maxAttributeName   = 255
	maxAttribute       = 4 << 10
	attributeGain      = cobblestone.HeaderSize + cobblestone.Overhead
	maxSealedAttribute = maxAttribute + attributeGain
)

// SealAttribute seals something about the object that a server must not store in clear, such as a checksum of the plaintext, and returns the text to store with
// the object's metadata: base64url without padding. It may be called as long as the object is not closed, after the last byte too, and opens by
// [Object.OpenAttribute] under the same name, also after a [Service.Rewrap], which leaves it as it is.
//
// A name of 1 to 255 bytes of UTF-8 and a value of at most 4 KiB are what it takes; others are ErrInvalidRequest. After a failure it returns the error that Read had, and after Close
// ErrClosed.
func (o *EncryptedObject) SealAttribute(name string, value []byte) ([]byte, error) {
	if err := o.encrypter.failed(); err != nil {
		return nil, err
	}
	return sealAttribute(o.objectKey, name, value)
}

// SealAttribute seals something about the object, or about one of its parts, whose number then belongs into the name: see [EncryptedObject.SealAttribute]. What was sealed
// before the upload is complete opens by [Object.OpenAttribute] when it is. After Close it is ErrClosed.
func (u *Upload) SealAttribute(name string, value []byte) (text []byte, err error) {
	err = u.use(func() error {
		text, err = sealAttribute(u.objectKey, name, value)
		return err
	})
	return text, err
}

// OpenAttribute returns what SealAttribute has sealed under this name for this upload: see [Object.OpenAttribute].
func (u *Upload) OpenAttribute(name string, text []byte) (value []byte, err error) {
	err = u.use(func() error {
		value, err = openAttribute(u.objectKey, name, text)
		return err
	})
	return value, err
}

// SealAttribute seals something about the object that becomes known after it was written: see [EncryptedObject.SealAttribute]. After Close it is ErrClosed.
func (o *Object) SealAttribute(name string, value []byte) (text []byte, err error) {
	err = o.messages.use(func(key *kms.Secret) error {
		text, err = sealAttribute(key, name, value)
		return err
	})
	return text, err
}

// OpenAttribute returns what SealAttribute has sealed under this name for this object. Text of another name or another object, and text that was changed, is
// ErrDecrypt; empty text, for an attribute that is not there, is ErrInvalidRequest. An earlier text of the same name and object opens too: it is authentic. After Close
// it is ErrClosed.
func (o *Object) OpenAttribute(name string, text []byte) (value []byte, err error) {
	err = o.messages.use(func(key *kms.Secret) error {
		value, err = openAttribute(key, name, text)
		return err
	})
	return value, err
}

func sealAttribute(key *kms.Secret, name string, value []byte) ([]byte, error) {
	if err := checkAttributeName(name); err != nil {
		return nil, err
	}
	if n := len(value); n > maxAttribute {
		return nil, fmt.Errorf("%w: attribute has %d bytes, want at most %d", kms.ErrInvalidRequest, n, maxAttribute)
	}
	if key.Len() == 0 {
		return nil, kms.ErrClosed
	}
	sealed, err := cobblestone.Seal(nil, key.Bytes(), attributeContext(name), value)
	if err != nil {
		return nil, err
	}
	return encodeText(sealed), nil
}

func openAttribute(key *kms.Secret, name string, text []byte) ([]byte, error) {
	if err := checkAttributeName(name); err != nil {
		return nil, err
	}
	if len(text) == 0 {
		return nil, fmt.Errorf("%w: object has no such attribute", kms.ErrInvalidRequest)
	}
	sealed, err := decodeText(text, maxSealedAttribute)
	if err != nil {
		return nil, malformed("attribute", err)
	}
	value, err := cobblestone.Open(nil, key.Bytes(), attributeContext(name), sealed)
	if err != nil {
		return nil, openError(err)
	}
	return value, nil
}

func checkAttributeName(name string) error {
	if name == "" || len(name) > maxAttributeName || !utf8.ValidString(name) {
		return fmt.Errorf("%w: attribute name of %d bytes, want 1 to %d of UTF-8", kms.ErrInvalidRequest, len(name), maxAttributeName)
	}
	return nil
}

func attributeContext(name string) []byte { return encctx.Bind(nil, attributeLabel, []byte(name)) }
