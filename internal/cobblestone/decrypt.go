package cobblestone

import "io"

// DecryptReader decrypts the message that it reads, from the first byte to the last. It yields no byte that is not authentic.
// It must not be used by two goroutines at once.
type DecryptReader struct {
	cipher chunkCipher
	src    source
	out    output
	chunk  int64
	buf    []byte
}

// NewDecryptReader returns a reader of the plaintext of message, which was encrypted under key and context. It reads
// the header, [HeaderSize] bytes and no more, and keeps neither key nor context. It fails with [ErrOpen] if the header is cut
// short or was made with another key or context, with the wrapped error of message if that fails, if key is not of [KeySize] bytes,
// or if AES-256-GCM is not available (GODEBUG=fips140=only).
func NewDecryptReader(key, context []byte, message io.Reader) (*DecryptReader, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	r := &DecryptReader{src: source{r: message}, buf: make([]byte, smallBuffer)}
	n, err := r.src.fill(r.buf[:HeaderSize])
	if err != nil {
		return nil, messageError(err)
	}
	if r.cipher, err = newOpener(key, context, r.buf[:n]); err != nil {
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

// WriteTo implements [io.WriterTo]: it writes the rest of the plaintext to w, chunk by chunk. Errors are those of
// Read and of w; after an error of w the rest can still be read. What was written before an error is authentic but incomplete.
func (r *DecryptReader) WriteTo(w io.Writer) (int64, error) {
	return r.out.writeTo(w, r)
}

func (r *DecryptReader) next(dst []byte) ([]byte, error) {
	if r.chunk == maxChunks {
		return nil, ErrOpen
	}
	var n int
	var err error
	if r.buf, n, err = r.src.load(r.buf, 0, storedChunkSize); err != nil {
		return nil, messageError(err)
	}
	if dst == nil {
		dst = r.buf[:0]
	}
	plain, err := r.cipher.open(dst, r.chunk, r.buf[:n])
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

// messageError wraps an error of the message's source. A source that broke off has cut the message short.
func messageError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrOpen
	}
	return readError("read message", err)
}
