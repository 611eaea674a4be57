package cobblestone

import "io"

// DecryptReader decrypts the message that it reads, from the first byte to the last. It yields no byte that is not authentic.
// It must not be used by two goroutines at once.
type DecryptReader struct {
	cipher chunkCipher
	src    source
	out    output
	chunk  int64
	buf    *chunkBuffer // nil until it is needed, and at the end
}

// NewDecryptReader returns a reader of the plaintext of message, which was encrypted under key and context. It reads
// the header, [HeaderSize] bytes and no more, and keeps neither key nor context. It fails with [ErrOpen] if the header is cut
// short or was made with another key or context, with the wrapped error of message if that fails, if key is not of [KeySize] bytes,
// or if AES-256-GCM is not available (GODEBUG=fips140=only).
func NewDecryptReader(key, context []byte, message io.Reader) (*DecryptReader, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	r := &DecryptReader{src: source{r: message}}
	header := r.out.pool().takeChunk()
	defer r.out.pool().giveChunk(header)
	n, err := r.src.fill(header.bytes[:HeaderSize])
	if err != nil {
		return nil, messageError(err)
	}
	if r.cipher, err = newOpener(key, context, header.bytes[:n]); err != nil {
		return nil, err
	}
	return r, nil
}

// Read implements [io.Reader]; it returns at most one chunk. It fails with [ErrOpen] as soon as a chunk is not authentic,
// and when the message ends too early or too late; [io.EOF] says that the whole message was authentic. An error of the source is returned
// wrapped. Every error stays: later calls return it again.
func (r *DecryptReader) Read(p []byte) (int, error) {
	return r.out.read(p, r, ChunkSize)
}

// WriteTo implements [io.WriterTo]: it writes the rest of the plaintext to w. Long messages are opened on several cores if they are idle; then up to 2 MiB
// may be read before they are written. Reads and writes are made by the caller's goroutine. Errors are those of Read and of w; an
// error of w ends the reader, too. What was written before an error is authentic but incomplete.
func (r *DecryptReader) WriteTo(w io.Writer) (int64, error) {
	return r.out.writeTo(w, r)
}

func (r *DecryptReader) next(dst []byte) ([]byte, error) {
	if r.chunk == maxChunks {
		return nil, ErrOpen
	}
	if r.buf == nil {
		r.buf = r.out.pool().takeChunk()
	}
	n, err := r.src.fill(r.buf.bytes[:storedChunkSize])
	r.buf.use(n)
	if err != nil {
		return nil, messageError(err)
	}
	if dst == nil {
		dst = r.buf.bytes[:0]
	}
	plain, err := r.cipher.open(dst, r.chunk, r.buf.bytes[:n])
	if err != nil {
		return nil, err
	}
	r.chunk++
	// A chunk is short only where the source ended: it is the last one, and nothing follows it.
	if n < storedChunkSize {
		return plain, io.EOF
	}
	return plain, nil
}

func (r *DecryptReader) load(s *slab) {
	chunks := int(min(slabChunks, maxChunks-r.chunk))
	in := s.input(chunks * storedChunkSize)
	n, err := r.src.fill(in)
	switch {
	case err != nil:
		chunks, s.err = n/storedChunkSize, messageError(err)
	case chunks == 0:
		s.err = ErrOpen
	case n < len(in):
		chunks, s.err = n/storedChunkSize+1, io.EOF
	}
	s.put(r.cipher, r.chunk, chunks, in[:n])
	r.chunk += int64(chunks)
}

func (r *DecryptReader) work(s *slab) { s.open() }

func (r *DecryptReader) free() { r.out.pool().free(&r.buf) }

// messageError wraps an error of the message's source. A source that broke off has cut the message short.
func messageError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrOpen
	}
	return readError("read message", err)
}
