// Package cobblestone implements C2SP chunked encryption, Cobblestone-256.
//
// A message is a salt, a commitment to the key and a row of chunks, as https://c2sp.org/chunked-encryption specifies
// them with HKDF-Expand-SHA-512 and AES-256-GCM. Every chunk but the last holds [ChunkSize] bytes of plaintext; the last
// one is always shorter and may be empty, so that it marks the end. Key and nonce of the chunks are derived afresh for
// each message from the input key, a random salt and a context, which may be any bytes and must be the same on both sides.
//
// Input keys are [KeySize] uniformly random bytes. They are read in place, never kept and never changed.
// Whatever is wrong with a message, the answer is [ErrOpen].
package cobblestone

import (
	"crypto/rand"
	"errors"
	"unsafe"
)

// Sizes in bytes of the parts of a message.
const (
	KeySize    = 32                        // the input key
	SaltSize   = 24                        // the random start of a message
	HeaderSize = SaltSize + commitmentSize // salt and commitment
	ChunkSize  = 16384                     // the plaintext of every chunk but the last
	Overhead   = 16                        // what a chunk grows by when it is sealed
)

// ErrOpen is the error for every message that cannot be opened: the key or the context is another one, or the message
// was changed, cut or extended. These cases are not told apart. Compare with errors.Is.
var ErrOpen = errors.New("cobblestone: message cannot be opened")

var errTooLong = errors.New("cobblestone: plaintext is longer than 2^52-1 bytes")

// Seal encrypts plaintext as one whole message under key and context, appends it to dst and returns the result, as
// [crypto/cipher.AEAD] does; dst may be nil. The spare capacity of dst is used unless it overlaps plaintext.
// It fails if key is not of [KeySize] bytes, or if AES-256-GCM is not available (GODEBUG=fips140=only).
func Seal(dst, key, context, plaintext []byte) ([]byte, error) {
	var salt [SaltSize]byte
	rand.Read(salt[:])
	return seal(dst, key, context, plaintext, salt)
}

func seal(dst, key, context, plaintext []byte, salt [SaltSize]byte) ([]byte, error) {
	size := StoredSize(int64(len(plaintext)))
	if size < 0 {
		return nil, errTooLong
	}
	c, header, err := newSealer(key, context, salt)
	if err != nil {
		return nil, err
	}
	dst = append(reserve(dst, int(size), plaintext), header[:]...)
	for chunk := int64(0); ; chunk++ {
		n := min(len(plaintext), ChunkSize)
		dst = c.seal(dst, chunk, plaintext[:n])
		if n < ChunkSize {
			return dst, nil
		}
		plaintext = plaintext[n:]
	}
}

// Open decrypts message, which must be one whole message, appends the plaintext to dst and returns the result, as
// [crypto/cipher.AEAD] does; dst may be nil. The spare capacity of dst is used unless it overlaps message.
// It fails with [ErrOpen] if any part of the message is not authentic, and then leaves no plaintext in the capacity of dst.
// Other errors are those of [Seal].
func Open(dst, key, context, message []byte) ([]byte, error) {
	c, err := newOpener(key, context, message[:min(len(message), HeaderSize)])
	if err != nil {
		return nil, err
	}
	size, err := PlainSize(int64(len(message)))
	if err != nil {
		return nil, ErrOpen
	}
	dst = reserve(dst, int(size), message)
	out := dst
	rest := message[HeaderSize:]
	for chunk := int64(0); len(rest) > 0; chunk++ {
		n := min(len(rest), storedChunkSize)
		if out, err = c.open(out, chunk, rest[:n]); err != nil {
			clear(dst[len(dst) : len(dst)+int(size)])
			return nil, err
		}
		rest = rest[n:]
	}
	return out, nil
}

// reserve returns dst with room for n more bytes that do not overlap input, moving it if it has to.
func reserve(dst []byte, n int, input []byte) []byte {
	if cap(dst)-len(dst) >= n && !overlap(dst[len(dst):len(dst)+n], input) {
		return dst
	}
	return append(make([]byte, 0, len(dst)+n), dst...)
}

// overlap reports whether a and b share memory.
func overlap(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	startA, startB := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0])) // #nosec G103 -- addresses are compared, and none is followed
	return startA < startB+uintptr(len(b)) && startB < startA+uintptr(len(a))
}
