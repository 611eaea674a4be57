package encryption_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/cobblestone"
)

// A store holds one body and remembers what was fetched of it.
type store struct {
	stored  []byte
	fetches []string // "offset+length"
	opened  []*closeCounter
}

func (s *store) fetch(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	s.fetches = append(s.fetches, span(off, n))
	// A reader that goes on behind what was asked for must be left alone there.
	r := &closeCounter{Reader: bytes.NewReader(s.stored[off:])}
	s.opened = append(s.opened, r)
	return r, nil
}

// rest returns how many bytes of what was opened last are not read.
func (s *store) rest() int {
	return s.opened[len(s.opened)-1].Reader.(*bytes.Reader).Len()
}

func span(off, n int64) string { return fmt.Sprintf("%d+%d", off, n) }

// wantSpan is written anew on purpose: the chunks that hold the range, with the header where the first one does, and with the
// last one where the range ends the object.
func wantSpan(off, n, size int64) (start, length int64) {
	if n == 0 && off < size {
		return 56 + off/16384*16400, 0
	}
	start = 56 + off/16384*16400
	end := 56 + ((off+n-1)/16384+1)*16400
	end = min(end, encryption.StoredSize(size))
	if off+n == size {
		end = encryption.StoredSize(size)
	}
	if start == 56 {
		start = 0
	}
	return start, end - start
}

func TestRangeReadsTheHeaderAndTheCoveringChunks(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	plain := random(5*chunk + 77)
	type stored struct {
		env  *encryption.Envelope
		body []byte
	}
	bodies := make(map[int]stored)
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.OneOf(rapid.SampledFrom([]int{0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 5 * chunk}), rapid.IntRange(0, len(plain))).Draw(rt, "size")
		off := rapid.IntRange(0, size).Draw(rt, "off")
		n := rapid.OneOf(rapid.IntRange(0, size-off), rapid.Just(size-off), rapid.Just(min(1, size-off))).Draw(rt, "n")
		if _, ok := bodies[size]; !ok {
			env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, plain[:size])
			bodies[size] = stored{env, body}
		}
		s := &store{stored: bodies[size].body}
		object, err := svc.OpenObject(t.Context(), photo, bodies[size].env, nil, int64(len(s.stored)))
		require.NoError(rt, err)
		defer object.Close()

		r, err := object.Range(t.Context(), int64(off), int64(n), s.fetch)
		require.NoError(rt, err)
		got, err := io.ReadAll(r)
		require.NoError(rt, err)
		require.True(rt, bytes.Equal(plain[off:off+n], got))
		require.NoError(rt, r.Close())

		start, length := wantSpan(int64(off), int64(n), int64(size))
		gotStart, gotLength, err := object.Span(int64(off), int64(n))
		require.NoError(rt, err)
		require.Equal(rt, span(start, length), span(gotStart, gotLength))
		var want []string
		if length > 0 && start > 0 {
			want = append(want, span(0, cobblestone.HeaderSize))
		}
		if length > 0 {
			want = append(want, span(start, length))
			require.EqualValues(rt, int64(len(s.stored))-start-length, s.rest(), "reads on")
		}
		require.Equal(rt, want, s.fetches)
		for _, r := range s.opened {
			require.Equal(rt, 1, r.closed)
		}
	})
}

// openPhoto stores an object and opens it.
func openPhoto(t testing.TB, plain []byte) (*encryption.Object, *store) {
	t.Helper()
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, plain)
	object, err := svc.OpenObject(t.Context(), photo, env, nil, int64(len(body)))
	require.NoError(t, err)
	t.Cleanup(func() { object.Close() })
	require.EqualValues(t, len(plain), object.Size())
	return object, &store{stored: body}
}

func TestLaterRangesOfAnObjectNeedNoHeader(t *testing.T) {
	plain := random(3 * chunk)
	object, s := openPhoto(t, plain)
	for _, off := range []int64{chunk, 2 * chunk, 0, chunk} {
		r, err := object.Range(t.Context(), off, 10, s.fetch)
		require.NoError(t, err)
		var got bytes.Buffer
		n, err := r.(io.WriterTo).WriteTo(&got)
		require.NoError(t, err)
		require.EqualValues(t, 10, n)
		require.Equal(t, plain[off:off+10], got.Bytes())
	}
	require.Equal(t, []string{"0+56", span(56+chunk+16, chunk+16), span(56+2*(chunk+16), chunk+16), span(0, 56+chunk+16), span(56+chunk+16, chunk+16)}, s.fetches)
}

func TestBodyPutInThePlaceOfAnOpenedOneIsRefused(t *testing.T) {
	object, s := openPhoto(t, random(chunk))
	r, err := object.Range(t.Context(), 0, 1, s.fetch)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	_, other := openPhoto(t, random(chunk))
	_, err = object.Range(t.Context(), 0, 1, other.fetch)
	require.Equal(t, kms.ErrDecrypt, err)
	_, err = object.NewReaderAt(bytes.NewReader(other.stored))
	require.Equal(t, kms.ErrDecrypt, err)
}

func TestRangesOutsideOfTheObjectAreInvalid(t *testing.T) {
	const size = chunk + 10
	object, s := openPhoto(t, random(size))
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {0, size + 1}, {size, 1}, {size + 1, 0}, {1, size}, {1, 1<<63 - 1}, {1<<63 - 1, 1}, {-1 << 63, 0}} {
		_, err := object.Range(t.Context(), r[0], r[1], s.fetch)
		require.ErrorIs(t, err, kms.ErrInvalidRequest, r)
		_, _, err = object.Span(r[0], r[1])
		require.ErrorIs(t, err, kms.ErrInvalidRequest, r)
	}
	require.Empty(t, s.fetches)
}

func TestRangeAuthenticatesTheFirstChunkBeforeItReturns(t *testing.T) {
	for _, tt := range []struct {
		name     string
		off, bit int
		want     error
	}{
		{"header", 0, 3, kms.ErrDecrypt},
		{"header of a later range", chunk, 3, kms.ErrDecrypt},
		{"first chunk of the range", chunk, 56 + chunk + 16, kms.ErrDecrypt},
		{"chunk before the range", chunk, 56, nil},
		{"later chunk of the range", 0, 56 + chunk + 16, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			object, s := openPhoto(t, random(3*chunk))
			s.stored[tt.bit] ^= 1
			r, err := object.Range(t.Context(), int64(tt.off), 2*chunk, s.fetch)
			require.Equal(t, tt.want, err)
			if err != nil {
				for _, r := range s.opened {
					require.Equal(t, 1, r.closed, "closed although Range failed")
				}
				return
			}
			got, err := io.ReadAll(r)
			if tt.off == 0 {
				require.Equal(t, kms.ErrDecrypt, err)
				require.Len(t, got, chunk)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

func TestErrorsOfFetchAreRecognised(t *testing.T) {
	broken := errors.New("no such shard")
	for _, failAt := range []int{1, 2} {
		object, s := openPhoto(t, random(3*chunk))
		calls := 0
		_, err := object.Range(t.Context(), chunk, 10, func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
			if calls++; calls == failAt {
				return nil, broken
			}
			return s.fetch(ctx, off, n)
		})
		require.Equal(t, broken, err)
	}
	for _, off := range []int64{0, chunk} {
		for _, cut := range []int64{0, 10, 56, 1000} {
			for failure, want := range map[error]error{broken: broken, io.EOF: kms.ErrDecrypt, io.ErrUnexpectedEOF: kms.ErrDecrypt} {
				object, s := openPhoto(t, random(3*chunk))
				_, err := object.Range(t.Context(), off, 10, func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
					stored := s.stored[off:][:min(n, cut)]
					return io.NopCloser(io.MultiReader(bytes.NewReader(stored), iotest.ErrReader(failure))), nil
				})
				require.ErrorIs(t, err, want)
			}
		}
	}
}

func TestRangeGivesItsContextToFetch(t *testing.T) {
	object, s := openPhoto(t, random(2*chunk))
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "this one")
	_, err := object.Range(ctx, chunk, 1, func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		require.Equal(t, "this one", ctx.Value(key{}))
		return s.fetch(ctx, off, n)
	})
	require.NoError(t, err)
}

func TestClosingARangeClosesWhatItFetched(t *testing.T) {
	object, s := openPhoto(t, random(10))
	r, err := object.Range(t.Context(), 0, 10, s.fetch)
	require.NoError(t, err)
	failure := errors.New("close failed")
	s.opened[0].err = failure
	require.Equal(t, failure, r.Close())
	require.NoError(t, r.Close())
	require.Equal(t, 1, s.opened[0].closed)
	_, err = r.Read(make([]byte, 1))
	require.Equal(t, kms.ErrClosed, err)
}

func TestReaderAt(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	for _, size := range sizes {
		plain := random(size)
		env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, plain)
		object, err := svc.OpenObject(t.Context(), photo, env, nil, int64(len(body)))
		require.NoError(t, err)
		defer object.Close()
		readerAt, err := object.NewReaderAt(bytes.NewReader(body))
		require.NoError(t, err)
		section := io.NewSectionReader(readerAt, 0, object.Size())
		if size == chunk+1 { // byte by byte, so one size is enough
			require.NoError(t, iotest.TestReader(section, plain))
		}
		got, err := io.ReadAll(io.NewSectionReader(readerAt, 0, object.Size()))
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, got))
		for _, off := range []int{0, 1, chunk - 1, chunk, chunk + 1, size - 1, size} {
			for _, n := range []int{0, 1, chunk, chunk + 1, 3 * chunk} {
				if off < 0 || off > size {
					continue
				}
				p := make([]byte, n)
				got, err := readerAt.ReadAt(p, int64(off))
				want := min(n, size-off)
				require.Equal(t, want, got)
				require.True(t, bytes.Equal(plain[off:off+want], p[:got]))
				if got < n || n == 0 && off == size {
					require.Equal(t, io.EOF, err)
				} else {
					require.NoError(t, err)
				}
			}
		}
		_, err = readerAt.ReadAt(make([]byte, 1), -1)
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		_, err = readerAt.ReadAt(make([]byte, 1), int64(size)+1)
		require.Equal(t, io.EOF, err)
	}
}

func TestReaderAtReleasesNothingThatIsNotAuthentic(t *testing.T) {
	plain := random(3 * chunk)
	object, s := openPhoto(t, plain)
	s.stored[56+chunk+16+5] ^= 1
	readerAt, err := object.NewReaderAt(bytes.NewReader(s.stored))
	require.NoError(t, err)
	p := make([]byte, 3*chunk)
	n, err := readerAt.ReadAt(p, 0)
	require.Equal(t, kms.ErrDecrypt, err)
	require.Equal(t, chunk, n)
	require.Equal(t, plain[:chunk], p[:n])
	_, err = readerAt.ReadAt(p[:1], chunk)
	require.Equal(t, kms.ErrDecrypt, err)
	_, err = readerAt.ReadAt(p[:chunk], 2*chunk)
	require.NoError(t, err, "another chunk")

	short, err := object.NewReaderAt(bytes.NewReader(s.stored[:2*chunk]))
	require.NoError(t, err)
	_, err = short.ReadAt(p[:1], 2*chunk)
	require.Equal(t, kms.ErrDecrypt, err)
	_, err = object.NewReaderAt(bytes.NewReader(s.stored[:55]))
	require.Equal(t, kms.ErrDecrypt, err)
}

func TestObjectIsSafeForConcurrentUse(t *testing.T) {
	plain := random(3 * chunk)
	object, s := openPhoto(t, plain)
	readerAt, err := object.NewReaderAt(bytes.NewReader(s.stored))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			off := int64(i * 5000)
			var p [100]byte
			if _, err := readerAt.ReadAt(p[:], off); err != nil || !bytes.Equal(p[:], plain[off:off+100]) {
				t.Errorf("ReadAt at %d: %v", off, err)
			}
			own := &store{stored: s.stored}
			r, err := object.Range(t.Context(), off, 100, own.fetch)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, plain[off:off+100]) {
				t.Errorf("Range at %d: %v", off, err)
			}
		})
	}
	wg.Wait()
}

func TestClosedObjectIsClosed(t *testing.T) {
	object, s := openPhoto(t, random(2*chunk))
	readerAt, err := object.NewReaderAt(bytes.NewReader(s.stored))
	require.NoError(t, err)
	r, err := object.Range(t.Context(), 0, 2*chunk, s.fetch)
	require.NoError(t, err)
	require.NoError(t, object.Close())
	require.NoError(t, object.Close())
	_, err = readerAt.ReadAt(make([]byte, 1), 0)
	require.Equal(t, kms.ErrClosed, err)
	_, err = object.NewReaderAt(bytes.NewReader(s.stored))
	require.Equal(t, kms.ErrClosed, err)
	for _, n := range []int64{0, 1} {
		_, err = object.Range(t.Context(), 0, n, s.fetch)
		require.Equal(t, kms.ErrClosed, err)
	}
	_, err = io.ReadAll(r)
	require.NoError(t, err, "what was handed out goes on")
	require.EqualValues(t, 2*chunk, object.Size())
}
