package main

import (
	"io"

	"github.com/objectkms/kms/internal/cobblestone"
)

// A stream is one way to encrypt bodies. Each call encrypts or decrypts one whole body, with all that its package does for a new
// one. It must not be used by two goroutines at once.
type stream interface {
	encrypt(w io.Writer, r io.Reader) error
	decrypt(w io.Writer, r io.Reader) error
}

// A ranger reads ranges, too.
type ranger interface {
	// readRange reads len(p) bytes of plaintext from off out of a message with size bytes.
	readRange(message io.ReaderAt, size, off int64, p []byte) error
}

// A cipher is a way to encrypt bodies, by the name that tables call it.
type cipher struct {
	name string
	new  func() stream
}

// Names that the code asks for.
const (
	nameOurs = "kms"
	nameRaw  = "raw AES-256-GCM"
)

// ciphers returns what is compared. The first is what the others are held against.
func ciphers() []cipher {
	return []cipher{
		{nameRaw, newRaw},
		{nameOurs, newOurs},
		{"minio/sio", newMinio},
		{"sio-go", newSioGo},
		{"tink 1 MiB", func() stream { return newTink(1 << 20) }},
		{"tink 4 KiB", func() stream { return newTink(4 << 10) }},
		{"age", newAge},
	}
}

func find(name string) cipher {
	for _, c := range ciphers() {
		if c.name == name {
			return c
		}
	}
	panic("no cipher " + name)
}

// copyBuffer is how much the loops around peers copy at a time. Each stream has one such buffer and keeps it.
const copyBuffer = 128 << 10

// key is the key of all. Ciphers that want one key for each body derive it, or get this one with a random nonce.
func key() []byte {
	k := make([]byte, cobblestone.KeySize)
	for i := range k {
		k[i] = byte(i*7 + 1)
	}
	return k
}

// ours is the body cipher of this library, without the KMS around it.
type ours struct {
	key, context []byte
}

func newOurs() stream { return &ours{key(), []byte("objectkms/v1/object\x00")} }

func (o *ours) encrypt(w io.Writer, r io.Reader) error {
	body, err := cobblestone.NewEncryptReader(o.key, o.context, r)
	if err != nil {
		return err
	}
	_, err = body.WriteTo(w)
	return err
}

func (o *ours) decrypt(w io.Writer, r io.Reader) error {
	body, err := cobblestone.NewDecryptReader(o.key, o.context, r)
	if err != nil {
		return err
	}
	_, err = body.WriteTo(w)
	return err
}

func (o *ours) readRange(message io.ReaderAt, size, off int64, p []byte) error {
	var header [cobblestone.HeaderSize]byte
	if _, err := message.ReadAt(header[:], 0); err != nil {
		return err
	}
	d, err := cobblestone.NewDecrypter(o.key, o.context, header[:])
	if err != nil {
		return err
	}
	plain, err := cobblestone.PlainSize(size)
	if err != nil {
		return err
	}
	start, n, err := cobblestone.Span(off, int64(len(p)), plain)
	if err != nil {
		return err
	}
	r, err := d.NewChunkReader(io.NewSectionReader(message, start, n), off, int64(len(p)), plain)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(r, p)
	return err
}
