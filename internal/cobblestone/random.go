package cobblestone

import (
	"fmt"
	"io"
)

// Decrypter opens the chunks of one message in any order and any number of times. It is safe for concurrent use.
type Decrypter struct {
	cipher chunkCipher
}

// NewDecrypter returns the Decrypter of the message that begins with header and was encrypted under key and context. It keeps
// none of its arguments. It fails with [ErrOpen] if header is not of [HeaderSize] bytes or was made with another key or context, if
// key is not of [KeySize] bytes, or if AES-256-GCM is not available (GODEBUG=fips140=only).
func NewDecrypter(key, context, header []byte) (*Decrypter, error) {
	c, err := newOpener(key, context, header)
	if err != nil {
		return nil, err
	}
	return &Decrypter{cipher: c}, nil
}

// ReaderAt reads the plaintext of a message from any offset. It is safe for concurrent use if the message's own
// ReaderAt is.
type ReaderAt struct {
	cipher  chunkCipher // to be copied before use
	message io.ReaderAt
	size    int64
}

// NewReaderAt returns a ReaderAt over message, which has storedSize bytes, the header included. It reads the last chunk,
// and fails with [ErrOpen] if that is not authentic, or if no message has this size: so the size of the plaintext is certain.
// An error of message is returned wrapped.
func (d *Decrypter) NewReaderAt(message io.ReaderAt, storedSize int64) (*ReaderAt, error) {
	size, err := PlainSize(storedSize)
	if err != nil {
		return nil, err
	}
	r := &ReaderAt{cipher: d.cipher, message: message, size: size}
	if _, err := r.newScratch(size/ChunkSize).open(nil, size/ChunkSize); err != nil {
		return nil, err
	}
	return r, nil
}

// Size returns the size of the plaintext in bytes.
func (r *ReaderAt) Size() int64 { return r.size }

// ReadAt implements [io.ReaderAt]. Each call reads and opens the chunks that hold the bytes asked for, so many
// small reads of one chunk open it many times. It fails with [ErrOpen] at the first chunk that is not authentic or not there,
// and with the wrapped error of the message; the n bytes before are authentic.
func (r *ReaderAt) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("cobblestone: offset is %d, want 0 or more", off)
	}
	if off >= r.size {
		return 0, io.EOF
	}
	want := int(min(int64(len(p)), r.size-off))
	s := r.newScratch(off / ChunkSize)
	for n < want {
		m, err := s.read(p[n:want], off+int64(n))
		if err != nil {
			return n, err
		}
		n += m
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// scratch is what one call needs for itself.
type scratch struct {
	*ReaderAt
	cipher chunkCipher
	buf    []byte
}

// newScratch returns a scratch for chunks from first on, none of which is longer than that.
func (r *ReaderAt) newScratch(first int64) *scratch {
	return &scratch{ReaderAt: r, cipher: r.cipher, buf: make([]byte, chunkLen(first, r.size))}
}

// read reads from the one chunk that holds the byte at off.
func (s *scratch) read(p []byte, off int64) (int, error) {
	chunk, skip := off/ChunkSize, int(off%ChunkSize)
	if skip == 0 && len(p) >= chunkLen(chunk, s.size)-Overhead {
		plain, err := s.open(p[:0], chunk)
		return len(plain), err
	}
	plain, err := s.open(nil, chunk)
	if err != nil {
		return 0, err
	}
	return copy(p, plain[skip:]), nil
}

// open appends the chunk's plaintext to dst, or opens it in place if dst is nil.
func (s *scratch) open(dst []byte, chunk int64) ([]byte, error) {
	sealed := s.buf[:chunkLen(chunk, s.size)]
	n, err := s.message.ReadAt(sealed, chunkOffset(chunk))
	if n != len(sealed) {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return nil, messageError(err)
	}
	if dst == nil {
		dst = s.buf[:0]
	}
	return s.cipher.open(dst, chunk, sealed)
}
