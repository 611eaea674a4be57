package vault

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/encctx"
	"github.com/objectkms/kms/internal/keyring"
)

// sealOverhead is how many bytes longer what Transit wraps is than its plaintext: a nonce and a tag, with every type of key that is used here.
const sealOverhead = 12 + 16

// A sealed is a text of Transit's, "vault:v", the version of the key, ":", and base64.
type sealed struct {
	version uint32
	size    int // of the plaintext in bytes
}

// parseSealed reads a text of Transit's. It accepts one spelling of each, though Transit reads others too: so nobody can change a wrapped
// data key and have it open.
func parseSealed(text string) (s sealed, err error) {
	rest, ok := strings.CutPrefix(text, "vault:v")
	number, code, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		return s, errors.New("does not begin with vault:v and a version")
	}
	version, err := strconv.ParseUint(number, 10, 32)
	if err != nil || version == 0 || strconv.FormatUint(version, 10) != number {
		return s, errors.New("has no version of a key")
	}
	raw, err := base64.StdEncoding.DecodeString(code)
	if err != nil || base64.StdEncoding.EncodeToString(raw) != code {
		return s, errors.New("is not base64 in its one form")
	}
	if len(raw) <= sealOverhead {
		return s, fmt.Errorf("has %d bytes, want more than %d", len(raw), sealOverhead)
	}
	return sealed{uint32(version), len(raw) - sealOverhead}, nil
}

// makeBlob returns the wrapped data key that a text of Transit's is part of, which wraps size bytes, and so is not larger than a wrapped data key may be.
func makeBlob(kind keyring.Kind, id, text string, size int) (ciphertext []byte, version uint32, err error) {
	s, err := parseSealed(text)
	if err != nil {
		return nil, 0, errAnswer("has a ciphertext that %w", err)
	}
	if s.size != size {
		return nil, 0, errAnswer("has a ciphertext of %d bytes of plaintext, want %d", s.size, size)
	}
	blob := keyring.Blob{Kind: kind, KeyID: id, Version: s.version}
	return append(blob.AppendHeader(make([]byte, 0, len(text)+len(id)+16)), text...), s.version, nil
}

// A wrapped is a wrapped data key of this engine, parsed.
type wrapped struct {
	keyring.Blob
	text string // of Transit's
	size int    // of the plaintext
}

// parseWrapped parses a wrapped data key and refuses those of other backends. Errors wrap ErrDecrypt.
func parseWrapped(ciphertext []byte) (w wrapped, err error) {
	blob, err := keyring.ParseBlob(ciphertext)
	if err != nil {
		return w, err
	}
	if blob.Kind != keyring.KindTransitDerived && blob.Kind != keyring.KindTransitAssociated {
		return w, fmt.Errorf("%w: ciphertext is of kind %d, want %d or %d",
			kms.ErrDecrypt, blob.Kind, keyring.KindTransitDerived, keyring.KindTransitAssociated)
	}
	w = wrapped{Blob: blob, text: string(blob.Payload)}
	s, err := parseSealed(w.text)
	if err != nil {
		return w, fmt.Errorf("%w: payload of the ciphertext %w", kms.ErrDecrypt, err)
	}
	if s.version != blob.Version {
		return w, fmt.Errorf("%w: ciphertext is of version %d, its payload of version %d", kms.ErrDecrypt, blob.Version, s.version)
	}
	w.size = s.size
	return w, nil
}

// of returns ErrDecrypt where the key does not wrap in this way. On a key without derivation Transit would ignore the context of kind 2, and open what was
// never bound to any.
func (w wrapped) of(v view) error {
	if kind := v.key.kind(); w.Kind != kind {
		return fmt.Errorf("%w: ciphertext is of kind %d, the key of kind %d", kms.ErrDecrypt, w.Kind, kind)
	}
	return nil
}

// binding returns what Transit gets for an encryption context: a digest, as long as any other, of the key id and the context.
func binding(id string, ec kms.EncryptionContext) []byte {
	const labelRoom = 64 // for the label and the lengths
	form := encctx.Append(make([]byte, 0, encctx.Size(ec)), ec)
	sum := sha256.Sum256(encctx.Bind(make([]byte, 0, labelRoom+len(id)+len(form)), "transit", []byte(id), form))
	return sum[:]
}

// A bound is what binds a request, or one item of a batch, to an encryption context: the one field that the kind of key heeds.
type bound struct {
	Context    []byte `json:"context,omitempty"`
	Associated []byte `json:"associated_data,omitempty"`
}

func bind(kind keyring.Kind, id string, ec kms.EncryptionContext) bound {
	if kind == keyring.KindTransitDerived {
		return bound{Context: binding(id, ec)}
	}
	return bound{Associated: binding(id, ec)}
}
