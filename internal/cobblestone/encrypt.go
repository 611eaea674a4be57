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
	header [HeaderSize]byte
	buf    *chunkBuffer // nil until it is needed, and at the end
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
	return &EncryptReader{cipher: c, src: source{r: plain}, header: header}, nil
}

// Header returns the first bytes of the message, which are known before anything is read.
func (r *EncryptReader) Header() [HeaderSize]byte {
	return r.header
}

// Read implements [io.Reader]; it returns at most one chunk, the first one with the header before it. An error of the source is
// returned wrapped, now and at every later call, and the message stays cut short, so that nobody can open it.
// The same holds for a source of more than [MaxPlainSize] bytes.
func (r *EncryptReader) Read(p []byte) (int, error) {
	return r.out.read(p, r, HeaderSize+storedChunkSize)
}

// WriteTo implements [io.WriterTo]: it writes the rest of the message to w. Long messages are sealed on several cores if they are idle; then up to 2 MiB
// may be read before they are written. Reads and writes are made by the caller's goroutine. Errors are those of Read and of w; an
// error of w ends the message, too.
func (r *EncryptReader) WriteTo(w io.Writer) (int64, error) {
	return r.out.writeTo(w, r)
}

func (r *EncryptReader) next(dst []byte) ([]byte, error) {
	if r.chunk == maxChunks {
		return nil, errTooLong
	}
	if r.buf == nil {
		r.buf = r.out.pool().takeChunk()
	}
	n, err := r.src.fill(r.buf.bytes[HeaderSize:][:ChunkSize])
	r.buf.use(HeaderSize + n + Overhead)
	if err != nil {
		r.buf.use(len(r.buf.bytes)) // a source that panicked has not said how much it read
		return nil, plainError(err)
	}
	if n < ChunkSize {
		err = io.EOF
	}
	return r.seal(dst, r.buf.bytes[HeaderSize:][:n]), err
}

// seal appends the chunk to dst, or seals it in place if dst is nil. The header goes before the first chunk.
func (r *EncryptReader) seal(dst, plain []byte) []byte {
	chunk := r.chunk
	r.chunk++
	if dst == nil {
		dst = r.buf.bytes[HeaderSize:HeaderSize]
		if chunk == 0 {
			dst = r.buf.bytes[:0]
		}
	}
	if chunk == 0 {
		dst = append(dst, r.header[:]...)
	}
	return r.cipher.seal(dst, chunk, plain)
}

func (r *EncryptReader) load(s *slab) {
	chunks := int(min(slabChunks, maxChunks-r.chunk))
	in := s.input(chunks * ChunkSize)
	n, err := r.src.fill(in)
	switch {
	case err != nil:
		chunks, s.err = n/ChunkSize, plainError(err)
	case chunks == 0:
		s.err = errTooLong
	case n < len(in):
		chunks, s.err = n/ChunkSize+1, io.EOF
	}
	s.put(r.cipher, r.chunk, chunks, in[:n])
	r.chunk += int64(chunks)
}

func (r *EncryptReader) work(s *slab) { s.seal() }

func (r *EncryptReader) free() { r.out.pool().free(&r.buf) }

// plainError wraps an error of the plaintext's source.
func plainError(err error) error { return readError("read plaintext", err) }
