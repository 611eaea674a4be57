package cobblestone_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/objectkms/kms/internal/cobblestone"
)

func newReaderAt(t testing.TB, message []byte) *cobblestone.ReaderAt {
	t.Helper()
	r, err := newDecrypter(t, message).NewReaderAt(bytes.NewReader(message), int64(len(message)))
	require.NoError(t, err)
	return r
}

func TestReaderAt(t *testing.T) {
	for _, size := range sizes {
		plain := randomBytes(size)
		r := newReaderAt(t, mustSeal(t, plain))
		require.EqualValues(t, size, r.Size())
		if size <= 1000 { // reads byte by byte, and each read opens a whole chunk
			require.NoError(t, iotest.TestReader(io.NewSectionReader(r, 0, r.Size()), plain))
		}

		_, err := r.ReadAt(nil, int64(size))
		require.Equal(t, io.EOF, err)
		n, err := r.ReadAt(make([]byte, 1), int64(size))
		require.Zero(t, n)
		require.Equal(t, io.EOF, err)
		n, err = r.ReadAt(make([]byte, 1), -1)
		require.Zero(t, n)
		require.EqualError(t, err, "cobblestone: offset is -1, want 0 or more")
		buf := make([]byte, size+1)
		n, err = r.ReadAt(buf, 0)
		require.Equal(t, io.EOF, err)
		require.True(t, bytes.Equal(plain, buf[:n]))
	}
}

func TestRandomReads(t *testing.T) {
	plain := randomBytes(5*chunk + 999)
	message := mustSeal(t, plain)
	size := int64(len(plain))
	oracle, d, r := bytes.NewReader(plain), newDecrypter(t, message), newReaderAt(t, message)
	rapid.Check(t, func(t *rapid.T) {
		near := rapid.SampledFrom([]int64{0, chunk, 2 * chunk, 4 * chunk, 5 * chunk, size})
		off := near.Draw(t, "near") + rapid.Int64Range(-20, 20).Draw(t, "shift")
		off = min(max(off, 0), size)
		n := rapid.OneOf(rapid.Int64Range(0, 40), rapid.Int64Range(0, size), near).Draw(t, "n")

		want, got := make([]byte, n), make([]byte, n)
		wantN, _ := oracle.ReadAt(want, off)
		gotN, err := r.ReadAt(got, off)
		require.Equal(t, wantN, gotN)
		require.True(t, bytes.Equal(want, got))
		require.Equal(t, off == size || int64(gotN) < n, err == io.EOF)

		n = min(n, size-off)
		start, stored, err := cobblestone.Span(off, n, size)
		require.NoError(t, err)
		source := bytes.NewReader(message[start:])
		chunks, err := d.NewChunkReader(source, off, n, size)
		require.NoError(t, err)
		if rapid.Bool().Draw(t, "prefetch") {
			require.NoError(t, chunks.Prefetch())
		}
		got, err = io.ReadAll(chunks)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want[:n], got))
		require.EqualValues(t, stored, source.Size()-int64(source.Len()), "bytes taken from the source")
	})
}

func TestChunkReaderWays(t *testing.T) {
	plain := randomBytes(3 * chunk)
	message := mustSeal(t, plain)
	d, size := newDecrypter(t, message), int64(len(plain))
	for _, rng := range [][2]int64{{0, 0}, {0, size}, {1, size - 2}, {5, chunk}, {chunk, chunk}, {size - 1, 1}, {size, 0}} {
		off, n := rng[0], rng[1]
		start, _, err := cobblestone.Span(off, n, size)
		require.NoError(t, err)
		open := func(source io.Reader) *cobblestone.ChunkReader {
			r, err := d.NewChunkReader(source, off, n, size)
			require.NoError(t, err)
			return r
		}
		want := plain[off:][:n]
		for _, source := range readerKinds {
			require.NoError(t, iotest.TestReader(open(source(bytes.NewReader(message[start:]))), want))
		}
		for _, size := range []int{1, 100, chunk, 1 << 20} {
			require.True(t, bytes.Equal(want, readBy(t, open(bytes.NewReader(message[start:])), size)))
		}
		var buf bytes.Buffer
		written, err := open(bytes.NewReader(message[start:])).WriteTo(&buf)
		require.NoError(t, err)
		require.Equal(t, n, written)
		require.True(t, bytes.Equal(want, buf.Bytes()))
	}
}

func TestChunkReaderPassesErrorsOn(t *testing.T) {
	plain := randomBytes(2*chunk + 5)
	message := mustSeal(t, plain)
	size := int64(len(plain))
	for _, n := range []int{0, 100, storedChunk, storedChunk + 1, 2*storedChunk + 20} {
		r, err := newDecrypter(t, message).NewChunkReader(failAfter(message[header:], n, errSource), 0, size, size)
		require.NoError(t, err)
		released, err := io.ReadAll(r)
		require.ErrorIs(t, err, errSource)
		require.NotErrorIs(t, err, cobblestone.ErrOpen)
		requireSticky(t, r, err)
		require.True(t, bytes.Equal(plain[:n/storedChunk*chunk], released))
		require.Equal(t, err, r.Prefetch())
	}
}

// TestChunkReaderWithAFalseSize shows what the authentication of the size is needed for: a range that reaches the false end fails.
func TestChunkReaderWithAFalseSize(t *testing.T) {
	message := mustSeal(t, randomBytes(2*chunk+5))
	d := newDecrypter(t, message)
	for _, size := range []int64{0, 1, chunk - 1, chunk, chunk + 5, 2 * chunk, 2*chunk + 4, 2*chunk + 6, 3 * chunk} {
		r, err := d.NewChunkReader(bytes.NewReader(message[header:]), 0, size, size)
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		requireFailed(t, r, err)
	}
}

func TestChunkReaderWithAnotherPlaceInTheMessage(t *testing.T) {
	const size = 4 * chunk
	message := mustSeal(t, randomBytes(size))
	r, err := newDecrypter(t, message).NewChunkReader(bytes.NewReader(message[header:]), chunk, 10, size)
	require.NoError(t, err)
	require.Equal(t, cobblestone.ErrOpen, r.Prefetch())
	requireFailed(t, r, cobblestone.ErrOpen)
}

// readerAt reads from a message, or fails as it is told.
type readerAt struct {
	*bytes.Reader
	n    int // with err, what ReadAt answers from offset `from` on
	err  error
	from int64
}

func (r *readerAt) ReadAt(p []byte, off int64) (int, error) {
	if off >= r.from {
		return min(r.n, len(p)), r.err
	}
	return r.Reader.ReadAt(p, off)
}

func TestReaderAtPassesErrorsOn(t *testing.T) {
	plain := randomBytes(3*chunk + 5)
	message := mustSeal(t, plain)
	tests := []struct {
		name string
		n    int
		err  error
		want error
	}{
		{"failure", 0, errSource, errSource},
		{"failure with some bytes", 20, errSource, errSource},
		{"too short", 20, io.EOF, cobblestone.ErrOpen},
		{"nothing", 0, io.EOF, cobblestone.ErrOpen},
		{"broken off", 7, io.ErrUnexpectedEOF, cobblestone.ErrOpen},
		{"short without an error", 7, nil, cobblestone.ErrOpen},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source := &readerAt{Reader: bytes.NewReader(message), n: tt.n, err: tt.err}
			d := newDecrypter(t, message)
			_, err := d.NewReaderAt(source, int64(len(message)))
			require.ErrorIs(t, err, tt.want)
			require.Equal(t, tt.want == errSource, err != cobblestone.ErrOpen)

			source.from = int64(len(message))
			r, err := d.NewReaderAt(source, int64(len(message)))
			require.NoError(t, err)
			source.from = header + 2*storedChunk
			buf := make([]byte, len(plain))
			n, err := r.ReadAt(buf, 1)
			require.ErrorIs(t, err, tt.want)
			require.True(t, bytes.Equal(plain[1:2*chunk], buf[:n]))
		})
	}
}

func TestReaderAtOfAnImpossibleSize(t *testing.T) {
	message := mustSeal(t, randomBytes(chunk))
	d := newDecrypter(t, message)
	for _, size := range []int64{-1, 0, header, header + 15, header + storedChunk, header + storedChunk + 15, maxStored + 1} {
		_, err := d.NewReaderAt(bytes.NewReader(message), size)
		require.ErrorIs(t, err, cobblestone.ErrOpen)
	}
	for _, size := range []int64{header + 16, header + storedChunk - 1, int64(len(message) + 1), maxStored} {
		_, err := d.NewReaderAt(bytes.NewReader(message), size)
		require.Equal(t, cobblestone.ErrOpen, err)
	}
}

func TestDecrypterIsSafeForConcurrentUse(t *testing.T) {
	plain := randomBytes(4*chunk + 11)
	message := mustSeal(t, plain)
	d, shared, size := newDecrypter(t, message), newReaderAt(t, message), int64(len(plain))
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for range 50 {
				off := random.Int64N(size)
				n := 1 + random.Int64N(size-off)
				buf := make([]byte, n)
				if _, err := shared.ReadAt(buf, off); err != nil || !bytes.Equal(plain[off:off+n], buf) {
					t.Errorf("ReadAt of %d bytes from %d: wrong bytes or error %v", n, off, err)
				}
				start, _, _ := cobblestone.Span(off, n, size)
				r, err := d.NewChunkReader(bytes.NewReader(message[start:]), off, n, size)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(plain[off:off+n], got) {
					t.Errorf("ChunkReader of %d bytes from %d: wrong bytes or error %v", n, off, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestARangeLeavesNothingElseInTheBuffer reads a range within one chunk into a buffer that the whole chunk fits.
func TestARangeLeavesNothingElseInTheBuffer(t *testing.T) {
	plain := bytes.Repeat([]byte{0xee}, 2*chunk)
	message := mustSeal(t, plain)
	for _, off := range []int64{0, 1, 9000} {
		r := chunkReader(t, bytes.NewReader(message), bytes.NewReader(message[header:]), off, 100, int64(len(plain)))
		buf := make([]byte, 2*chunk)
		n, err := r.Read(buf)
		require.NoError(t, err)
		require.Equal(t, 100, n)
		require.Equal(t, 100, bytes.Count(buf, []byte{0xee}))
	}
}
