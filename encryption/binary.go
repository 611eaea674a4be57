package encryption

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
)

// The binary form of an envelope.
const (
	envelopeVersion = 1
	flagBucketKey   = 1

	objectKeySize = cobblestone.KeySize
	sealedKeySize = cobblestone.HeaderSize + objectKeySize + cobblestone.Overhead

	maxEnvelope = 24 << 10
	maxKeyID    = 2048
	maxWrapped  = 16 << 10
)

// appendBinary appends the binary form: what is bound, the sealed object key, the wrapped data key.
func (e *Envelope) appendBinary(dst []byte) []byte {
	dst = e.appendBound(dst)
	dst = append(dst, e.sealed...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.wrapped)))
	return append(dst, e.wrapped...)
}

// binarySize returns the size in bytes of the binary form.
func (e *Envelope) binarySize() int {
	return 3 + 2 + len(e.keyID) + 2 + len(e.context) + e.layout.binarySize() + len(e.sealed) + 2 + len(e.wrapped)
}

// appendBound appends what the sealed object key is bound to: all that stands before it.
func (e *Envelope) appendBound(dst []byte) []byte {
	var flags byte
	if e.bucketKey {
		flags |= flagBucketKey
	}
	dst = append(dst, envelopeVersion, byte(e.mode), flags)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.keyID)))
	dst = append(dst, e.keyID...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.context)))
	dst = append(dst, e.context...)
	return e.layout.appendBinary(dst)
}

// parseBinary reads the binary form, strictly, with the layout that parse takes. The envelope keeps b. Its errors say what is wrong, and nothing else.
func parseBinary(b []byte, parse func(*cursor) (layout, error)) (*Envelope, error) {
	c := cursor{rest: b}
	version, mode, flags := c.byte(), Mode(c.byte()), c.byte()
	keyID, context := c.field(), c.field()
	layout, layoutErr := parse(&c)
	if layoutErr != nil && version == envelopeVersion && !c.short {
		return nil, layoutErr
	}
	sealed := c.take(sealedKeySize)
	wrapped := c.field()
	switch {
	case version != envelopeVersion && len(b) > 0:
		return nil, fmt.Errorf("has format version %d, want %d", version, envelopeVersion)
	case c.short:
		return nil, errors.New("is cut short")
	case len(c.rest) > 0:
		return nil, fmt.Errorf("has %d bytes too many", len(c.rest))
	case mode == None || mode > SSEC:
		return nil, fmt.Errorf("has mode %d, want 1 to %d", byte(mode), byte(SSEC))
	case flags&^flagBucketKey != 0:
		return nil, fmt.Errorf("has flags %#x, want 0 or 1", flags)
	}
	e := &Envelope{mode: mode, bucketKey: flags != 0, keyID: string(keyID), context: context, layout: layout, sealed: sealed, wrapped: wrapped}
	return e, e.checkFields()
}

// checkFields checks what the fields of each mode may hold.
func (e *Envelope) checkFields() error {
	if e.mode == SSEC {
		if e.bucketKey || e.keyID != "" || len(e.context) > 0 || len(e.wrapped) > 0 {
			return fmt.Errorf("of mode %v has a bucket key, a key id, a context or a wrapped data key", e.mode)
		}
		return nil
	}
	switch {
	case e.keyID == "" || len(e.keyID) > maxKeyID || !utf8.ValidString(e.keyID):
		return fmt.Errorf("has a key id of %d bytes, want 1 to %d of UTF-8", len(e.keyID), maxKeyID)
	case len(e.wrapped) == 0 || len(e.wrapped) > maxWrapped:
		return fmt.Errorf("has a wrapped data key of %d bytes, want 1 to %d", len(e.wrapped), maxWrapped)
	case e.mode != SSEKMS && len(e.context) > 0:
		return fmt.Errorf("of mode %v has an encryption context", e.mode)
	case len(e.context) > maxUserContext:
		return fmt.Errorf("has an encryption context of %d bytes, want at most %d", len(e.context), maxUserContext)
	}
	context, err := encctx.Parse(e.context)
	if err != nil || checkUserContext(context) != nil {
		return errors.New("has a malformed encryption context")
	}
	return nil
}

// A cursor takes fields off the front of a binary form. A field that is empty is nil. After one that is not all there it yields nothing,
// and short is set.
type cursor struct {
	rest  []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.rest) {
		c.short = true
	}
	if c.short || n == 0 {
		return nil
	}
	field := c.rest[:n:n]
	c.rest = c.rest[n:]
	return field
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// field takes a field that has its length in two bytes before it.
func (c *cursor) field() []byte { return c.take(int(c.uint16())) }
