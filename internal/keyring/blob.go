package keyring

import (
	"encoding/binary"
	"fmt"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
)

// Kind says what the payload of a Blob is, and so which backend opens it.
type Kind uint8

// The kinds of wrapped data keys.
const (
	KindKeyring           Kind = 1 // a Cobblestone message under a version of a Ring's key
	KindTransitDerived    Kind = 2 // of a Vault Transit key with derivation
	KindTransitAssociated Kind = 3 // of a Vault Transit key, with associated data
)

// MaxBlobSize is the largest size of a wrapped data key in bytes.
const MaxBlobSize = 16 << 10

const (
	blobFormat     = 1
	blobFixedSize  = 3 + 4                                         // format, kind and length before the key id, version behind it
	minMessageSize = cobblestone.HeaderSize + cobblestone.Overhead // of an empty plaintext
)

// A Blob is a wrapped data key: which version of which key wrapped it, and the payload.
type Blob struct {
	Kind    Kind
	KeyID   string
	Version uint32
	Payload []byte
}

// AppendHeader appends to dst all of the blob that stands before the payload. The key id must be one that
// [kms.ValidateKeyID] accepts.
func (b Blob) AppendHeader(dst []byte) []byte {
	dst = append(dst, blobFormat, byte(b.Kind), byte(len(b.KeyID)))
	dst = append(dst, b.KeyID...)
	return binary.BigEndian.AppendUint32(dst, b.Version)
}

// ParseBlob reads a wrapped data key of any kind. The payload stays part of ciphertext. There is one form
// of each blob, and all else is refused with an error that wraps ErrDecrypt.
func ParseBlob(ciphertext []byte) (Blob, error) {
	b, err := parseBlob(ciphertext)
	if err != nil {
		return Blob{}, fmt.Errorf("%w: ciphertext %w", kms.ErrDecrypt, err)
	}
	return b, nil
}

func parseBlob(text []byte) (b Blob, err error) {
	if len(text) > MaxBlobSize {
		return b, fmt.Errorf("has %d bytes, want at most %d", len(text), MaxBlobSize)
	}
	if len(text) < blobFixedSize {
		return b, fmt.Errorf("has %d bytes, want more than %d", len(text), blobFixedSize)
	}
	if text[0] != blobFormat {
		return b, fmt.Errorf("has format %d, want %d", text[0], blobFormat)
	}
	b.Kind = Kind(text[1])
	idSize, rest := int(text[2]), text[3:]
	if len(rest) < idSize+4 {
		return b, fmt.Errorf("ends within its header of %d bytes", blobFixedSize+idSize)
	}
	b.KeyID, rest = string(rest[:idSize]), rest[idSize:]
	b.Version, b.Payload = binary.BigEndian.Uint32(rest), rest[4:]
	return b, b.check()
}

func (b Blob) check() error {
	least := 1
	switch b.Kind {
	case KindKeyring:
		least = minMessageSize
	case KindTransitDerived, KindTransitAssociated:
	default:
		return fmt.Errorf("is of kind %d, want 1 to 3", b.Kind)
	}
	// The error of ValidateKeyID is not wrapped: a bad ciphertext is ErrDecrypt, not ErrInvalidRequest.
	if err := kms.ValidateKeyID(b.KeyID); err != nil {
		return fmt.Errorf("names a malformed key id of %d bytes", len(b.KeyID))
	}
	if b.Version == 0 {
		return fmt.Errorf("has key version 0, want 1 or more")
	}
	if len(b.Payload) < least {
		return fmt.Errorf("has a payload of %d bytes, want %d or more", len(b.Payload), least)
	}
	return nil
}
