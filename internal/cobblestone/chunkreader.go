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
	skip      int          // bytes of the first chunk that lie before the range
	rest      int64        // bytes of the range that are still to come
	buf       *chunkBuffer // nil until it is needed, and at the end
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
	return &ChunkReader{
		cipher:    d.cipher,
		src:       source{r: chunks},
		chunk:     first,
		end:       end,
		plainSize: plainSize,
		skip:      int(off % ChunkSize),
		rest:      n,
	}, nil
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

// WriteTo implements [io.WriterTo]: it writes the rest of the range to w. Long ranges are opened on several cores if they are idle; then up to 2 MiB
// may be read before they are written. Reads and writes are made by the caller's goroutine. Errors are those of Read and of w; an
// error of w ends the reader, too. What was written before an error is authentic but incomplete.
func (r *ChunkReader) WriteTo(w io.Writer) (int64, error) {
	return r.out.writeTo(w, r)
}

func (r *ChunkReader) next(dst []byte) ([]byte, error) {
	if r.chunk == r.end {
		return nil, io.EOF
	}
	if r.buf == nil {
		r.buf = r.out.pool().takeChunk()
	}
	sealed := r.buf.bytes[:chunkLen(r.chunk, r.plainSize)]
	n, err := r.src.fill(sealed)
	r.buf.use(n)
	if err != nil {
		return nil, messageError(err)
	}
	if n < len(sealed) {
		return nil, ErrOpen
	}
	if dst == nil {
		dst = r.buf.bytes[:0]
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

// trim cuts off what lies before and behind the range. The rest moves to the front of its buffer, which may be the caller's
// and keeps nothing else.
func (r *ChunkReader) trim(plain []byte) []byte {
	n := copy(plain, plain[r.skip:])
	n = int(min(int64(n), r.rest))
	clear(plain[n:])
	r.skip = 0
	r.rest -= int64(n)
	return plain[:n]
}

// load loads no chunk that bytes before the range lie in: the first one of the range has been read.
func (r *ChunkReader) load(s *slab) {
	end := min(r.chunk+slabChunks, r.end)
	chunks := int(end - r.chunk)
	size := int(min(chunkOffset(end), StoredSize(r.plainSize)) - chunkOffset(r.chunk))
	in := s.input(size)
	n, err := r.src.fill(in)
	switch {
	case err != nil:
		chunks, s.err = n/storedChunkSize, messageError(err)
	case n < size:
		chunks, s.err = n/storedChunkSize, ErrOpen
	case end == r.end:
		s.err = io.EOF
	}
	s.put(r.cipher, r.chunk, chunks, in[:n])
	s.limit = int(min(r.rest, slabChunks*ChunkSize))
	r.chunk += int64(chunks)
	r.rest -= min(r.rest, int64(chunks)*ChunkSize)
}

func (r *ChunkReader) work(s *slab) { s.open() }

func (r *ChunkReader) free() { r.out.pool().free(&r.buf) }
