package cobblestone_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/cobblestone"
)

var errSource = errors.New("source failed")

// failAfter returns a reader of the first n bytes of b that then fails with err.
func failAfter(b []byte, n int, err error) io.Reader {
	return io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(err))
}

// withLast returns the bytes of b, and err together with the last of them.
type withLast struct {
	b   []byte
	err error
}

func (w *withLast) Read(p []byte) (int, error) {
	n := copy(p, w.b)
	w.b = w.b[n:]
	if len(w.b) == 0 {
		return n, w.err
	}
	return n, nil
}

func TestEncryptReaderNeverEndsAfterAnError(t *testing.T) {
	plain := randomBytes(3 * chunk)
	for _, n := range []int{0, 1, 3000, 4096, 4097, chunk - 1, chunk, chunk + 1, 2 * chunk} {
		for _, cause := range []error{errSource, io.ErrUnexpectedEOF} {
			r := newEncryptReader(t, failAfter(plain, n, cause))
			message, err := io.ReadAll(r)
			require.ErrorIs(t, err, cause)
			requireSticky(t, r, err)
			if len(message) > 0 {
				require.Len(t, message, header+n/chunk*storedChunk)
				_, err = cobblestone.Open(nil, testKey, testContext, message)
				require.Equal(t, cobblestone.ErrOpen, err)
			}
		}
	}
}

func TestEncryptReaderDoesNotTakeAWrappedEOFForTheEnd(t *testing.T) {
	r := newEncryptReader(t, failAfter(nil, 0, fmt.Errorf("connection lost: %w", io.EOF)))
	_, err := io.ReadAll(r)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NotErrorIs(t, err, io.EOF)
	requireSticky(t, r, err)
}

func TestDecryptReaderPassesErrorsOn(t *testing.T) {
	plain := randomBytes(3 * chunk)
	message := mustSeal(t, plain)
	for _, n := range []int{header, header + 1, header + 4096, header + storedChunk, header + storedChunk + 1, len(message)} {
		r := newDecryptReader(t, failAfter(message, n, errSource))
		released, err := io.ReadAll(r)
		require.ErrorIs(t, err, errSource)
		require.NotErrorIs(t, err, cobblestone.ErrOpen)
		requireSticky(t, r, err)
		require.True(t, bytes.Equal(plain[:(n-header)/storedChunk*chunk], released))
	}
	for _, n := range []int{0, 1, header - 1} {
		_, err := cobblestone.NewDecryptReader(testKey, testContext, failAfter(message, n, errSource))
		require.ErrorIs(t, err, errSource)
		require.NotErrorIs(t, err, cobblestone.ErrOpen)
	}
}

func TestDecryptReaderTakesABrokenSourceForTruncation(t *testing.T) {
	message := mustSeal(t, randomBytes(chunk+9))
	for _, n := range []int{header, header + storedChunk, len(message)} {
		r := newDecryptReader(t, failAfter(message, n, io.ErrUnexpectedEOF))
		_, err := io.ReadAll(r)
		requireFailed(t, r, err)
	}
	_, err := cobblestone.NewDecryptReader(testKey, testContext, failAfter(message, header-1, io.ErrUnexpectedEOF))
	require.Equal(t, cobblestone.ErrOpen, err)
}

func TestACauseAroundEOFIsNeitherTheEndNorLost(t *testing.T) {
	message := mustSeal(t, randomBytes(chunk+9))
	for _, cause := range []error{fmt.Errorf("lost: %w", io.EOF), fmt.Errorf("lost: %w", io.ErrUnexpectedEOF)} {
		for _, n := range []int{header, header + storedChunk, len(message)} {
			r := newDecryptReader(t, failAfter(message, n, cause))
			_, err := io.ReadAll(r)
			require.ErrorIs(t, err, cause)
			require.NotErrorIs(t, err, io.EOF)
			require.NotErrorIs(t, err, cobblestone.ErrOpen)
			requireSticky(t, r, err)
		}
		_, err := cobblestone.NewDecryptReader(testKey, testContext, failAfter(message, header-1, cause))
		require.ErrorIs(t, err, cause)
		require.NotErrorIs(t, err, io.EOF)
	}
}

func TestErrorTogetherWithTheLastBytes(t *testing.T) {
	for _, size := range []int{10, chunk} {
		r := newEncryptReader(t, &withLast{b: randomBytes(size), err: errSource})
		_, err := io.ReadAll(r)
		require.ErrorIs(t, err, errSource)
		requireSticky(t, r, err)

		message := mustSeal(t, randomBytes(size))
		d := newDecryptReader(t, &withLast{b: message, err: errSource})
		_, err = io.ReadAll(d)
		require.ErrorIs(t, err, errSource)
		requireSticky(t, d, err)
	}
}

func TestTimeout(t *testing.T) {
	r := newEncryptReader(t, iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(randomBytes(10)))))
	_, err := io.ReadAll(r)
	require.ErrorIs(t, err, iotest.ErrTimeout)
	requireSticky(t, r, err)

	message := mustSeal(t, randomBytes(10))
	d := newDecryptReader(t, io.MultiReader(bytes.NewReader(message[:header]),
		iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(message[header:])))))
	_, err = io.ReadAll(d)
	require.ErrorIs(t, err, iotest.ErrTimeout)
	requireSticky(t, d, err)
}

// endlessReader returns the same result at every call.
type endlessReader struct {
	n   int
	err error
}

func (e endlessReader) Read([]byte) (int, error) { return e.n, e.err }

// idler returns (0, nil) a number of times before each read.
type idler struct {
	io.Reader
	times, left int
}

func (i *idler) Read(p []byte) (int, error) {
	if i.left--; i.left >= 0 {
		return 0, nil
	}
	i.left = i.times
	return i.Reader.Read(p)
}

func TestSlowSource(t *testing.T) {
	plain := randomBytes(300)
	source := &idler{Reader: iotest.OneByteReader(bytes.NewReader(plain)), times: 99, left: 99}
	message, err := io.ReadAll(newEncryptReader(t, source))
	require.NoError(t, err)
	opened, err := cobblestone.Open(nil, testKey, testContext, message)
	require.NoError(t, err)
	require.Equal(t, plain, opened)

	source.times, source.left = 100, 100
	_, err = io.ReadAll(newEncryptReader(t, source))
	require.ErrorIs(t, err, io.ErrNoProgress)
}

func TestMisbehavingSource(t *testing.T) {
	r := newEncryptReader(t, endlessReader{})
	_, err := io.ReadAll(r)
	require.ErrorIs(t, err, io.ErrNoProgress)
	requireSticky(t, r, err)
	for _, n := range []int{-1, 1 << 20} {
		r = newEncryptReader(t, endlessReader{n: n, err: io.EOF})
		_, err = io.ReadAll(r)
		require.ErrorContains(t, err, "impossible count")
		requireSticky(t, r, err)
	}
}

// reviver ends, and then goes on.
type reviver struct{ parts [][]byte }

func (r *reviver) Read(p []byte) (int, error) {
	if len(r.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.parts[0])
	if r.parts[0] = r.parts[0][n:]; len(r.parts[0]) > 0 {
		return n, nil
	}
	r.parts = r.parts[1:]
	return n, io.EOF
}

func TestSourceIsNotReadAfterItsEnd(t *testing.T) {
	source := &reviver{parts: [][]byte{make([]byte, chunk), []byte("more")}}
	message, err := io.ReadAll(newEncryptReader(t, source))
	require.NoError(t, err)
	require.EqualValues(t, cobblestone.StoredSize(chunk), len(message))
	require.Len(t, source.parts, 1)

	source = &reviver{parts: [][]byte{message[:header+storedChunk], message[header+storedChunk:]}}
	r := newDecryptReader(t, source)
	_, err = io.ReadAll(r)
	requireFailed(t, r, err)
	require.Len(t, source.parts, 1)
}

// TestReadIsNotGreedy checks that a reader takes no more from its source than the chunk that it hands out.
func TestReadIsNotGreedy(t *testing.T) {
	message := mustSeal(t, randomBytes(3*chunk))
	source := bytes.NewReader(message)
	r := newDecryptReader(t, source)
	_, err := r.Read(nil)
	require.NoError(t, err)
	require.Equal(t, len(message)-header, source.Len())
	_, err = io.ReadFull(r, make([]byte, chunk))
	require.NoError(t, err)
	require.Equal(t, len(message)-header-storedChunk, source.Len())

	source = bytes.NewReader(make([]byte, 3*chunk))
	enc := newEncryptReader(t, source)
	require.Equal(t, 3*chunk, source.Len())
	_, err = io.ReadFull(enc, make([]byte, header+storedChunk))
	require.NoError(t, err)
	require.Equal(t, 2*chunk, source.Len())
}

// limitedWriter takes as many bytes as it has left, and then fails with err.
type limitedWriter struct {
	bytes.Buffer
	left int
	err  error
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	w.Buffer.Write(p[:n])
	if n < len(p) {
		return n, w.err
	}
	return n, nil
}

func TestAnErrorOfTheWriterEndsTheReader(t *testing.T) {
	plain := randomBytes(2*chunk + 3)
	message := mustSeal(t, plain)
	for _, left := range []int{0, 1, chunk, chunk + 1} {
		for cause, want := range map[error]error{errSource: errSource, io.EOF: io.EOF, nil: io.ErrShortWrite} {
			w := &limitedWriter{left: left, err: cause}
			r := newDecryptReader(t, bytes.NewReader(message))
			n, err := r.WriteTo(w)
			require.Equal(t, want, err)
			require.EqualValues(t, left, n)
			require.True(t, bytes.Equal(plain[:left], w.Bytes()))
			requireSticky(t, r, cobblestone.ErrNotWritten)
		}
	}
}

type lyingWriter struct{ n int }

func (w lyingWriter) Write([]byte) (int, error) { return w.n, nil }

func TestWriteToRefusesAnImpossibleCount(t *testing.T) {
	for _, n := range []int{-1, 1 << 20} {
		_, err := newEncryptReader(t, bytes.NewReader(nil)).WriteTo(lyingWriter{n})
		require.ErrorContains(t, err, "impossible count")
	}
}

func TestChunkLimit(t *testing.T) {
	enc := newEncryptReader(t, bytes.NewReader(make([]byte, chunk)))
	enc.SetChunk(cobblestone.MaxChunks - 1)
	full, err := io.ReadAll(enc)
	require.Equal(t, cobblestone.ErrTooLong, err)
	requireSticky(t, enc, err)
	require.Len(t, full, storedChunk)

	enc = newEncryptReader(t, bytes.NewReader(make([]byte, chunk-1)))
	head := enc.Header()
	enc.SetChunk(cobblestone.MaxChunks - 1)
	last, err := io.ReadAll(enc)
	require.NoError(t, err, "a last chunk with the greatest number")

	dec := newDecryptReader(t, io.MultiReader(bytes.NewReader(head[:]), bytes.NewReader(last)))
	dec.SetChunk(cobblestone.MaxChunks - 1)
	plain, err := io.ReadAll(dec)
	require.NoError(t, err)
	require.Len(t, plain, chunk-1)

	enc = newEncryptReader(t, bytes.NewReader(nil))
	enc.SetChunk(cobblestone.MaxChunks + 1)
	require.Panics(t, func() { enc.Read(make([]byte, 100)) }, "a number that no chunk may have")

	dec = newDecryptReader(t, io.MultiReader(bytes.NewReader(head[:]), bytes.NewReader(last)))
	dec.SetChunk(cobblestone.MaxChunks)
	_, err = io.ReadAll(dec)
	requireFailed(t, dec, err)
}
