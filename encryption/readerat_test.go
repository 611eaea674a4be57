package encryption_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// A countingReaderAt counts how often each stored byte is read.
type countingReaderAt struct {
	stored []byte
	mu     sync.Mutex
	reads  []int
}

func newCountingReaderAt(stored []byte) *countingReaderAt {
	return &countingReaderAt{stored: stored, reads: make([]int, len(stored))}
}

func (c *countingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(c.stored).ReadAt(p, off)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range n {
		c.reads[int(off)+i]++
	}
	return n, err
}

// requireReads checks that what was read are headers, and once each the chunks that hold plaintext of a range.
func (c *countingReaderAt) requireReads(t require.TestingT, pieces []piece, off, n int64) {
	want := make([]int, len(c.stored))
	begins, at := int64(0), 0
	for _, p := range pieces {
		for i := range 56 {
			require.LessOrEqual(t, c.reads[at+i], 2, "byte %d of a header", i)
			want[at+i] = c.reads[at+i]
		}
		for i := range p.size {
			chunkBegins := begins + int64(i/chunk*chunk)
			chunkEnds := min(chunkBegins+chunk, begins+int64(p.size))
			if chunkBegins < off+n && chunkEnds > off {
				want[at+56+i/chunk*(chunk+16)+i%chunk]++
			}
		}
		at += int(encryption.StoredSize(int64(p.size)))
		begins += int64(p.size)
	}
	at = 0
	ends := int64(0)
	for _, p := range pieces { // the tags are read with what stands before them
		ends += int64(p.size)
		for i := range p.size/chunk + 1 {
			tag := at + 56 + i*(chunk+16) + min(chunk, p.size-i*chunk)
			for j := range 16 {
				want[tag+j] = want[tag-1]
				if p.size == i*chunk { // nothing stands before it, and only who reads to the end of the part may read it
					want[tag+j] = 0
					if off <= ends && off+n >= ends {
						want[tag+j] = min(c.reads[tag+j], 1)
					}
				}
			}
		}
		at += int(encryption.StoredSize(int64(p.size)))
	}
	require.Equal(t, want, c.reads)
}

// serve answers a GET as a server does that leaves the rest to http.ServeContent.
func serve(object *encryption.Object, stored io.ReaderAt, ranges string) (*httptest.ResponseRecorder, error) {
	r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	if ranges != "" {
		r.Header.Set("Range", ranges)
	}
	off, _, _, err := object.ParseRange(ranges)
	if err != nil {
		return w, err
	}
	plain, err := object.NewReaderAt(stored)
	if err != nil {
		return w, err
	}
	if err := plain.Prefetch(off); err != nil {
		return w, err
	}
	http.ServeContent(w, r, "cat.jpg", time.Time{}, io.NewSectionReader(plain, 0, object.Size()))
	return w, nil
}

func TestServeContentReadsTheHeaderAndTheCoveringChunksOnce(t *testing.T) {
	ring := newRing("default")
	size := rapid.OneOf(rapid.SampledFrom([]int{0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 5*chunk + 7}), rapid.IntRange(0, 100_000))
	rapid.Check(t, func(rt *rapid.T) {
		var pieces []piece
		for i, size := range rapid.SliceOfN(size, 1, 4).Draw(rt, "sizes") {
			pieces = append(pieces, piece{i + 1, size})
		}
		env, body, plain := ring.upload(t, photo, protections()[0], pieces...)
		object, err := encryption.NewService(ring, encryption.Options{}).OpenObject(t.Context(), photo, env, nil, int64(len(body)))
		require.NoError(rt, err)
		defer object.Close()
		if len(plain) == 0 {
			return
		}
		off := rapid.IntRange(0, len(plain)-1).Draw(rt, "off")
		end := rapid.OneOf(rapid.Just(len(plain)), rapid.IntRange(off+1, len(plain)), rapid.IntRange(off+1, min(len(plain), off+chunk))).Draw(rt, "end")
		stored := newCountingReaderAt(body)
		w, err := serve(object, stored, "bytes="+strconv.Itoa(off)+"-"+strconv.Itoa(end-1))
		require.NoError(rt, err)
		require.Equal(rt, http.StatusPartialContent, w.Code)
		require.True(rt, bytes.Equal(plain[off:end], w.Body.Bytes()))
		stored.requireReads(rt, pieces, int64(off), int64(end-off))
	})
}

func TestReadsOfServeContent(t *testing.T) {
	for _, size := range []int{4*chunk + 100, 4 * chunk} {
		testReadsOfServeContent(t, random(size))
	}
}

func testReadsOfServeContent(t *testing.T, plain []byte) {
	for _, tt := range []struct {
		ranges string
		off, n int64
	}{
		{"", 0, int64(len(plain))},
		{"bytes=0-", 0, int64(len(plain))},
		{"bytes=0-0", 0, 1},
		{"bytes=100-", 100, int64(len(plain)) - 100},
		{"bytes=16384-16384", chunk, 1},
		{"bytes=16383-16384", chunk - 1, 2},
		{"bytes=20000-60000", 20000, 40001},
		{"bytes=50000-50009", 50000, 10},
		{"bytes=-5", int64(len(plain)) - 5, 5},
	} {
		t.Run(tt.ranges, func(t *testing.T) {
			object, s := openPhoto(t, plain)
			stored := newCountingReaderAt(s.stored)
			w, err := serve(object, stored, tt.ranges)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plain[tt.off:tt.off+tt.n], w.Body.Bytes()))
			stored.requireReads(t, []piece{{1, len(plain)}}, tt.off, tt.n)
		})
	}
}

func TestServeContentOfAFirstChunkThatWasChangedAnswersNothing(t *testing.T) {
	for _, tt := range []struct {
		ranges string
		bit    int // stored
	}{
		{"", 60}, {"", 3}, {"bytes=0-5", 60}, {"bytes=20000-", 56 + chunk + 16}, {"bytes=-5", 56 + 2*(chunk+16)}, {"bytes=20000-20000", 3},
	} {
		object, s := openPhoto(t, random(2*chunk+50))
		s.stored[tt.bit] ^= 1
		w, err := serve(object, bytes.NewReader(s.stored), tt.ranges)
		require.Equal(t, kms.ErrDecrypt, err, tt.ranges)
		require.Empty(t, w.Body.Bytes())
		require.Empty(t, w.Result().Header)
	}
	object, s := openPhoto(t, nil)
	s.stored[60] ^= 1
	_, err := serve(object, bytes.NewReader(s.stored), "")
	require.Equal(t, kms.ErrDecrypt, err, "an object of nothing is authenticated too")
}

func TestPrefetchOutsideOfTheObject(t *testing.T) {
	for _, size := range []int64{0, 1, chunk} {
		object, s := openPhoto(t, random(int(size)))
		plain, err := object.NewReaderAt(bytes.NewReader(s.stored))
		require.NoError(t, err)
		require.NoError(t, plain.Prefetch(size), "the end")
		for _, off := range []int64{-1, size + 1, 1<<63 - 1, -1 << 63} {
			require.ErrorIs(t, plain.Prefetch(off), kms.ErrInvalidRequest, off)
		}
		require.NoError(t, object.Close())
		require.Equal(t, kms.ErrClosed, plain.Prefetch(0))
	}
}

// Readers that share a ReaderAt take the chunk that is held from one another, and nothing else.
func TestReadersThatShareAReaderAt(t *testing.T) {
	plain := random(6*chunk + 5)
	object, s := openPhoto(t, plain)
	readerAt, err := object.NewReaderAt(bytes.NewReader(s.stored))
	require.NoError(t, err)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			got, err := io.ReadAll(io.NewSectionReader(readerAt, int64(i*7000), object.Size()))
			if err != nil || !bytes.Equal(plain[i*7000:], got) {
				t.Error(i, err)
			}
		})
	}
	group.Wait()
}

// A read is not failed by what lies behind it in its chunk's place, and what is held is only what is authentic.
func TestReadAtBeforeAChunkThatWasChanged(t *testing.T) {
	plain := random(3 * chunk)
	object, s := openPhoto(t, plain)
	s.stored[56+chunk+16] ^= 1
	readerAt, err := object.NewReaderAt(bytes.NewReader(s.stored))
	require.NoError(t, err)
	p := make([]byte, 100)
	n, err := readerAt.ReadAt(p, chunk-100)
	require.NoError(t, err)
	require.Equal(t, 100, n)
	n, err = readerAt.ReadAt(p, chunk-50)
	require.Equal(t, kms.ErrDecrypt, err)
	require.Equal(t, 50, n)
	require.Equal(t, plain[chunk-50:chunk], p[:n])
	_, err = readerAt.ReadAt(p, chunk)
	require.Equal(t, kms.ErrDecrypt, err)
	n, err = readerAt.ReadAt(p, 2*chunk)
	require.NoError(t, err)
	require.Equal(t, plain[2*chunk:2*chunk+100], p[:n])
}

// A brokenReaderAt fails where a read touches a stored byte.
type brokenReaderAt struct {
	io.ReaderAt
	at  int64
	err error
}

func (b brokenReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if off <= b.at && b.at < off+int64(len(p)) {
		return 0, b.err
	}
	return b.ReaderAt.ReadAt(p, off)
}

func TestErrorsOfTheStoreInReadAt(t *testing.T) {
	ring := newRing("default")
	env, body, plain := ring.upload(t, photo, protections()[0], piece{1, 2*chunk + 5}, piece{2, chunk + 5})
	second := encryption.StoredSize(2*chunk + 5)
	broken := errors.New("disk on fire")
	for _, tt := range []struct {
		at      int64 // of the stored byte that cannot be read
		off, to int
		want    int // bytes of plaintext before it
	}{
		{56, 0, 10, 0},                                     // the chunk of the read
		{56, 0, 2*chunk + 5, 0},                            // the first of several
		{56 + chunk + 16, 0, 2*chunk + 5, chunk},           // a later one
		{56 + 2*(chunk+16), 10, 2*chunk + 5, 2*chunk - 10}, // the last one
		{second, 2 * chunk, 2*chunk + 6, 5},                // the header of the next part
		{second, 2*chunk + 5, 2*chunk + 6, 0},
		{second + 60, 2 * chunk, 2*chunk + 6, 5}, // its first chunk
	} {
		object, err := encryption.NewService(ring, encryption.Options{}).OpenObject(t.Context(), photo, env, nil, int64(len(body)))
		require.NoError(t, err)
		defer object.Close()
		readerAt, err := object.NewReaderAt(brokenReaderAt{bytes.NewReader(body), tt.at, broken})
		require.NoError(t, err)
		p := make([]byte, tt.to-tt.off)
		n, err := readerAt.ReadAt(p, int64(tt.off))
		require.ErrorIs(t, err, broken, tt.at)
		require.NotErrorIs(t, err, kms.ErrDecrypt)
		require.Equal(t, tt.want, n, tt.at)
		require.True(t, bytes.Equal(plain[tt.off:tt.off+n], p[:n]))
	}
	object, s := openPhoto(t, random(5))
	_, err := object.NewReaderAt(brokenReaderAt{bytes.NewReader(s.stored), 3, broken})
	require.ErrorIs(t, err, broken)
}

func TestReadAtOverTheEnd(t *testing.T) {
	plain := random(chunk + 10)
	object, s := openPhoto(t, plain)
	readerAt, err := object.NewReaderAt(bytes.NewReader(s.stored))
	require.NoError(t, err)
	for _, off := range []int{0, chunk - 1, chunk, chunk + 9} {
		p := make([]byte, 2*chunk)
		for range 2 { // from the store, and from what is held
			n, err := readerAt.ReadAt(p, int64(off))
			require.Equal(t, io.EOF, err)
			require.Equal(t, plain[off:], p[:n])
		}
		n, err := readerAt.ReadAt(p[:len(plain)-off], int64(off))
		require.NoError(t, err, "all that was asked for")
		require.Equal(t, len(plain)-off, n)
		n, err = readerAt.ReadAt(nil, int64(off))
		require.NoError(t, err)
		require.Zero(t, n)
	}
	for _, off := range []int64{chunk + 10, chunk + 11, 1<<63 - 1} {
		_, err := readerAt.ReadAt(make([]byte, 1), off)
		require.Equal(t, io.EOF, err)
	}
}
