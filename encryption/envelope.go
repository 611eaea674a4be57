package encryption

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/encctx"
)

// envelopeName is the name of the one metadata entry of Map.
const envelopeName = "objectkms-envelope"

// Envelope is what a server stores beside an encrypted body: the mode, the key id, the client's encryption context, the layout of the
// object, its sealed key and the wrapped data key. It holds no secret. Its text form is the one to store; servers must refuse metadata of that name from clients.
//
// An Envelope comes from [EncryptedObject.Envelope], [Service.Rewrap], [ParseEnvelope] or UnmarshalText; the zero value is none. What its methods
// answer is authentic only in an envelope that was made by this process, or after the object was opened with it. It is safe for concurrent use, but
// for UnmarshalText.
type Envelope struct {
	mode      Mode
	bucketKey bool
	keyID     string
	context   []byte // the client's part, in canonical form
	layout    layout
	sealed    []byte // the object key
	wrapped   []byte // the data key
}

// Mode returns whose key protects the object. It is None for the zero Envelope and for nil.
func (e *Envelope) Mode() Mode {
	if e == nil {
		return None
	}
	return e.mode
}

// KeyID returns the id of the master key, as the KeyService answered it. It is empty for SSE-C.
func (e *Envelope) KeyID() string {
	if e == nil {
		return ""
	}
	return e.keyID
}

// BucketKey reports whether the data key is bound to the bucket and not to the object.
func (e *Envelope) BucketKey() bool { return e != nil && e.bucketKey }

// Context returns a copy of the client's part of the encryption context. It is nil where there is none.
func (e *Envelope) Context() kms.EncryptionContext {
	if e == nil {
		return nil
	}
	context, err := encctx.Parse(e.context)
	if err != nil {
		panic("encryption: internal error: an envelope with a malformed encryption context")
	}
	return context
}

// PlainSize returns the size of the object in bytes.
func (e *Envelope) PlainSize() int64 {
	if e == nil {
		return 0
	}
	return e.layout.plainSize()
}

// PartSizes returns the numbers of the parts that the object was uploaded in, in their order, and the size of each in bytes. There are none for an object that
// was not.
func (e *Envelope) PartSizes() iter.Seq2[int, int64] {
	if e == nil {
		return new(layout).parts
	}
	return e.layout.parts
}

// check refuses the envelopes that are none.
func (e *Envelope) check() error {
	if e.Mode() == None {
		return fmt.Errorf("%w: object has no envelope", kms.ErrInvalidRequest)
	}
	return nil
}

// MarshalText returns the text form of the envelope: base64url without padding. It fails only for the zero Envelope and for nil.
func (e *Envelope) MarshalText() ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	return encodeText(e.appendBinary(nil)), nil
}

// UnmarshalText sets e to the envelope that has exactly this text form. Empty text is ErrInvalidRequest; any other text that MarshalText does not
// return is ErrDecrypt. e is left alone then.
func (e *Envelope) UnmarshalText(text []byte) error {
	if len(text) == 0 || e == nil {
		return (*Envelope)(nil).check()
	}
	parsed, err := parseText(text, parseLayout)
	if err != nil {
		return malformed("envelope", err)
	}
	*e = *parsed
	return nil
}

// parseText reads the text form of an envelope or of the state of an upload.
func parseText(text []byte, parse func(*cursor) (layout, error)) (*Envelope, error) {
	b, err := decodeText(text, maxEnvelope)
	if err != nil {
		return nil, err
	}
	return parseBinary(b, parse)
}

// encodeText returns the text of a binary form: base64url without padding.
func encodeText(b []byte) []byte {
	return base64.RawURLEncoding.AppendEncode(make([]byte, 0, base64.RawURLEncoding.EncodedLen(len(b))), b)
}

// decodeText returns the binary form, of at most limit bytes, that has exactly this text.
func decodeText(text []byte, limit int) ([]byte, error) {
	if n := base64.RawURLEncoding.DecodedLen(len(text)); n > limit {
		return nil, fmt.Errorf("has %d bytes, want at most %d", n, limit)
	}
	b, err := base64.RawURLEncoding.AppendDecode(nil, text)
	if err != nil {
		return nil, errors.New("is not base64url without padding")
	}
	// The decoder passes over line ends and unused bits, so one value would have many texts.
	if !bytes.Equal(encodeText(b), text) {
		return nil, errors.New("is not in canonical form")
	}
	return b, nil
}

// malformed is the error for something stored that cannot be what it should be.
func malformed(what string, err error) error {
	return fmt.Errorf("%w: %s %w", kms.ErrDecrypt, what, err)
}

// Map returns the envelope as a map to add to the object's metadata: one entry, "objectkms-envelope". It is nil for the zero
// Envelope and for nil.
func (e *Envelope) Map() map[string]string {
	text, err := e.MarshalText()
	if err != nil {
		return nil
	}
	return map[string]string{envelopeName: string(text)}
}

// ParseEnvelope returns the envelope in an object's metadata, where [Envelope.Map] put it; other entries are passed over. Without
// the entry it fails with ErrInvalidRequest: such an object was not encrypted here, or has lost its envelope. A malformed one is ErrDecrypt.
func ParseEnvelope(metadata map[string]string) (*Envelope, error) {
	e := new(Envelope)
	if err := e.UnmarshalText([]byte(metadata[envelopeName])); err != nil {
		return nil, err
	}
	return e, nil
}

// ObjectInfo is what can be told of a stored object without a key.
type ObjectInfo struct {
	Mode      Mode
	KeyID     string
	BucketKey bool
	PlainSize int64 // of the object, in bytes
	Parts     int   // that the object was uploaded in, or 0
}

// Info tells what a listing shows of an object, from its envelope and the size of its stored body in bytes. Nothing of it is authentic: it is never to be
// decided on. A stored size other than the envelope implies is ErrDecrypt.
func Info(env *Envelope, storedSize int64) (ObjectInfo, error) {
	if err := env.check(); err != nil {
		return ObjectInfo{}, err
	}
	if err := env.checkStoredSize(storedSize); err != nil {
		return ObjectInfo{}, err
	}
	return ObjectInfo{Mode: env.mode, KeyID: env.keyID, BucketKey: env.bucketKey, PlainSize: env.PlainSize(), Parts: env.layout.partCount()}, nil
}

// checkStoredSize refuses a stored size other than the one that the layout implies.
func (e *Envelope) checkStoredSize(stored int64) error {
	if want := e.layout.storedSize(); stored != want {
		return fmt.Errorf("%w: stored object has %d bytes, want %d", kms.ErrDecrypt, stored, want)
	}
	return nil
}
