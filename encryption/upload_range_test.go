package encryption_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// wantReads is written anew on purpose, chunk by chunk: what a range must read of a row of parts, and nothing else.
func wantReads(pieces []piece, off, n int64) (fetches []string, start, length int64) {
	bounds := edges(pieces)
	end, total := off+n, int64(bounds[len(pieces)])
	if n == 0 && off < total {
		return nil, 0, 0
	}
	from, to, header := int64(-1), int64(0), int64(0)
	stored := int64(0)
	for i, p := range pieces {
		begins, ends := int64(bounds[i]), int64(bounds[i+1])
		// What ends or begins with the object takes in the parts of nothing that stand there.
		inside := (off < ends || off == 0 || i == len(pieces)-1) && (end > begins || end == total)
		chunks := int64(p.size/16384 + 1)
		for c := range chunks {
			a, b := begins+c*16384, min(begins+(c+1)*16384, ends)
			if !inside || !(off < b && end > a || c == chunks-1 && end >= ends) {
				continue
			}
			at := stored + 56 + c*16400
			if from < 0 {
				from, header = at, stored
			}
			to = at + b - a + 16
		}
		stored += encryption.StoredSize(int64(p.size))
	}
	if from == header+56 {
		from = header
	} else {
		fetches = append(fetches, span(header, 56))
	}
	return append(fetches, span(from, to-from)), from, to - from
}

func TestRangeOfPartsIsTheRangeOfThePlaintext(t *testing.T) {
	ring := newRing("default")
	svc := encryption.NewService(ring, encryption.Options{})
	size := rapid.OneOf(rapid.SampledFrom([]int{0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk}), rapid.IntRange(0, 40_000))
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SliceOfN(size, 1, 6).Draw(rt, "sizes")
		var pieces []piece
		number := 0
		for i, size := range sizes {
			number += rapid.IntRange(1, 2).Draw(rt, "step")
			if i > 0 && rapid.Bool().Draw(rt, "same") {
				size = pieces[i-1].size
			}
			pieces = append(pieces, piece{number, size})
		}
		env, body, plain := ring.upload(t, photo, protections()[0], pieces...)
		object, err := svc.OpenObject(t.Context(), photo, env, nil, int64(len(body)))
		require.NoError(rt, err)
		defer object.Close()

		at := rapid.OneOf(rapid.IntRange(0, len(plain)), rapid.SampledFrom(edges(pieces)))
		from, to := at.Draw(rt, "from"), at.Draw(rt, "to")
		off, end := min(from, to), max(from, to)
		s := &store{stored: body}
		r, err := object.Range(t.Context(), int64(off), int64(end-off), s.fetch)
		require.NoError(rt, err)
		got, err := io.ReadAll(r)
		require.NoError(rt, err)
		require.True(rt, bytes.Equal(plain[off:end], got))
		require.NoError(rt, r.Close())

		fetches, start, length := wantReads(pieces, int64(off), int64(end-off))
		require.Equal(rt, fetches, s.fetches)
		gotStart, gotLength, err := object.Span(int64(off), int64(end-off))
		require.NoError(rt, err)
		if length > 0 {
			require.Equal(rt, span(start, length), span(gotStart, gotLength))
			require.EqualValues(rt, int64(len(body))-start-length, s.rest(), "reads on")
		}
		require.Equal(rt, length, gotLength)
		for _, r := range s.opened {
			require.Equal(rt, 1, r.closed)
		}

		readerAt, err := object.NewReaderAt(bytes.NewReader(body))
		require.NoError(rt, err)
		p := make([]byte, end-off)
		n, err := readerAt.ReadAt(p, int64(off))
		require.Equal(rt, end-off, n)
		if off < len(plain) {
			require.NoError(rt, err)
		}
		require.True(rt, bytes.Equal(plain[off:end], p))
	})
}

// edges returns the offsets where parts begin and end.
func edges(pieces []piece) []int {
	edges := []int{0}
	for _, p := range pieces {
		edges = append(edges, edges[len(edges)-1]+p.size)
	}
	return edges
}

func TestReadsOfPartNumbers(t *testing.T) {
	ring := newRing("default")
	svc := encryption.NewService(ring, encryption.Options{})
	for name, pieces := range layouts {
		t.Run(name, func(t *testing.T) {
			env, body, plain := ring.upload(t, photo, protections()[0], pieces...)
			object, err := svc.OpenObject(t.Context(), photo, env, nil, int64(len(body)))
			require.NoError(t, err)
			defer object.Close()
			require.Equal(t, len(pieces), object.Parts())
			want := 0
			for _, piece := range pieces {
				off, size, err := object.Part(piece.number)
				require.NoError(t, err)
				require.EqualValues(t, want, off)
				require.EqualValues(t, piece.size, size)
				r, err := object.Range(t.Context(), off, size, (&store{stored: body}).fetch)
				require.NoError(t, err)
				got, err := io.ReadAll(r)
				require.NoError(t, err)
				require.True(t, bytes.Equal(plain[off:off+size], got))
				want += piece.size
			}
			for number := range 12 {
				if !slices.ContainsFunc(pieces, func(p piece) bool { return p.number == number }) {
					requireNoPart(t, object, number)
				}
			}
			requireNoPart(t, object, 10_001)
			requireNoPart(t, object, -1)
		})
	}

	env, body := put(t, svc, photo, protections()[0].write(), []byte("meow"))
	object, err := svc.OpenObject(t.Context(), photo, env, nil, int64(len(body)))
	require.NoError(t, err)
	defer object.Close()
	require.Zero(t, object.Parts())
	off, size, err := object.Part(1)
	require.NoError(t, err)
	require.Equal(t, "0+4", span(off, size))
	requireNoPart(t, object, 0)
	requireNoPart(t, object, 2)
}

func requireNoPart(t *testing.T, object *encryption.Object, number int) {
	t.Helper()
	_, _, err := object.Part(number)
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
	answer := encryption.S3Error(err)
	require.Equal(t, "InvalidPartNumber 416", fmt.Sprint(answer.Code, " ", answer.Status))
}

func TestServeContentOfParts(t *testing.T) {
	ring := newRing("default")
	env, body, plain := ring.upload(t, photo, protections()[0], manyPieces(30, chunk+100)...)
	object, err := encryption.NewService(ring, encryption.Options{}).OpenObject(t.Context(), photo, env, nil, int64(len(body)))
	require.NoError(t, err)
	defer object.Close()
	readerAt, err := object.NewReaderAt(bytes.NewReader(body))
	require.NoError(t, err)
	for ranges, want := range map[string][]byte{
		"": plain, "bytes=16000-17000": plain[16000:17001], "bytes=-20000": plain[len(plain)-20000:], "bytes=100-400000": plain[100:400001],
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Range", ranges)
		w := httptest.NewRecorder()
		http.ServeContent(w, r, "cat.jpg", time.Time{}, io.NewSectionReader(readerAt, 0, object.Size()))
		require.True(t, bytes.Equal(want, w.Body.Bytes()), ranges)
	}
}

func TestReadersOfPartsGoOnAfterTheObjectIsClosed(t *testing.T) {
	ring := newRing("default")
	for _, count := range []int{3, 40} {
		env, body, plain := ring.upload(t, photo, protections()[0], manyPieces(count, 100)...)
		object, err := encryption.NewService(ring, encryption.Options{}).OpenObject(t.Context(), photo, env, nil, int64(len(body)))
		require.NoError(t, err)
		key := object.Key()
		require.Equal(t, 32, key.Len())
		s := &store{stored: body}
		readToEnd, err := object.Range(t.Context(), 0, object.Size(), s.fetch)
		require.NoError(t, err)
		closed, err := object.Range(t.Context(), 0, object.Size(), s.fetch)
		require.NoError(t, err)
		require.NoError(t, object.Close())
		require.NoError(t, object.Close())
		_, err = object.Range(t.Context(), 0, 1, s.fetch)
		require.Equal(t, kms.ErrClosed, err)
		got, err := io.ReadAll(readToEnd)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, got))
		require.NoError(t, readToEnd.Close())
		require.NoError(t, readToEnd.Close())
		_, err = closed.Read(make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, closed.Close())
		_, err = closed.Read(make([]byte, 1))
		require.Equal(t, kms.ErrClosed, err)
		require.Zero(t, key.Len(), "wiped by the last reader")
	}
}

func TestFailedReadersReleaseTheKey(t *testing.T) {
	ring := newRing("default")
	env, body, _ := ring.upload(t, photo, protections()[0], manyPieces(3, 100)...)
	object, err := encryption.NewService(ring, encryption.Options{}).OpenObject(t.Context(), photo, env, nil, int64(len(body)))
	require.NoError(t, err)
	key := object.Key()
	body[len(body)-1] ^= 1
	_, err = object.Range(t.Context(), 250, 10, (&store{stored: body}).fetch)
	require.Equal(t, kms.ErrDecrypt, err)
	r, err := object.Range(t.Context(), 0, 300, (&store{stored: body}).fetch)
	require.NoError(t, err)
	_, err = object.Range(t.Context(), 120, 10, (&store{stored: body[:172]}).fetch)
	require.Equal(t, kms.ErrDecrypt, err)
	require.NoError(t, object.Close())
	_, err = io.ReadAll(r)
	require.Equal(t, kms.ErrDecrypt, err)
	require.Zero(t, key.Len())
}

// A part that was opened stays the same one for as long as it is held open.
func TestPartPutInThePlaceOfAnOpenedOneIsRefused(t *testing.T) {
	ring := newRing("default")
	u := newUpload(t, ring, photo, protections()[0])
	u.put(t, 1, random(100))
	earlier := u.parts[1].body
	u.put(t, 1, random(100))
	u.put(t, 2, random(100))
	env, body := u.complete(t, 1, 2)
	object, err := u.service().OpenObject(t.Context(), photo, env, nil, int64(len(body)))
	require.NoError(t, err)
	defer object.Close()
	r, err := object.Range(t.Context(), 0, 1, (&store{stored: body}).fetch)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	replaced := append(bytes.Clone(earlier), body[len(earlier):]...)
	_, err = object.Range(t.Context(), 0, 1, (&store{stored: replaced}).fetch)
	require.Equal(t, kms.ErrDecrypt, err)
}
