package encryption_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/cobblestone"
)

func TestObjectsComeBack(t *testing.T) {
	svc := encryption.NewService(newRing("default", "other"), encryption.Options{})
	for _, p := range protections() {
		for _, size := range sizes {
			t.Run(p.name+"/"+strconv.Itoa(size), func(t *testing.T) {
				plain := random(size)
				env, stored := put(t, svc, photo, p.write(), plain)
				require.EqualValues(t, encryption.StoredSize(int64(size)), len(stored))
				require.EqualValues(t, size, env.PlainSize())
				require.Equal(t, p.write().Mode, env.Mode())
				require.Equal(t, p.write().BucketKey, env.BucketKey())
				require.Equal(t, p.write().Context, env.Context())
				if size > 16 {
					require.NotContains(t, string(stored), string(plain[:16]))
				}

				parsed, err := encryption.ParseEnvelope(env.Map())
				require.NoError(t, err)
				require.Equal(t, env, parsed)
				got, err := get(t.Context(), svc, photo, parsed, p.read(), bytes.NewReader(stored))
				require.NoError(t, err)
				require.True(t, bytes.Equal(plain, got))
			})
		}
	}
}

func TestEveryWayOfReadingYieldsTheSameBytes(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	for _, size := range sizes {
		for _, declared := range []int{0, size} {
			t.Run(strconv.Itoa(size)+"/"+strconv.Itoa(declared), func(t *testing.T) {
				plain := random(size)
				req := &encryption.Request{Mode: encryption.SSES3, PlainSize: int64(declared)}
				object, err := svc.EncryptStream(t.Context(), photo, req, iotest.OneByteReader(bytes.NewReader(plain)))
				require.NoError(t, err)
				var stored bytes.Buffer
				n, err := object.WriteTo(&stored)
				require.NoError(t, err)
				require.EqualValues(t, stored.Len(), n)
				env, err := object.Envelope()
				require.NoError(t, err)

				for _, stored := range []io.Reader{
					bytes.NewReader(stored.Bytes()),
					iotest.OneByteReader(bytes.NewReader(stored.Bytes())),
					iotest.DataErrReader(bytes.NewReader(stored.Bytes())),
				} {
					r, err := svc.DecryptStream(t.Context(), photo, env, nil, stored)
					require.NoError(t, err)
					got, err := io.ReadAll(iotest.OneByteReader(r))
					require.NoError(t, err)
					require.True(t, bytes.Equal(plain, got))
				}

				r, err := svc.DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(stored.Bytes()))
				require.NoError(t, err)
				var got bytes.Buffer
				n, err = r.(io.WriterTo).WriteTo(&got)
				require.NoError(t, err)
				require.EqualValues(t, size, n)
				require.True(t, bytes.Equal(plain, got.Bytes()))
				n, err = r.(io.WriterTo).WriteTo(&got)
				require.NoError(t, err)
				require.Zero(t, n)
			})
		}
	}
}

func TestEnvelopeOfUndeclaredSizeIsThereAtTheEnd(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	object, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3}, bytes.NewReader(random(chunk+1)))
	require.NoError(t, err)
	require.Equal(t, "default", object.KeyID())

	var b [1]byte
	for range encryption.StoredSize(chunk + 1) {
		_, err := object.Envelope()
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		require.EqualValues(t, -1, object.StoredSize())
		require.Empty(t, object.ETag())
		_, err = object.Read(b[:])
		require.NoError(t, err)
	}
	_, err = object.Read(b[:])
	require.Equal(t, io.EOF, err)
	env, err := object.Envelope()
	require.NoError(t, err)
	require.EqualValues(t, chunk+1, env.PlainSize())
	require.Equal(t, encryption.StoredSize(chunk+1), object.StoredSize())

	n, err := object.Read(b[:])
	require.Zero(t, n)
	require.Equal(t, io.EOF, err)
	written, err := object.WriteTo(io.Discard)
	require.Zero(t, written)
	require.NoError(t, err)
	require.NoError(t, object.Close())
	again, err := object.Envelope()
	require.NoError(t, err)
	require.Same(t, env, again)
}

func TestEnvelopeOfDeclaredSizeIsThereAtOnce(t *testing.T) {
	ring := newRing("default")
	svc := encryption.NewService(ring, encryption.Options{})
	plain := random(chunk + 1)
	object, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3, PlainSize: chunk + 1}, bytes.NewReader(plain))
	require.NoError(t, err)
	require.Zero(t, ring.plaintexts[0].Len(), "the data key has done its work")
	env, err := object.Envelope()
	require.NoError(t, err)
	require.Equal(t, encryption.StoredSize(chunk+1), object.StoredSize())
	require.Empty(t, object.ETag())

	stored, err := io.ReadAll(object)
	require.NoError(t, err)
	require.Len(t, object.ETag(), 32)
	got, err := get(t.Context(), svc, photo, env, nil, bytes.NewReader(stored))
	require.NoError(t, err)
	require.Equal(t, plain, got)
}

func TestBodyOfAnotherSizeThanDeclaredFails(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	tests := []struct {
		name           string
		declared, size int
	}{
		{"one byte too many", 1, 2},
		{"one byte too few", 2, 1},
		{"no body", 1, 0},
		{"one byte more than a chunk", chunk, chunk + 1},
		{"one byte less than a chunk", chunk, chunk - 1},
		{"one chunk too many", chunk, 2 * chunk},
		{"one chunk too few", 2 * chunk, chunk},
		{"far too many", 10, 10 * chunk},
	}
	for _, tt := range tests {
		for _, wrap := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader} {
			t.Run(tt.name, func(t *testing.T) {
				req := &encryption.Request{Mode: encryption.SSES3, PlainSize: int64(tt.declared), MD5: true}
				object, err := svc.EncryptStream(t.Context(), photo, req, wrap(bytes.NewReader(random(tt.size))))
				require.NoError(t, err)
				stored, err := io.ReadAll(object)
				requireFailed(t, object, err, kms.ErrInvalidRequest)
				require.Less(t, int64(len(stored)), encryption.StoredSize(int64(tt.declared)))
			})
		}
	}
}

func TestNoMoreThanTheDeclaredSizeAndOneByteIsRead(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	body := &countingReader{r: bytes.NewReader(random(10 * chunk))}
	object, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3, PlainSize: chunk}, body)
	require.NoError(t, err)
	require.Zero(t, body.n)
	_, err = io.Copy(io.Discard, object)
	requireFailed(t, object, err, kms.ErrInvalidRequest)
	require.EqualValues(t, chunk+1, body.n)
}

// requireFailed checks that an object that has failed is none, for ever.
func requireFailed(t *testing.T, object *encryption.EncryptedObject, err, want error) {
	t.Helper()
	for range 2 {
		require.ErrorIs(t, err, want)
		_, err = object.Envelope()
		require.ErrorIs(t, err, want)
		require.EqualValues(t, -1, object.StoredSize())
		require.Empty(t, object.ETag())
		var n int64
		n, err = object.WriteTo(io.Discard)
		require.Zero(t, n)
		require.ErrorIs(t, err, want)
		_, err = object.Read(make([]byte, 1))
		require.NoError(t, object.Close())
	}
}

func TestBrokenBodyIsNoObject(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	broken := errors.New("the client has gone")
	for _, failure := range []error{broken, io.ErrUnexpectedEOF} {
		for _, declared := range []int64{0, 3 * chunk} {
			for _, size := range []int{0, 1, chunk, chunk + 1} {
				body := io.MultiReader(bytes.NewReader(random(size)), iotest.ErrReader(failure))
				object, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3, PlainSize: declared}, body)
				require.NoError(t, err)
				_, err = io.Copy(io.Discard, object)
				requireFailed(t, object, err, failure)
			}
		}
	}
}

func TestBrokenWriterIsNoEnd(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	full := errors.New("disk full")
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, random(3*chunk))
	for failure, want := range map[error]error{full: full, io.EOF: io.ErrUnexpectedEOF, nil: io.ErrShortWrite} {
		broken := writerFunc(func([]byte) (int, error) { return 0, failure })
		object, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3}, bytes.NewReader(random(3*chunk)))
		require.NoError(t, err)
		_, err = object.WriteTo(broken)
		requireFailed(t, object, err, want)

		r, err := svc.DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(body))
		require.NoError(t, err)
		for range 2 {
			_, err = r.(io.WriterTo).WriteTo(broken)
			require.ErrorIs(t, err, want)
		}
	}
}

func TestClosedBeforeItsEndIsNoObject(t *testing.T) {
	for _, declared := range []int64{0, 10} {
		ring := newRing("default")
		svc := encryption.NewService(ring, encryption.Options{})
		object, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3, PlainSize: declared}, bytes.NewReader(random(10)))
		require.NoError(t, err)
		require.NoError(t, object.Close())
		require.Zero(t, ring.plaintexts[0].Len())
		_, err = object.Read(make([]byte, 1))
		requireFailed(t, object, err, kms.ErrClosed)
	}
}

func TestETag(t *testing.T) {
	svc := encryption.NewService(newRing("default", "other"), encryption.Options{})
	plain := random(chunk + 5)
	sum := md5.Sum(plain)
	for _, p := range protections() {
		for _, want := range []bool{true, false} {
			t.Run(p.name, func(t *testing.T) {
				etag := func() string {
					req := p.write()
					req.MD5 = want
					object, err := svc.EncryptStream(t.Context(), photo, req, bytes.NewReader(plain))
					require.NoError(t, err)
					_, err = io.Copy(io.Discard, object)
					require.NoError(t, err)
					require.NoError(t, object.Close())
					return object.ETag()
				}
				if want && p.write().Mode == encryption.SSES3 {
					require.Equal(t, hex.EncodeToString(sum[:]), etag())
					return
				}
				require.Regexp(t, "^[0-9a-f]{32}$", etag())
				require.NotEqual(t, hex.EncodeToString(sum[:]), etag())
				require.NotEqual(t, etag(), etag(), "opaque")
			})
		}
	}
}

func TestEqualObjectsLookDifferent(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	a, bodyA := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, []byte("the same"))
	b, bodyB := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, []byte("the same"))
	require.NotEqual(t, text(t, a), text(t, b))
	require.NotEqual(t, bodyA[cobblestone.HeaderSize:], bodyB[cobblestone.HeaderSize:])
}

func TestSizesWithoutAKey(t *testing.T) {
	for _, size := range sizes {
		plain, err := encryption.PlainSize(encryption.StoredSize(int64(size)))
		require.NoError(t, err)
		require.EqualValues(t, size, plain)
	}
	require.EqualValues(t, -1, encryption.StoredSize(-1))
	require.EqualValues(t, -1, encryption.StoredSize(encryption.MaxPlainSize+1))
	for _, stored := range []int64{-1, 0, 71, encryption.StoredSize(chunk-1) + 1, encryption.StoredSize(encryption.MaxPlainSize) + 17} {
		_, err := encryption.PlainSize(stored)
		require.ErrorIs(t, err, kms.ErrDecrypt, stored)
	}
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
