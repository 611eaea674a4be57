package cobblestone

import "io"

// ChunkReader reads a range of the plaintext of a message, forward, from the chunks that hold it. It yields no byte
// that is not authentic. It must not be used by two goroutines at once.
type ChunkReader struct {
	cipher    chunkCipher
	src       source
	out       output
	chunk     int64
	end       int64 // the chunk after the last one to be read
	plainSize int64
	skip      int   // bytes of the first chunk that lie before the range
	rest      int64 // bytes of the range that are still to come
	buf       []byte
}

// NewChunkReader returns a reader of n bytes of plaintext from off. The reader chunks must begin with the stored bytes that
// [Span] names for the same arguments; these are read, and none after them. plainSize is the size of the message's whole plaintext,
// and must have been authenticated elsewhere: with a false one, either the last chunk fails or a range that
// ends before it passes. It fails if the range is not within the plaintext; it reads nothing yet.
func (d *Decrypter) NewChunkReader(chunks io.Reader, off, n, plainSize int64) (*ChunkReader, error) {
	first, end, err := chunkRange(off, n, plainSize)
	if err != nil {
		return nil, err
	}
	r := &ChunkReader{
		cipher:    d.cipher,
		src:       source{r: chunks},
		chunk:     first,
		end:       end,
		plainSize: plainSize,
		skip:      int(off % ChunkSize),
		rest:      n,
	}
	if first < end {
		r.buf = make([]byte, chunkLen(first, plainSize)) // no later chunk is longer
	}
	return r, nil
}

// Prefetch reads and opens the first chunk, if none has been read yet. Its error is that of the first Read:
// with nil, the first byte of the range is authentic and waiting.
func (r *ChunkReader) Prefetch() error {
	r.out.fill(r)
	if len(r.out.ready) == 0 && r.out.err != io.EOF {
		return r.out.err
	}
	return nil
}

// Read implements [io.Reader]; it returns bytes of at most one chunk. It fails with [ErrOpen] as soon as a chunk is not
// authentic or missing. An error of the source is returned wrapped. Every error stays: later calls return it again.
func (r *ChunkReader) Read(p []byte) (int, error) {
	return r.out.read(p, r, ChunkSize)
}

// WriteTo implements [io.WriterTo]: it writes the rest of the range to w, chunk by chunk. Errors are those of
// Read and of w; after an error of w the rest can still be read. What was written before an error is authentic but incomplete.
func (r *ChunkReader) WriteTo(w io.Writer) (int64, error) {
	return r.out.writeTo(w, r)
}

func (r *ChunkReader) next(dst []byte) ([]byte, error) {
	if r.chunk == r.end {
		return nil, io.EOF
	}
	sealed := r.buf[:chunkLen(r.chunk, r.plainSize)]
	n, err := r.src.fill(sealed)
	if err != nil {
		return nil, messageError(err)
	}
	if n < len(sealed) {
		return nil, ErrOpen
	}
	if dst == nil {
		dst = r.buf[:0]
	}
	plain, err := r.cipher.open(dst, r.chunk, sealed)
	if err != nil {
		return nil, err
	}
	r.chunk++
	plain = r.trim(plain)
	if r.chunk == r.end {
		return plain, io.EOF
	}
	return plain, nil
}

// trim cuts off what lies before and behind the range. The rest moves to the front of its buffer.
func (r *ChunkReader) trim(plain []byte) []byte {
	plain = plain[:copy(plain, plain[r.skip:])]
	r.skip = 0
	plain = plain[:min(int64(len(plain)), r.rest)]
	r.rest -= int64(len(plain))
	return plain
}
