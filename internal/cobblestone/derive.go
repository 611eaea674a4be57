package cobblestone

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
)

const (
	label = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"

	aeadKeySize    = 32
	nonceSize      = 12
	commitmentSize = 32
	derivedSize    = aeadKeySize + nonceSize + commitmentSize

	maxStackContext = 1024
	maxStackInfo    = len(label) + SaltSize + maxStackContext
)

// derived is key || base nonce || commitment.
type derived [derivedSize]byte

func (d *derived) commitment() []byte { return d[aeadKeySize+nonceSize:] }

// newSealer returns the cipher of a new message and its header.
func newSealer(key, context []byte, salt [SaltSize]byte) (c chunkCipher, header [HeaderSize]byte, err error) {
	if err := checkKey(key); err != nil {
		return chunkCipher{}, header, err
	}
	var d derived
	defer clear(d[:])
	if err := derive(&d, key, salt[:], context); err != nil {
		return chunkCipher{}, header, err
	}
	copy(header[:], salt[:])
	copy(header[SaltSize:], d.commitment())
	c, err = newChunkCipher(&d)
	return c, header, err
}

// newOpener returns the cipher of the message with the given header, after the header's commitment was checked.
func newOpener(key, context, header []byte) (chunkCipher, error) {
	if err := checkKey(key); err != nil {
		return chunkCipher{}, err
	}
	if len(header) != HeaderSize {
		return chunkCipher{}, ErrOpen
	}
	var d derived
	defer clear(d[:])
	if err := derive(&d, key, header[:SaltSize], context); err != nil {
		return chunkCipher{}, err
	}
	if subtle.ConstantTimeCompare(d.commitment(), header[SaltSize:]) != 1 {
		return chunkCipher{}, ErrOpen
	}
	return newChunkCipher(&d)
}

func checkKey(key []byte) error {
	if len(key) != KeySize {
		return fmt.Errorf("cobblestone: key has %d bytes, want %d", len(key), KeySize)
	}
	return nil
}

func newChunkCipher(d *derived) (chunkCipher, error) {
	block, err := aes.NewCipher(d[:aeadKeySize])
	if err != nil {
		return chunkCipher{}, fmt.Errorf("cobblestone: AES-256-GCM is not available: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return chunkCipher{}, fmt.Errorf("cobblestone: AES-256-GCM is not available: %w", err)
	}
	return chunkCipher{aead: aead, base: [nonceSize]byte(d[aeadKeySize:])}, nil
}

// derive fills d with HKDF-Expand of label, salt and context under key, as the section "Key derivation" specifies.
func derive(d *derived, key, salt, context []byte) error {
	if fips140.Enabled() || len(context) > maxStackContext {
		return deriveStandard(d, key, salt, context)
	}
	var buf [maxStackInfo]byte
	info := append(buf[:0], label...)
	info = append(info, salt...)
	info = append(info, context...)
	expand(d, key, info)
	return nil
}

// deriveStandard is derive by the standard library, which allocates, takes info of any length and is FIPS 140-3 validated.
func deriveStandard(d *derived, key, salt, context []byte) error {
	okm, err := hkdf.Expand(sha512.New, key, label+string(salt)+string(context), derivedSize)
	if err != nil {
		return fmt.Errorf("cobblestone: HKDF-SHA-512 is not available: %w", err)
	}
	copy(d[:], okm)
	clear(okm)
	return nil
}

// expand is HKDF-Expand-SHA-512 (RFC 5869, section 2.3) for two blocks of output and without the heap.
// It leaves nothing behind that prk could be found from.
func expand(d *derived, prk, info []byte) {
	if len(prk) > sha512.BlockSize || len(info) > maxStackInfo {
		panic("cobblestone: internal error: expand is called with too long an input")
	}
	// The input of both inner hashes ends alike. The second is longer by the first block of output,
	// so the padded key of the first begins that much later.
	const infoStart = sha512.BlockSize + sha512.Size
	var inner [infoStart + maxStackInfo + 1]byte
	var outer [sha512.BlockSize + sha512.Size]byte
	var block [sha512.Size]byte
	defer clear(inner[:infoStart])
	defer clear(outer[:])
	defer clear(block[:])

	end := infoStart + copy(inner[infoStart:], info)
	xorPad(outer[:sha512.BlockSize], prk, 0x5c)

	xorPad(inner[sha512.Size:infoStart], prk, 0x36)
	inner[end] = 1
	hmacTail(&block, &outer, inner[sha512.Size:end+1])
	copy(d[:], block[:])

	xorPad(inner[:sha512.BlockSize], prk, 0x36)
	copy(inner[sha512.BlockSize:], block[:])
	inner[end] = 2
	hmacTail(&block, &outer, inner[:end+1])
	copy(d[sha512.Size:], block[:])
}

// hmacTail sets block to the HMAC whose inner hash is that of inner and whose outer padded key begins outer.
func hmacTail(block *[sha512.Size]byte, outer *[sha512.BlockSize + sha512.Size]byte, inner []byte) {
	*block = sha512.Sum512(inner)
	copy(outer[sha512.BlockSize:], block[:])
	*block = sha512.Sum512(outer[:])
}

func xorPad(dst, key []byte, pad byte) {
	for i := range dst {
		dst[i] = pad
	}
	subtle.XORBytes(dst, dst, key)
}
