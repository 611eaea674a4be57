// Package twokeys makes ciphertexts that AES-GCM accepts under two keys, for tests.
//
// AES-GCM does not commit to its key: who knows two keys can choose one block of a ciphertext so that both give the same tag. What a chunked
// message has against it is its commitment, which these messages bring along, of one key or of the other. Nothing but tests imports this package.
package twokeys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"fmt"
)

// Sizes in bytes, as the specification of chunked encryption has them.
const (
	blockSize = aes.BlockSize
	saltSize  = 24
	label     = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"
)

// A Key is what one reader opens a chunk with.
type Key struct {
	AEAD  []byte // 32 bytes
	Nonce []byte // 12 bytes
}

// Chunk returns ciphertext and tag of a plaintext of so many blocks, at least one, which AES-256-GCM opens under both keys. The plaintexts are
// random and differ.
func Chunk(a, b Key, blocks int) ([]byte, error) {
	first, err := newHash(a)
	if err != nil {
		return nil, err
	}
	second, err := newHash(b)
	if err != nil {
		return nil, err
	}
	text := make([]byte, blocks*blockSize)
	rand.Read(text)
	free := text[len(text)-blockSize:]
	clear(free)
	// The last block x counts as x·h² in the tag. With h and k of the two keys, and the tags of zero there, x·h² + tag = x·k² + tag'.
	difference := add(first.tag(text), second.tag(text))
	x := multiply(difference, inverse(add(multiply(first.h, first.h), multiply(second.h, second.h))))
	copy(free, x[:])
	tag := first.tag(text)
	return append(text, tag[:]...), nil
}

// Messages returns two messages of the specification under the context of each key. They are the same but for the commitment, and so are their
// chunks, which are open to both keys: the commitment of the first is that of key a, of the second that of key b.
func Messages(keyA, contextA, keyB, contextB []byte, blocks int) (ofA, ofB []byte, err error) {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	a, commitmentA, err := Derive(keyA, salt, contextA)
	if err != nil {
		return nil, nil, err
	}
	b, commitmentB, err := Derive(keyB, salt, contextB)
	if err != nil {
		return nil, nil, err
	}
	chunk, err := Chunk(a, b, blocks)
	if err != nil {
		return nil, nil, err
	}
	message := func(commitment []byte) []byte {
		m := append(append([]byte(nil), salt...), commitment...)
		return append(m, chunk...)
	}
	return message(commitmentA), message(commitmentB), nil
}

// Derive returns the key and the nonce of the first chunk of a message, and its commitment.
func Derive(key, salt, context []byte) (Key, []byte, error) {
	derived, err := hkdf.Expand(sha512.New, key, label+string(salt)+string(context), 76)
	if err != nil {
		return Key{}, nil, err
	}
	return Key{derived[:32], derived[32:44]}, derived[44:], nil
}

// A hash makes the tags of one key.
type hash struct{ h, mask block }

func newHash(k Key) (hash, error) {
	aesBlock, err := aes.NewCipher(k.AEAD)
	if err != nil {
		return hash{}, err
	}
	if len(k.Nonce) != 12 {
		return hash{}, fmt.Errorf("nonce has %d bytes, want 12", len(k.Nonce))
	}
	var g hash
	aesBlock.Encrypt(g.h[:], make([]byte, blockSize))
	counter := append(append([]byte(nil), k.Nonce...), 0, 0, 0, 1)
	aesBlock.Encrypt(g.mask[:], counter)
	return g, nil
}

// tag returns the tag of whole blocks of ciphertext, without additional data.
func (g hash) tag(text []byte) block {
	var y block
	for rest := text; len(rest) > 0; rest = rest[blockSize:] {
		y = multiply(add(y, block(rest)), g.h)
	}
	var length block
	for bits, i := 8*len(text), blockSize-1; bits > 0; bits, i = bits>>8, i-1 {
		length[i] = byte(bits)
	}
	return add(multiply(add(y, length), g.h), g.mask)
}

// Open opens a chunk as somebody does who uses AES-GCM alone.
func (k Key) Open(chunk []byte) ([]byte, error) {
	aesBlock, err := aes.NewCipher(k.AEAD)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(aesBlock)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, k.Nonce, chunk, nil)
}
