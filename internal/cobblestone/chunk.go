package cobblestone

import (
	"crypto/cipher"
	"encoding/binary"
)

// chunkCipher seals and opens the chunks of one message. A copy shares the key but not the scratch space:
// each goroutine needs a copy of its own.
type chunkCipher struct {
	aead cipher.AEAD
	base [nonceSize]byte

	// An array on the stack would be allocated at every call of the AEAD, which is an interface.
	nonce [nonceSize]byte
}

// seal appends the sealed chunk to dst.
func (c *chunkCipher) seal(dst []byte, chunk int64, plain []byte) []byte {
	return c.aead.Seal(dst, c.nonceOf(chunk), plain, nil)
}

// open appends the plaintext of a sealed chunk to dst, or fails with ErrOpen.
func (c *chunkCipher) open(dst []byte, chunk int64, sealed []byte) ([]byte, error) {
	plain, err := c.aead.Open(dst, c.nonceOf(chunk), sealed, nil)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// nonceOf returns the base nonce XOR the chunk number, which is valid until the next call.
func (c *chunkCipher) nonceOf(chunk int64) []byte {
	if chunk < 0 || chunk >= maxChunks {
		panic("cobblestone: internal error: chunk number is out of range")
	}
	c.nonce = c.base
	tail := c.nonce[nonceSize-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^uint64(chunk))
	return c.nonce[:]
}
