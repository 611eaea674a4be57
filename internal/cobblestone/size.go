package cobblestone

import "fmt"

const (
	maxChunks       = 1 << 38
	storedChunkSize = ChunkSize + Overhead
)

// MaxPlainSize is the largest plaintext of a message in bytes: 2^38 chunks of which the last is not full.
const MaxPlainSize int64 = maxChunks*ChunkSize - 1

// StoredSize returns the size in bytes of the message that a plaintext of the given size becomes. It is -1 for a size
// that no plaintext has: a negative one, or one above [MaxPlainSize].
func StoredSize(plain int64) int64 {
	if plain < 0 || plain > MaxPlainSize {
		return -1
	}
	return HeaderSize + plain + (plain/ChunkSize+1)*Overhead
}

// PlainSize returns the size in bytes of the plaintext in a message of the given size. It fails with an error that
// wraps [ErrOpen] for a size that no message has. A size that passes is possible, not authentic.
func PlainSize(stored int64) (int64, error) {
	chunks, last := (stored-HeaderSize)/storedChunkSize, (stored-HeaderSize)%storedChunkSize
	if stored < HeaderSize || last < Overhead || chunks >= maxChunks {
		return 0, fmt.Errorf("%w: no message has %d bytes", ErrOpen, stored)
	}
	return chunks*ChunkSize + last - Overhead, nil
}

// Span returns where the chunks that hold n bytes of plaintext from off lie in a message with plainSize bytes of
// plaintext: size bytes of the message from start, which is what [Decrypter.NewChunkReader] reads. A range that ends where the
// plaintext ends takes in the last chunk, even if that is empty; other empty ranges take in nothing.
// It fails if the range is not within the plaintext.
func Span(off, n, plainSize int64) (start, size int64, err error) {
	first, end, err := chunkRange(off, n, plainSize)
	if err != nil {
		return 0, 0, err
	}
	return chunkOffset(first), min(chunkOffset(end), StoredSize(plainSize)) - chunkOffset(first), nil
}

// chunkRange returns the numbers of the first chunk of a range and of the chunk after its last.
func chunkRange(off, n, plainSize int64) (first, end int64, err error) {
	if plainSize < 0 || plainSize > MaxPlainSize {
		return 0, 0, fmt.Errorf("cobblestone: plaintext size is %d, want 0 to %d", plainSize, MaxPlainSize)
	}
	if off < 0 || n < 0 || n > plainSize-off {
		return 0, 0, fmt.Errorf("cobblestone: range of %d bytes from %d is not within %d bytes", n, off, plainSize)
	}
	first = off / ChunkSize
	switch {
	case off+n == plainSize:
		end = plainSize/ChunkSize + 1
	case n == 0:
		end = first
	default:
		end = (off+n-1)/ChunkSize + 1
	}
	return first, end, nil
}

// chunkOffset returns where a chunk begins in the message.
func chunkOffset(chunk int64) int64 {
	return HeaderSize + chunk*storedChunkSize
}

// chunkLen returns the stored size of a chunk in a message with plainSize bytes of plaintext.
func chunkLen(chunk, plainSize int64) int {
	return int(min(plainSize-chunk*ChunkSize, ChunkSize)) + Overhead
}
