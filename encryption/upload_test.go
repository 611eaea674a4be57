package encryption_test

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/encryption"
)

// layouts are rows of parts that every way through the package must get right.
var layouts = map[string][]piece{
	"one part":                {{1, 100}},
	"one part, high number":   {{10_000, chunk + 1}},
	"one empty part":          {{1, 0}},
	"three equal and a tail":  {{1, 2 * chunk}, {2, 2 * chunk}, {3, 2 * chunk}, {4, 77}},
	"unequal":                 {{1, 5}, {2, chunk}, {3, chunk - 1}, {4, 2*chunk + 3}, {5, 5}},
	"gaps":                    {{2, chunk}, {3, chunk}, {7, chunk}, {10_000, 1}},
	"empty in front":          {{1, 0}, {2, 0}, {3, chunk + 9}},
	"empty in between":        {{1, chunk}, {2, 0}, {5, 0}, {6, 10}},
	"empty at the end":        {{1, chunk}, {2, 10}, {3, 0}},
	"all empty":               {{1, 0}, {2, 0}, {4, 0}},
	"more than are held open": manyPieces(40, 100),
}

func manyPieces(count, size int) []piece {
	pieces := make([]piece, count)
	for i := range pieces {
		pieces[i] = piece{i + 1, size}
	}
	return pieces
}

func TestObjectsInParts(t *testing.T) {
	ring := newRing("default", "other")
	for _, p := range protections() {
		for name, pieces := range layouts {
			t.Run(p.name+", "+name, func(t *testing.T) {
				env, body, plain := ring.upload(t, photo, p, pieces...)
				require.EqualValues(t, len(plain), env.PlainSize())
				require.Equal(t, p.write().Mode, env.Mode())
				require.Equal(t, p.write().BucketKey, env.BucketKey())
				require.Equal(t, p.write().Context, env.Context())
				info, err := encryption.Info(env, int64(len(body)))
				require.NoError(t, err)
				require.Equal(t, len(pieces), info.Parts)
				require.EqualValues(t, len(plain), info.PlainSize)
				requireReadable(t, ring, photo, env, p, body, plain)
			})
		}
	}
}

// requireReadable reads an object in every way, in a process that has seen nothing of it.
func requireReadable(t *testing.T, ring *ring, id encryption.ObjectID, env *encryption.Envelope, p protection, body, plain []byte) {
	t.Helper()
	svc := encryption.NewService(ring, encryption.Options{})
	for name, stored := range map[string]io.Reader{"at once": bytes.NewReader(body), "byte by byte": iotest.OneByteReader(bytes.NewReader(body)), "with its end": iotest.DataErrReader(bytes.NewReader(body))} {
		got, err := get(t.Context(), svc, id, env, p.read(), stored)
		require.NoError(t, err, name)
		require.True(t, bytes.Equal(plain, got), name)
	}
	r, err := svc.DecryptStream(t.Context(), id, env, p.read(), bytes.NewReader(body))
	require.NoError(t, err)
	defer r.Close()
	var written bytes.Buffer
	n, err := r.(io.WriterTo).WriteTo(&written)
	require.NoError(t, err)
	require.EqualValues(t, len(plain), n)
	require.True(t, bytes.Equal(plain, written.Bytes()))

	object, err := svc.OpenObject(t.Context(), id, env, p.read(), int64(len(body)))
	require.NoError(t, err)
	defer object.Close()
	require.EqualValues(t, len(plain), object.Size())
	readerAt, err := object.NewReaderAt(bytes.NewReader(body))
	require.NoError(t, err)
	got, err := io.ReadAll(io.NewSectionReader(readerAt, 0, object.Size()))
	require.NoError(t, err)
	require.True(t, bytes.Equal(plain, got))
	part, err := object.Range(t.Context(), 0, object.Size(), (&store{stored: body}).fetch)
	require.NoError(t, err)
	defer part.Close()
	require.NoError(t, iotest.TestReader(struct{ io.Reader }{part}, plain))
}
