package cobblestone

import "io"

// Seams for tests: a fixed salt, a stream that has come far, and the key derivation.

const (
	MaxChunks       = maxChunks
	DerivedSize     = derivedSize
	MaxStackContext = maxStackContext
	MaxStackInfo    = maxStackInfo
)

var ErrTooLong = errTooLong

func SealWithSalt(dst, key, context, plaintext []byte, salt [SaltSize]byte) ([]byte, error) {
	return seal(dst, key, context, plaintext, salt)
}

func NewEncryptReaderWithSalt(key, context []byte, plain io.Reader, salt [SaltSize]byte) (*EncryptReader, error) {
	return newEncryptReader(key, context, plain, salt)
}

func (r *EncryptReader) SetChunk(chunk int64) { r.chunk = chunk }
func (r *DecryptReader) SetChunk(chunk int64) { r.chunk = chunk }

func Derive(key, salt, context []byte) ([DerivedSize]byte, error) {
	var d derived
	err := derive(&d, key, salt, context)
	return d, err
}

func DeriveStandard(key, salt, context []byte) ([DerivedSize]byte, error) {
	var d derived
	err := deriveStandard(&d, key, salt, context)
	return d, err
}

func Expand(prk, info []byte) [DerivedSize]byte {
	var d derived
	expand(&d, prk, info)
	return d
}
