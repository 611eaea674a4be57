package encryption

import (
	"bytes"
	"io"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
)

// plainReader reads a stretch of plaintext, message by message.
type plainReader struct {
	stretch  stretch
	stored   io.Reader
	trailing io.Reader // in which nothing may follow
	closer   io.Closer // what was opened for this reader
	err      error

	messages *messages // nil when they were released
	digest   *partsDigest
	index    int // of the message that chunks reads
	chunks   plaintext
	tail     *cobblestone.Decrypter // of this message, if its last chunk is to be held back
}

// A plaintext is what one message has of the stretch. With nil from Prefetch its first byte is authentic.
type plaintext interface {
	io.Reader
	io.WriterTo
	Prefetch() error
}

// A heldChunk is plaintext that is authentic already.
type heldChunk struct{ bytes.Reader }

// Prefetch implements plaintext.
func (*heldChunk) Prefetch() error { return nil }

// newPlainReader returns the reader of a stretch whose first chunk is authentic. stored stands where the stretch begins: at a header, or, with the decrypter of
// the first message, at a chunk. The reader releases the messages when it needs them no more, also with an error.
func newPlainReader(s *messages, st stretch, first *cobblestone.Decrypter, stored io.Reader) (*plainReader, error) {
	r := &plainReader{stretch: st, stored: stored, messages: s, index: st.first.index}
	if st.length == 0 {
		r.end(io.EOF)
		return r, nil
	}
	if st.whole && s.layout.kind() == layoutParts {
		digest := newPartsDigest()
		r.digest = &digest
	}
	if err := r.begin(first); err != nil {
		r.end(err)
		return nil, r.err
	}
	return r, nil
}

// begin opens messages up to the first that has something of the range, or the last, and authenticates a chunk of it.
func (r *plainReader) begin(first *cobblestone.Decrypter) error {
	for {
		if err := r.open(first); err != nil {
			return err
		}
		if err := r.chunks.Prefetch(); err != nil {
			return err
		}
		m := r.message()
		if _, n := m.within(r.stretch.off, r.stretch.end); n > 0 || r.index == r.stretch.last.index {
			return nil
		}
		r.index++
		first = nil
	}
}

func (r *plainReader) message() message { return r.messages.layout.message(r.index) }

// open opens the message whose turn it is. Its header comes next, unless its decrypter is given.
func (r *plainReader) open(decrypter *cobblestone.Decrypter) error {
	m := r.message()
	if decrypter == nil {
		header, err := readHeader(r.stored)
		if err != nil {
			return err
		}
		if decrypter, err = r.messages.openMessage(m, header); err != nil {
			return err
		}
		if err := r.check(m, header); err != nil {
			return err
		}
	}
	if r.holdsBack(m) {
		return r.openFront(m, decrypter)
	}
	start, n := m.within(r.stretch.off, r.stretch.end)
	return r.openChunks(m, decrypter, start, n)
}

func (r *plainReader) openChunks(m message, decrypter *cobblestone.Decrypter, start, n int64) error {
	chunks, err := decrypter.NewChunkReader(r.stored, start, n, m.size)
	r.chunks = chunks
	return err
}

// holdsBack reports whether a message ends the plaintext, and others follow that are empty: what the digest tells when their headers were seen
// must be known before the last chunk is released.
func (r *plainReader) holdsBack(m message) bool {
	return r.digest != nil && m.size > 0 && m.plain+m.size == r.stretch.end && m.index < r.stretch.last.index
}

// lastChunk returns where the last chunk with plaintext begins in the plaintext of a message.
func (m message) lastChunk() int64 {
	return (m.size - 1) / cobblestone.ChunkSize * cobblestone.ChunkSize
}

// openFront opens what may be released before the last chunk.
func (r *plainReader) openFront(m message, decrypter *cobblestone.Decrypter) error {
	r.tail = decrypter
	if m.lastChunk() == 0 {
		return r.openTail(m)
	}
	return r.openChunks(m, decrypter, 0, m.lastChunk())
}

// openTail takes the last chunk, opens all messages behind it, and leaves the chunk to be read.
func (r *plainReader) openTail(m message) error {
	decrypter := r.tail
	r.tail = nil
	if err := r.openChunks(m, decrypter, m.lastChunk(), m.size-m.lastChunk()); err != nil {
		return err
	}
	held, err := io.ReadAll(r.chunks)
	for err == nil && r.index < r.stretch.last.index {
		r.index++
		if err = r.open(nil); err == nil {
			_, err = io.Copy(io.Discard, r.chunks)
		}
	}
	if err != nil {
		return err
	}
	r.chunks = &heldChunk{*bytes.NewReader(held)}
	return nil
}

// check adds a header to the digest, and compares that when the header was the last one. An earlier upload of a part is authentic too; only here it shows.
func (r *plainReader) check(m message, header []byte) error {
	if r.digest == nil {
		return nil
	}
	r.digest.add(m.number, m.size, header)
	if r.index == r.stretch.last.index && r.digest.sum() != r.messages.layout.digest {
		return kms.ErrDecrypt
	}
	return nil
}

// advance takes the error that the chunks of a message ended with, and opens what comes next, if anything does.
func (r *plainReader) advance(err error) {
	switch {
	case err != io.EOF:
	case r.tail != nil:
		err = r.openTail(r.message())
	case r.index < r.stretch.last.index:
		r.index++
		err = r.open(nil)
	}
	if err != nil {
		r.end(err)
	}
}

// Read implements io.Reader.
func (r *plainReader) Read(p []byte) (int, error) {
	for r.err == nil {
		n, err := r.chunks.Read(p)
		if err != nil {
			r.advance(err)
		}
		if n > 0 || len(p) == 0 {
			return n, r.err
		}
	}
	return 0, r.err
}

// WriteTo implements io.WriterTo.
func (r *plainReader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	if w == nil {
		return 0, errNilWriter()
	}
	for r.err == nil {
		n, err := r.chunks.WriteTo(w)
		total += n
		r.advance(endOfWrite(err))
	}
	if r.err == io.EOF {
		return total, nil
	}
	return total, r.err
}

// end takes the error that the reader ends with.
func (r *plainReader) end(err error) {
	if err == io.EOF && r.trailing != nil {
		err = expectEOF(r.trailing)
	}
	r.err = openError(err)
	r.release()
}

func (r *plainReader) release() {
	if r.messages != nil {
		r.messages.release()
	}
	r.messages, r.chunks, r.tail = nil, nil, nil
}

// Close implements io.Closer. Later reads are ErrClosed.
func (r *plainReader) Close() error {
	if r.err == nil || r.err == io.EOF {
		r.err = kms.ErrClosed
	}
	r.release()
	closer := r.closer
	r.closer = nil
	if closer == nil {
		return nil
	}
	return closer.Close()
}
