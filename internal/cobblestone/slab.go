package cobblestone

// slabChunks is how many chunks a worker takes at a time.
const slabChunks = 8

// slabGap keeps the input so far behind the output that no chunk is written over one that is still to be read: sealed
// chunks are longer than their plaintext, so the output comes closer with each.
const slabGap = storedChunkSize + (slabChunks-1)*Overhead

// A slab is a row of chunks that are sealed or opened together. It belongs to one goroutine at a time.
type slab struct {
	bytes  [slabGap + slabChunks*storedChunkSize]byte
	cipher chunkCipher
	first  int64  // number of the first chunk
	chunks int    // all are of full size but the last of a message, which may be empty
	in     []byte // a part of bytes
	limit  int    // of out
	out    []byte // from the start of bytes
	err    error  // follows out
	done   chan struct{}
}

// input returns where to read up to n bytes of input.
func (s *slab) input(n int) []byte { return s.bytes[slabGap:][:n] }

// put sets what there is to be done.
func (s *slab) put(c chunkCipher, first int64, chunks int, in []byte) {
	s.cipher, s.first, s.chunks, s.in, s.limit = c, first, chunks, in, slabChunks*ChunkSize
}

// seal seals the chunks.
func (s *slab) seal() {
	out := s.bytes[:0]
	for i := range s.chunks {
		out = s.cipher.seal(out, s.first+int64(i), s.chunk(i, ChunkSize))
	}
	s.out = out
}

// open opens the chunks up to the first that is not authentic.
func (s *slab) open() {
	out := s.bytes[:0]
	for i := range s.chunks {
		plain, err := s.cipher.open(out, s.first+int64(i), s.chunk(i, storedChunkSize))
		if err != nil {
			s.err = err
			break
		}
		out = plain
	}
	s.out = out[:min(len(out), s.limit)]
}

func (s *slab) chunk(i, size int) []byte {
	return s.in[i*size : min((i+1)*size, len(s.in))]
}
