package encryption

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
)

// The binary form of an envelope.
const (
	envelopeVersion  = 1
	flagBucketKey    = 1
	layoutOneMessage = 1

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
	dst = append(dst, layoutOneMessage)
	return binary.BigEndian.AppendUint64(dst, uint64(e.plainSize))
}

// parseBinary reads the binary form, strictly. The envelope keeps b.
func parseBinary(b []byte) (*Envelope, error) {
	c := cursor{rest: b}
	version, mode, flags := c.byte(), Mode(c.byte()), c.byte()
	keyID, context := c.field(), c.field()
	layout, size := c.byte(), c.uint64()
	sealed := c.take(sealedKeySize)
	wrapped := c.field()
	switch {
	case version != envelopeVersion && len(b) > 0:
		return nil, envelopeError("has format version %d, want %d", version, envelopeVersion)
	case c.short:
		return nil, envelopeError("is cut short")
	case len(c.rest) > 0:
		return nil, envelopeError("has %d bytes too many", len(c.rest))
	case mode == None || mode > SSEC:
		return nil, envelopeError("has mode %d, want 1 to %d", byte(mode), byte(SSEC))
	case flags&^flagBucketKey != 0:
		return nil, envelopeError("has flags %#x, want 0 or 1", flags)
	case layout != layoutOneMessage:
		return nil, envelopeError("has layout %d, want %d", layout, layoutOneMessage)
	case size > uint64(MaxPlainSize):
		return nil, envelopeError("has an object size of %d bytes, want at most %d", size, MaxPlainSize)
	}
	e := &Envelope{mode: mode, bucketKey: flags != 0, keyID: string(keyID), context: context, plainSize: int64(size), sealed: sealed, wrapped: wrapped}
	return e, e.checkFields()
}

// checkFields checks what the fields of each mode may hold.
func (e *Envelope) checkFields() error {
	if e.mode == SSEC {
		if e.bucketKey || e.keyID != "" || len(e.context) > 0 || len(e.wrapped) > 0 {
			return envelopeError("of mode %v has a bucket key, a key id, a context or a wrapped data key", e.mode)
		}
		return nil
	}
	switch {
	case e.keyID == "" || len(e.keyID) > maxKeyID || !utf8.ValidString(e.keyID):
		return envelopeError("has a key id of %d bytes, want 1 to %d of UTF-8", len(e.keyID), maxKeyID)
	case len(e.wrapped) == 0 || len(e.wrapped) > maxWrapped:
		return envelopeError("has a wrapped data key of %d bytes, want 1 to %d", len(e.wrapped), maxWrapped)
	case e.mode != SSEKMS && len(e.context) > 0:
		return envelopeError("of mode %v has an encryption context", e.mode)
	case len(e.context) > maxUserContext:
		return envelopeError("has an encryption context of %d bytes, want at most %d", len(e.context), maxUserContext)
	}
	context, err := encctx.Parse(e.context)
	if err != nil || checkUserContext(context) != nil {
		return envelopeError("has a malformed encryption context")
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

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// field takes a field that has its length in two bytes before it.
func (c *cursor) field() []byte {
	b := c.take(2)
	if b == nil {
		return nil
	}
	return c.take(int(binary.BigEndian.Uint16(b)))
}

// envelopeError says what is wrong with a stored envelope.
func envelopeError(format string, args ...any) error {
	return fmt.Errorf("%w: envelope %s", kms.ErrDecrypt, fmt.Sprintf(format, args...))
}
