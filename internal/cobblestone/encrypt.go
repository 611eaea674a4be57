package cobblestone

import (
	"crypto/rand"
	"io"
)

// EncryptReader encrypts what it reads: it yields one whole message. It must not be used by two goroutines at once.
type EncryptReader struct {
	cipher chunkCipher
	src    source
	out    output
	chunk  int64

	// The header stays at the start; the chunks follow one another behind it.
	buf []byte
}

// NewEncryptReader returns a reader of the message that encrypts plain, to its EOF, under key and context. It reads
// nothing yet, and keeps neither key nor context. It fails if key is not of [KeySize] bytes, or if AES-256-GCM is not available
// (GODEBUG=fips140=only).
func NewEncryptReader(key, context []byte, plain io.Reader) (*EncryptReader, error) {
	var salt [SaltSize]byte
	rand.Read(salt[:])
	return newEncryptReader(key, context, plain, salt)
}

func newEncryptReader(key, context []byte, plain io.Reader, salt [SaltSize]byte) (*EncryptReader, error) {
	c, header, err := newSealer(key, context, salt)
	if err != nil {
		return nil, err
	}
	r := &EncryptReader{cipher: c, src: source{r: plain}, buf: make([]byte, smallBuffer)}
	copy(r.buf, header[:])
	return r, nil
}

// Header returns the first bytes of the message, which are known before anything is read.
func (r *EncryptReader) Header() [HeaderSize]byte {
	return [HeaderSize]byte(r.buf)
}

// Read implements [io.Reader]; it returns at most one chunk, the first one with the header before it. An error of the source is
// returned wrapped, now and at every later call, and the message stays cut short, so that nobody can open it.
// The same holds for a source of more than [MaxPlainSize] bytes.
func (r *EncryptReader) Read(p []byte) (int, error) {
	return r.out.read(p, r, HeaderSize+storedChunkSize)
}

// WriteTo implements [io.WriterTo]: it writes the rest of the message to w, chunk by chunk. Errors are those of
// Read and of w; after an error of w the rest can still be read.
func (r *EncryptReader) WriteTo(w io.Writer) (int64, error) {
	return r.out.writeTo(w, r)
}

func (r *EncryptReader) next(dst []byte) ([]byte, error) {
	if r.chunk == maxChunks {
		return nil, errTooLong
	}
	var n int
	var err error
	if r.buf, n, err = r.src.load(r.buf, HeaderSize, ChunkSize); err != nil {
		return nil, plainError(err)
	}
	if n < ChunkSize {
		err = io.EOF
	}
	return r.seal(dst, r.buf[HeaderSize:][:n]), err
}

// seal appends the chunk to dst, or seals it in place if dst is nil. The header goes before the first chunk.
func (r *EncryptReader) seal(dst, plain []byte) []byte {
	chunk, head := r.chunk, r.buf[:HeaderSize]
	r.chunk++
	if dst == nil {
		dst = head
		if chunk > 0 {
			dst = r.buf[HeaderSize:HeaderSize]
		}
	} else if chunk == 0 {
		dst = append(dst, head...)
	}
	return r.cipher.seal(dst, chunk, plain)
}

// plainError wraps an error of the plaintext's source.
func plainError(err error) error { return readError("read plaintext", err) }
