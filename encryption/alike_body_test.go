package encryption_test

import (
	"bytes"
	"context"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/cobblestone"
)

const storedChunk = chunk + 16

// A messageOf is where one message lies in a body. Its second chunk is what is read and changed.
type messageOf struct {
	begin, end int // in the stored body
	plain      int // where it begins in the object
}

// spoil returns what may be wrong with a message of a body. foreign is another body with the same layout.
func (m messageOf) spoil(body, foreign []byte) map[string][]byte {
	first := m.begin + cobblestone.HeaderSize
	second := first + storedChunk
	flip := func(at int) []byte {
		b := bytes.Clone(body)
		b[at] ^= 0x10
		return b
	}
	replace := func(begin int, by []byte) []byte {
		return slices.Concat(body[:begin], by, body[begin+len(by):])
	}
	spoiled := map[string][]byte{
		"salt":                            flip(m.begin),
		"commitment":                      flip(first - 1),
		"ciphertext":                      flip(second),
		"tag":                             flip(second + storedChunk - 1),
		"swapped chunks":                  replace(first, slices.Concat(body[second:second+storedChunk], body[first:second])),
		"a chunk twice":                   replace(second, body[first:second]),
		"a chunk of another key":          replace(second, foreign[second:second+storedChunk]),
		"all chunks of another key":       replace(first, foreign[first:m.end]),
		"another key":                     replace(m.begin, foreign[m.begin:m.end]),
		"cut in front of the header":      body[:m.begin],
		"cut in the header":               body[:first-1],
		"cut in front of the chunk":       body[:second],
		"cut in the chunk":                body[:second+storedChunk/2],
		"cut in the tag of the chunk":     body[:second+storedChunk-1],
		"the chunk is lost":               slices.Concat(body[:second], body[second+storedChunk:]),
		"a byte is lost in the chunk":     slices.Concat(body[:second], body[second+1:]),
		"a byte too many in front of it":  slices.Concat(body[:second], []byte{0}, body[second:]),
		"zeroes in the place of a header": replace(m.begin, make([]byte, cobblestone.HeaderSize)),
	}
	if m.begin > 0 {
		other := body[m.begin-(m.end-m.begin) : m.begin]
		spoiled["another part"] = replace(m.begin, other)
		spoiled["swapped parts"] = replace(m.begin-len(other), slices.Concat(body[m.begin:m.end], other))
	}
	return spoiled
}

// readBody reads a few bytes from off, and all, in every way that there is, of a body that has its size but may have lost its end. It returns the
// error of each way.
func readBody(t *testing.T, svc *encryption.Service, env *encryption.Envelope, p protection, size int, stored []byte, off int64) map[string]error {
	t.Helper()
	const n = 10
	object, err := svc.OpenObject(t.Context(), photo, env, p.read(), int64(size))
	require.NoError(t, err)
	defer object.Close()
	source := bytes.NewReader(stored)
	ranged := func(off, n int64, read func(io.Reader) ([]byte, error)) error {
		r, err := object.Range(t.Context(), off, n, func(_ context.Context, off, n int64) (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(source, off, n)), nil
		})
		if err == nil {
			defer r.Close()
			_, err = read(r)
		}
		return err
	}
	streamed := func(read func(io.Reader) ([]byte, error)) error {
		r, err := svc.DecryptStream(t.Context(), photo, env, p.read(), bytes.NewReader(stored))
		if err == nil {
			defer r.Close()
			_, err = read(r)
		}
		return err
	}
	readAt := func(read func(*encryption.ReaderAt) error) error {
		r, err := object.NewReaderAt(source)
		if err == nil {
			err = read(r)
		}
		return err
	}
	return map[string]error{
		"Read of a stream":           streamed(io.ReadAll),
		"WriteTo of a stream":        streamed(writeOut),
		"Read of a range":            ranged(off, n, io.ReadAll),
		"WriteTo of a range":         ranged(off, n, writeOut),
		"Read of a range of all":     ranged(0, object.Size(), io.ReadAll),
		"WriteTo of a range of all":  ranged(0, object.Size(), writeOut),
		"ReadAt":                     readAt(func(r *encryption.ReaderAt) error { _, err := r.ReadAt(make([]byte, n), off); return err }),
		"ReadAt from a chunk before": readAt(func(r *encryption.ReaderAt) error { _, err := r.ReadAt(make([]byte, chunk), off-chunk); return err }),
		"Prefetch":                   readAt(func(r *encryption.ReaderAt) error { return r.Prefetch(off) }),
	}
}

// Nobody learns from the error of a read what was wrong with the body: the key, which part of a chunk, its place, or that something is missing.
func TestFailuresToReadABodyAreAlike(t *testing.T) {
	for _, p := range protections() {
		ring := newRing("default", "other")
		svc := encryption.NewService(ring, encryption.Options{})
		plain := random(3*chunk + 100)
		env, body := put(t, svc, photo, p.write(), plain)
		_, foreign := put(t, svc, photo, p.write(), plain)
		t.Run(p.name, func(t *testing.T) {
			requireAlike(t, svc, env, p, body, foreign, messageOf{end: len(body)})
		})

		pieces := []piece{{1, 2*chunk + 7}, {2, 2*chunk + 7}, {3, 100}}
		env, body, _ = ring.upload(t, photo, p, pieces...)
		_, foreign, _ = ring.upload(t, photo, p, pieces...)
		part := int(encryption.StoredSize(2*chunk + 7))
		t.Run(p.name+" in parts", func(t *testing.T) {
			requireAlike(t, svc, env, p, body, foreign, messageOf{part, 2 * part, 2*chunk + 7})
		})
	}
}

func requireAlike(t *testing.T, svc *encryption.Service, env *encryption.Envelope, p protection, body, foreign []byte, m messageOf) {
	t.Helper()
	off := int64(m.plain) + chunk + 5
	for way, err := range readBody(t, svc, env, p, len(body), body, off) {
		require.NoError(t, err, way)
	}
	for name, stored := range m.spoil(body, foreign) {
		for way, err := range readBody(t, svc, env, p, len(body), stored, off) {
			require.Equal(t, kms.ErrDecrypt, err, "%s: %s", way, name)
		}
	}
}
