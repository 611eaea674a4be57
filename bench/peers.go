package main

import (
	"crypto/aes"
	stdcipher "crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"io"

	"filippo.io/age"
	minio "github.com/minio/sio"
	siogo "github.com/secure-io/sio-go"
	tink "github.com/tink-crypto/tink-go/v2/streamingaead/subtle"
)

// must is for the constructors of peers, which fail only when they are called wrongly.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newGCM() stdcipher.AEAD { return must(stdcipher.NewGCM(must(aes.NewCipher(key())))) }

// raw is the bare cipher: pieces of 64 KiB, read, sealed in place and written, with a key schedule made long ago. It detects neither
// truncation nor swapped bodies, and is what nothing can be faster than that reads and writes.
type raw struct {
	aead stdcipher.AEAD
	buf  []byte
}

const rawPiece = 64 << 10

func newRaw() stream { return &raw{newGCM(), make([]byte, rawPiece+16)} }

func (c *raw) encrypt(w io.Writer, r io.Reader) error {
	return c.pieces(w, r, rawPiece, func(dst, nonce, b []byte) ([]byte, error) { return c.aead.Seal(dst, nonce, b, nil), nil })
}

func (c *raw) decrypt(w io.Writer, r io.Reader) error {
	return c.pieces(w, r, rawPiece+16, func(dst, nonce, b []byte) ([]byte, error) { return c.aead.Open(dst, nonce, b, nil) })
}

func (c *raw) pieces(w io.Writer, r io.Reader, size int, do func(dst, nonce, b []byte) ([]byte, error)) error {
	nonce := make([]byte, 12)
	for i := uint64(0); ; i++ {
		n, readErr := io.ReadFull(r, c.buf[:size])
		if n > 0 {
			binary.BigEndian.PutUint64(nonce[4:], i)
			out, err := do(c.buf[:0], nonce, c.buf[:n])
			if err != nil {
				return err
			}
			if _, err := w.Write(out); err != nil {
				return err
			}
		}
		switch readErr {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return readErr
		}
	}
}

// minioSIO is DARE 2.0 as MinIO uses it: packages of 64 KiB, the nonce random for each body.
type minioSIO struct{ config minio.Config }

func newMinio() stream {
	return &minioSIO{minio.Config{MinVersion: minio.Version20, Key: key(), CipherSuites: []byte{minio.AES_256_GCM}}}
}

func (c *minioSIO) encrypt(w io.Writer, r io.Reader) error {
	_, err := minio.Encrypt(w, r, c.config)
	return err
}

func (c *minioSIO) decrypt(w io.Writer, r io.Reader) error {
	_, err := minio.Decrypt(w, r, c.config)
	return err
}

func (c *minioSIO) readRange(message io.ReaderAt, size, off int64, p []byte) error {
	r, err := minio.DecryptReaderAt(message, c.config)
	if err != nil {
		return err
	}
	_, err = r.ReadAt(p, off)
	return noEOF(err)
}

// sioGo is the STREAM construction of secure-io/sio-go with its default buffer. The nonce is stored before the message.
type sioGo struct {
	stream *siogo.Stream
	nonce  []byte
	buf    []byte
}

func newSioGo() stream {
	s := must(siogo.AES_256_GCM.Stream(key()))
	return &sioGo{s, make([]byte, s.NonceSize()), make([]byte, copyBuffer)}
}

func (c *sioGo) encrypt(w io.Writer, r io.Reader) error {
	rand.Read(c.nonce)
	if _, err := w.Write(c.nonce); err != nil {
		return err
	}
	_, err := io.CopyBuffer(w, c.stream.EncryptReader(r, c.nonce, nil), c.buf)
	return err
}

func (c *sioGo) decrypt(w io.Writer, r io.Reader) error {
	if _, err := io.ReadFull(r, c.nonce); err != nil {
		return err
	}
	_, err := io.CopyBuffer(w, c.stream.DecryptReader(r, c.nonce, nil), c.buf)
	return err
}

func (c *sioGo) readRange(message io.ReaderAt, size, off int64, p []byte) error {
	if _, err := message.ReadAt(c.nonce, 0); err != nil {
		return err
	}
	n := int64(len(c.nonce))
	_, err := c.stream.DecryptReaderAt(io.NewSectionReader(message, n, size-n), c.nonce, nil).ReadAt(p, off)
	return noEOF(err)
}

// tinkAEAD is AES256-GCM-HKDF of Tink. It has no random access in Go.
type tinkAEAD struct {
	aead *tink.AESGCMHKDF
	buf  []byte
}

func newTink(segment int) stream {
	return &tinkAEAD{must(tink.NewAESGCMHKDF(key(), "SHA256", 32, segment, 0)), make([]byte, copyBuffer)}
}

func (c *tinkAEAD) encrypt(w io.Writer, r io.Reader) error {
	body, err := c.aead.NewEncryptingWriter(w, nil)
	if err != nil {
		return err
	}
	return copyAndClose(body, r, c.buf)
}

func (c *tinkAEAD) decrypt(w io.Writer, r io.Reader) error {
	body, err := c.aead.NewDecryptingReader(r, nil)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(w, body, c.buf)
	return err
}

// ageFile is an age file: ChaCha20-Poly1305 in chunks of 64 KiB. Its file key lies in the open in the header, so that what is
// measured is the body, not the public keys of a recipient.
type ageFile struct{ buf []byte }

func newAge() stream { return &ageFile{make([]byte, copyBuffer)} }

// openRecipient wraps nothing.
type openRecipient struct{}

func (openRecipient) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: "open", Body: fileKey}}, nil
}

func (openRecipient) Unwrap(stanzas []*age.Stanza) ([]byte, error) { return stanzas[0].Body, nil }

func (c *ageFile) encrypt(w io.Writer, r io.Reader) error {
	body, err := age.Encrypt(w, openRecipient{})
	if err != nil {
		return err
	}
	return copyAndClose(body, r, c.buf)
}

func (c *ageFile) decrypt(w io.Writer, r io.Reader) error {
	body, err := age.Decrypt(r, openRecipient{})
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(w, body, c.buf)
	return err
}

func (c *ageFile) readRange(message io.ReaderAt, size, off int64, p []byte) error {
	r, _, err := age.DecryptReaderAt(message, size, openRecipient{})
	if err != nil {
		return err
	}
	_, err = r.ReadAt(p, off)
	return noEOF(err)
}

func copyAndClose(w io.WriteCloser, r io.Reader, buf []byte) error {
	if _, err := io.CopyBuffer(w, r, buf); err != nil {
		return err
	}
	return w.Close()
}

// noEOF drops the io.EOF that ReadAt may return with the last bytes.
func noEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
