package cobblestone_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/objectkms/kms/internal/cobblestone"
)

const (
	stretch = cobblestone.StretchChunks * chunk // what comes before a crew, of plaintext
	slab    = cobblestone.SlabChunks * chunk
)

// A stream is any of the readers.
type stream interface {
	io.Reader
	io.WriterTo
	On(*cobblestone.Machine)
}

// collector keeps what is written to it, and the size of the largest piece.
type collector struct {
	bytes.Buffer
	largest int
}

func (c *collector) Write(p []byte) (int, error) {
	c.largest = max(c.largest, len(p))
	return c.Buffer.Write(p)
}

// madeByCrew reports whether slabs were written.
func (c *collector) madeByCrew() bool { return c.largest > header+storedChunk }

// writeOn writes r on a machine with idle cores.
func writeOn(t require.TestingT, cores int, r stream) (*collector, error) {
	m := newMachine(cores)
	r.On(m)
	var w collector
	n, err := r.WriteTo(&w)
	require.EqualValues(t, w.Len(), n)
	require.Zero(t, m.Busy(), "cores that are still taken")
	return &w, err
}

// requireSameBytes spares the output of megabytes.
func requireSameBytes(t require.TestingT, want, got []byte) {
	require.Equal(t, len(want), len(got))
	require.True(t, bytes.Equal(want, got))
}

func chunkReader(t require.TestingT, message, stored io.Reader, off, n, size int64) stream {
	first, err := io.ReadAll(io.LimitReader(message, header))
	require.NoError(t, err)
	d, err := cobblestone.NewDecrypter(testKey, testContext, first)
	require.NoError(t, err)
	r, err := d.NewChunkReader(stored, off, n, size)
	require.NoError(t, err)
	return r
}

func TestACrewMakesTheSameBytes(t *testing.T) {
	salt := [cobblestone.SaltSize]byte{3}
	for _, size := range []int{stretch - 1, stretch, stretch + 1, stretch + chunk, stretch + slab - 1, stretch + slab, stretch + slab + 1, stretch + 4*slab, 5*stretch + 12345} {
		for _, cores := range []int{1, 2, 3, 8} {
			t.Run(fmt.Sprint(size, cores), func(t *testing.T) {
				plain := randomBytes(size)
				want, err := cobblestone.SealWithSalt(nil, testKey, testContext, plain, salt)
				require.NoError(t, err)

				enc, err := cobblestone.NewEncryptReaderWithSalt(testKey, testContext, bytes.NewReader(plain), salt)
				require.NoError(t, err)
				message, err := writeOn(t, cores, enc)
				require.NoError(t, err)
				requireSameBytes(t, want, message.Bytes())

				opened, err := writeOn(t, cores, newDecryptReader(t, bytes.NewReader(want)))
				require.NoError(t, err)
				requireSameBytes(t, plain, opened.Bytes())

				ranged, err := writeOn(t, cores, chunkReader(t, bytes.NewReader(want), bytes.NewReader(want[header:]), 0, int64(size), int64(size)))
				require.NoError(t, err)
				requireSameBytes(t, plain, ranged.Bytes())

				for _, w := range []*collector{message, opened, ranged} {
					require.Equal(t, cores > 1 && size > stretch+2*chunk, w.madeByCrew(), "written in pieces of up to %d bytes", w.largest)
				}
			})
		}
	}
}

func TestACrewOnAnySource(t *testing.T) {
	plain := randomBytes(3*stretch + 777)
	message := mustSeal(t, plain)
	rapid.Check(t, func(t *rapid.T) {
		cores := rapid.IntRange(1, 6).Draw(t, "cores")
		kind := rapid.SampledFrom([]func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.DataErrReader,
			func(r io.Reader) io.Reader { return &idler{Reader: r, times: 2} },
		}).Draw(t, "source")
		size := int64(len(plain))
		off := rapid.OneOf(rapid.Int64Range(0, size), rapid.Just(int64(0))).Draw(t, "off")
		n := rapid.OneOf(rapid.Int64Range(0, size-off), rapid.Just(size-off)).Draw(t, "n")

		start, length, err := cobblestone.Span(off, n, size)
		require.NoError(t, err)
		stored := bytes.NewReader(message[start:])
		r := chunkReader(t, bytes.NewReader(message), kind(stored), off, n, size)
		read := rapid.IntRange(0, 2*chunk).Draw(t, "read before")
		head, err := io.ReadAll(io.LimitReader(r, int64(read)))
		require.NoError(t, err)
		rest, err := writeOn(t, cores, r)
		require.NoError(t, err)
		requireSameBytes(t, plain[off:][:n], append(head, rest.Bytes()...))
		if _, exact := kind(stored).(*bytes.Reader); exact {
			require.EqualValues(t, length, stored.Size()-int64(stored.Len()), "bytes taken from the source")
		}

		enc, err := cobblestone.NewEncryptReader(testKey, testContext, kind(bytes.NewReader(plain[off:])))
		require.NoError(t, err)
		sealed, err := writeOn(t, cores, enc)
		require.NoError(t, err)
		opened, err := cobblestone.Open(nil, testKey, testContext, sealed.Bytes())
		require.NoError(t, err)
		requireSameBytes(t, plain[off:], opened)
	})
}

// readers returns every reader of a message that should hold a plaintext of this size.
func readersOf(t require.TestingT, message []byte, size int) []stream {
	dec, err := cobblestone.NewDecryptReader(testKey, testContext, bytes.NewReader(message))
	require.NoError(t, err)
	return []stream{dec, chunkReader(t, bytes.NewReader(message), bytes.NewReader(message[header:]), 0, int64(size), int64(size))}
}

// requireReleased checks that all readers of a broken message release the first chunks of plain and no byte more.
func requireReleased(t require.TestingT, plain, message []byte, chunks, cores int) {
	for _, r := range readersOf(t, message, len(plain)) {
		released, err := writeOn(t, cores, r)
		require.Equal(t, cobblestone.ErrOpen, err)
		requireSameBytes(t, plain[:chunks*chunk], released.Bytes())
		n, err := r.Read(make([]byte, 1))
		require.Zero(t, n)
		require.Equal(t, cobblestone.ErrOpen, err)
	}
}

func TestACrewReleasesOnlyWhatIsAuthentic(t *testing.T) {
	plain := randomBytes(2*stretch + 3*slab + 99)
	message := mustSeal(t, plain)
	last := len(plain) / chunk
	rapid.Check(t, func(t *rapid.T) {
		cores := rapid.IntRange(2, 6).Draw(t, "cores")
		k := rapid.OneOf(rapid.IntRange(cobblestone.StretchChunks, last), rapid.IntRange(0, last), rapid.Just(last)).Draw(t, "chunk")
		changed := bytes.Clone(message)
		at := header + k*storedChunk
		switch rapid.SampledFrom([]string{"flip", "cut", "swap", "zero", "two"}).Draw(t, "change") {
		case "flip":
			changed[at+rapid.IntRange(0, min(storedChunk, len(message)-at)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case "cut":
			changed = changed[:at+rapid.IntRange(0, min(storedChunk, len(message)-at)-1).Draw(t, "left")]
		case "swap":
			k = min(k, last-2)
			at = header + k*storedChunk
			copy(changed[at:], message[at+storedChunk:][:storedChunk])
			copy(changed[at+storedChunk:], message[at:][:storedChunk])
		case "zero":
			clear(changed[at:])
		case "two":
			changed[at] ^= 1
			changed[len(changed)-1] ^= 1
		}
		requireReleased(t, plain, changed, k, cores)
	})
}

// TestACrewSeesEveryCut cuts a message before each chunk, and in it: at an edge, what is left looks like a message without its last chunk.
func TestACrewSeesEveryCut(t *testing.T) {
	plain := randomBytes(stretch + 4*slab)
	message := mustSeal(t, plain)
	for k := cobblestone.StretchChunks - 1; k <= len(plain)/chunk; k++ {
		for _, left := range []int{0, 1, 16} {
			cut := message[:header+k*storedChunk+left]
			if len(cut) < len(message) {
				requireReleased(t, plain, cut, k, 3)
			}
		}
	}
}

func TestACrewSeesAnExtension(t *testing.T) {
	plain := randomBytes(2*stretch - 1)
	message := mustSeal(t, plain)
	for _, more := range []int{1, 15, 16, storedChunk, slab} {
		r := newDecryptReader(t, io.MultiReader(bytes.NewReader(message), bytes.NewReader(make([]byte, more))))
		released, err := writeOn(t, 4, r)
		require.Equal(t, cobblestone.ErrOpen, err)
		requireSameBytes(t, plain[:2*stretch-chunk], released.Bytes())
		requireFailed(t, r, err)
	}
}

func TestACrewPassesErrorsOfTheSourceOn(t *testing.T) {
	plain := randomBytes(2*stretch + 5*slab)
	message := mustSeal(t, plain)
	for _, chunks := range []int{cobblestone.StretchChunks, cobblestone.StretchChunks + 1, cobblestone.StretchChunks + cobblestone.SlabChunks, 2 * cobblestone.StretchChunks, len(plain) / chunk} {
		for _, more := range []int{0, 1, 15} {
			stored := chunks*storedChunk + more
			for _, r := range []stream{
				newDecryptReader(t, failAfter(message, header+stored, errSource)),
				chunkReader(t, bytes.NewReader(message), failAfter(message[header:], stored, errSource), 0, int64(len(plain)), int64(len(plain))),
			} {
				released, err := writeOn(t, 3, r)
				require.ErrorIs(t, err, errSource)
				requireSameBytes(t, plain[:chunks*chunk], released.Bytes())
				requireSticky(t, r, err)
			}

			r := newEncryptReader(t, failAfter(append(plain, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), chunks*chunk+more, errSource))
			sealed, err := writeOn(t, 3, r)
			require.ErrorIs(t, err, errSource)
			require.Len(t, sealed.Bytes(), header+chunks*storedChunk)
			requireSticky(t, r, err)
		}
	}
}

func TestErrorsOfTheWriterEndACrew(t *testing.T) {
	plain := randomBytes(4 * stretch)
	message := mustSeal(t, plain)
	for _, left := range []int{stretch, stretch + 1, stretch + slab, 2*stretch + 5} {
		for cause, want := range map[error]error{errSource: errSource, io.EOF: io.EOF, nil: io.ErrShortWrite} {
			for _, r := range append(readersOf(t, message, len(plain)), newEncryptReader(t, bytes.NewReader(plain))) {
				m := newMachine(3)
				r.On(m)
				w := &limitedWriter{left: left, err: cause}
				n, err := r.WriteTo(w)
				require.Equal(t, want, err)
				require.EqualValues(t, left, n)
				if _, encrypts := r.(*cobblestone.EncryptReader); !encrypts {
					requireSameBytes(t, plain[:left], w.Bytes())
				}
				requireSticky(t, r, cobblestone.ErrNotWritten)
				require.Zero(t, m.Busy())

				next := newDecryptReader(t, bytes.NewReader(message))
				next.On(m)
				var opened collector
				_, err = next.WriteTo(&opened)
				require.NoError(t, err)
				requireSameBytes(t, plain, opened.Bytes())
			}
		}
	}
}

// panicker panics after some bytes.
type panicker struct{ left int }

func (p *panicker) use(n int) (int, error) {
	if p.left -= n; p.left < 0 {
		panic(errSource)
	}
	return n, nil
}

func (p *panicker) Write(b []byte) (int, error) { return p.use(len(b)) }
func (p *panicker) Read(b []byte) (int, error)  { return p.use(len(b)) }

func TestAPanicEndsACrew(t *testing.T) {
	message := mustSeal(t, randomBytes(4*stretch))
	tests := []struct {
		name   string
		stream stream
		writer io.Writer
	}{
		{"of the writer", newDecryptReader(t, bytes.NewReader(message)), &panicker{left: 2 * stretch}},
		{"of the writer of a message", newEncryptReader(t, bytes.NewReader(message)), &panicker{left: 2 * stretch}},
		{"of the source", newEncryptReader(t, &panicker{left: 3 * stretch}), io.Discard},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(4)
			tt.stream.On(m)
			require.PanicsWithError(t, errSource.Error(), func() { tt.stream.WriteTo(tt.writer) })
			require.Zero(t, m.Busy())
			require.NoError(t, goleak.Find())
			requireSticky(t, tt.stream, cobblestone.ErrNotWritten)
		})
	}
}

func TestACrewRefusesAnImpossibleCount(t *testing.T) {
	for _, n := range []int{-1, slab + storedChunk} {
		r := newDecryptReader(t, bytes.NewReader(mustSeal(t, randomBytes(3*stretch))))
		r.On(newMachine(2))
		calls := 0
		_, err := r.WriteTo(writerFunc(func(p []byte) (int, error) {
			if calls++; calls <= cobblestone.StretchChunks {
				return len(p), nil
			}
			return n, nil
		}))
		require.ErrorContains(t, err, "impossible count")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestACrewComesToTheChunkLimit(t *testing.T) {
	const chunks = cobblestone.StretchChunks + cobblestone.SlabChunks + 3
	seal := func(size int) (head [header]byte, sealed *collector, err error) {
		r := newEncryptReader(t, bytes.NewReader(make([]byte, size)))
		head = r.Header()
		r.SetChunk(cobblestone.MaxChunks - chunks)
		sealed, err = writeOn(t, 2, r)
		return head, sealed, err
	}
	open := func(head [header]byte, sealed []byte) (*collector, error) {
		r := newDecryptReader(t, io.MultiReader(bytes.NewReader(head[:]), bytes.NewReader(sealed)))
		r.SetChunk(cobblestone.MaxChunks - chunks)
		return writeOn(t, 2, r)
	}

	head, sealed, err := seal(chunks*chunk - 1)
	require.NoError(t, err, "a last chunk with the greatest number")
	opened, err := open(head, sealed.Bytes())
	require.NoError(t, err)
	require.Equal(t, chunks*chunk-1, opened.Len())

	head, sealed, err = seal(chunks * chunk)
	require.Equal(t, cobblestone.ErrTooLong, err)
	require.Equal(t, chunks*storedChunk, sealed.Len())
	require.True(t, sealed.madeByCrew())
	opened, err = open(head, append(sealed.Bytes(), make([]byte, 16)...))
	require.Equal(t, cobblestone.ErrOpen, err)
	require.Equal(t, chunks*chunk, opened.Len())
}
