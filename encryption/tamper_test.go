package encryption_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strconv"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
)

// readAll reads an object in every way that the package has. It returns an error only if all of them fail, which is what
// a changed object must bring about.
func readAll(t *testing.T, svc *encryption.Service, id encryption.ObjectID, env *encryption.Envelope, req func() *encryption.Request, stored []byte) error {
	t.Helper()
	_, err := get(t.Context(), svc, id, env, req(), bytes.NewReader(stored))
	object, openErr := svc.OpenObject(t.Context(), id, env, req(), int64(len(stored)))
	if openErr != nil {
		require.Error(t, err)
		return err
	}
	defer object.Close()
	readerAt, readErr := object.NewReaderAt(bytes.NewReader(stored))
	if readErr == nil {
		_, readErr = io.Copy(io.Discard, io.NewSectionReader(readerAt, 0, object.Size()))
	}
	r, rangeErr := object.Range(t.Context(), 0, object.Size(), (&store{stored: stored}).fetch)
	if rangeErr == nil {
		_, rangeErr = io.Copy(io.Discard, r)
	}
	// A ReaderAt reads no chunk in which there is nothing, so it may not see what happened to an empty last one.
	if object.Size()%chunk != 0 || readErr != nil {
		require.Equal(t, err == nil, readErr == nil)
	}
	require.Equal(t, err == nil, rangeErr == nil)
	return errors.Join(err, readErr, rangeErr)
}

// Two objects, and every way to read one with some parts of the other.
func TestSwappedPartsAreRefused(t *testing.T) {
	ring := newRing("default", "other")
	svc := encryption.NewService(ring, encryption.Options{})
	type object struct {
		id   encryption.ObjectID
		read func() *encryption.Request
		body []byte
		env  encryption.Parts
	}
	for _, p := range protections() {
		for _, q := range protections() {
			t.Run(p.name+" and "+q.name, func(t *testing.T) {
				store := func(id encryption.ObjectID, p protection) object {
					env, body := put(t, svc, id, p.write(), []byte("the same plaintext"))
					return object{id: id, read: p.read, body: body, env: env.Parts()}
				}
				a := store(encryption.ObjectID{Bucket: "a", Key: "b/c", Version: "1"}, p)
				b := store(encryption.ObjectID{Bucket: "b", Key: "c", Version: "2"}, q)
				require.NoError(t, readAll(t, svc, a.id, a.env.Envelope(), a.read, a.body))
				require.NoError(t, readAll(t, svc, b.id, b.env.Envelope(), b.read, b.body))

				const swaps = 10
				accepted := 0
				for mask := 1; mask < 1<<swaps-1; mask++ {
					x, other := a, b
					swap := []func(){
						func() { x.body = other.body },
						func() { x.id.Bucket = other.id.Bucket },
						func() { x.id.Key = other.id.Key },
						func() { x.id.Version = other.id.Version },
						func() { x.env.Mode = other.env.Mode },
						func() { x.env.BucketKey = other.env.BucketKey },
						func() { x.env.KeyID = other.env.KeyID },
						func() { x.env.Context = other.env.Context },
						func() { x.env.Sealed = other.env.Sealed },
						func() { x.env.Wrapped = other.env.Wrapped },
					}
					for i := range swaps {
						if mask&(1<<i) != 0 {
							swap[i]()
						}
					}
					if same(x.env, a.env) && x.id == a.id && bytes.Equal(x.body, a.body) || same(x.env, b.env) && x.id == b.id && bytes.Equal(x.body, b.body) {
						continue // what was swapped was equal
					}
					read := x.read
					if x.env.Mode == encryption.SSEC {
						read = func() *encryption.Request { return &encryption.Request{CustomerKey: customerKey()} }
					}
					env, err := encryption.ParseEnvelope(x.env.Envelope().Map())
					if err == nil {
						_, err = get(t.Context(), svc, x.id, env, read(), bytes.NewReader(x.body))
					}
					if err == nil {
						accepted++
						t.Logf("accepted: %010b", mask)
					}
				}
				require.Zero(t, accepted)
			})
		}
	}
}

func same(a, b encryption.Parts) bool {
	return a.Mode == b.Mode && a.BucketKey == b.BucketKey && a.KeyID == b.KeyID && bytes.Equal(a.Context, b.Context) &&
		reflect.DeepEqual(a.Layout, b.Layout) && bytes.Equal(a.Sealed, b.Sealed) && bytes.Equal(a.Wrapped, b.Wrapped)
}

func TestOtherNamesAreRefused(t *testing.T) {
	svc := encryption.NewService(newRing("default", "other"), encryption.Options{})
	id := encryption.ObjectID{Bucket: "bucket", Key: "a/b", Version: "v1"}
	others := []encryption.ObjectID{
		{Bucket: "Bucket", Key: "a/b", Version: "v1"},
		{Bucket: "bucket2", Key: "a/b", Version: "v1"},
		{Bucket: "bucket", Key: "a/B", Version: "v1"},
		{Bucket: "bucket", Key: "a//b", Version: "v1"},
		{Bucket: "bucket", Key: "a/./b", Version: "v1"},
		{Bucket: "bucket", Key: "/a/b", Version: "v1"},
		{Bucket: "bucket", Key: "a/b/", Version: "v1"},
		{Bucket: "bucket", Key: "a/b", Version: "v2"},
		{Bucket: "bucket", Key: "a/b"},
		{Bucket: "bucket", Key: "a/b", Version: "null"},
		{Bucket: "bucket", Key: "a/bv1"},
	}
	for _, p := range protections() {
		env, body := put(t, svc, id, p.write(), random(10))
		require.NoError(t, readAll(t, svc, id, env, p.read, body))
		for _, other := range others {
			requireNotOpened(t, env.Mode(), firstJoined(readAll(t, svc, other, env, p.read, body)))
		}
	}
}

func TestNoVersionAndNullAreOne(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	id, null := photo, photo
	null.Version = "null"
	env, body := put(t, svc, id, &encryption.Request{Mode: encryption.SSES3}, nil)
	require.NoError(t, readAll(t, svc, null, env, protections()[0].read, body))
	env, body = put(t, svc, null, &encryption.Request{Mode: encryption.SSES3}, nil)
	require.NoError(t, readAll(t, svc, id, env, protections()[0].read, body))
}

// firstJoined returns the first error of readAll, so that plain sentinels can be told.
func firstJoined(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}

func TestChangedBodiesAreRefused(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	const header, stored = cobblestone.HeaderSize, chunk + 16
	changes := []struct {
		name   string
		change func(body []byte) []byte
	}{
		{"nothing left", func(b []byte) []byte { return nil }},
		{"header only", func(b []byte) []byte { return b[:header] }},
		{"cut in the header", func(b []byte) []byte { return b[:header-1] }},
		{"cut tail", func(b []byte) []byte { return b[:len(b)-1] }},
		{"cut last chunk", func(b []byte) []byte { return b[:header+(len(b)-header)/stored*stored] }},
		{"cut to one chunk", func(b []byte) []byte { return b[:header+stored] }},
		{"extra byte", func(b []byte) []byte { return append(b, 0) }},
		{"extra chunk", func(b []byte) []byte { return append(b, b[header:header+stored]...) }},
		{"byte missing in front", func(b []byte) []byte { return b[1:] }},
		{"swapped chunks", func(b []byte) []byte {
			first := bytes.Clone(b[header : header+stored])
			copy(b[header:], b[header+stored:header+2*stored])
			copy(b[header+stored:], first)
			return b
		}},
		{"chunk repeated", func(b []byte) []byte { copy(b[header+stored:], b[header:header+stored]); return b }},
		{"chunk dropped", func(b []byte) []byte { return append(b[:header], b[header+stored:]...) }},
		{"bit in the salt", func(b []byte) []byte { b[0] ^= 1; return b }},
		{"bit in the commitment", func(b []byte) []byte { b[header-1] ^= 1; return b }},
		{"bit in the first chunk", func(b []byte) []byte { b[header] ^= 1; return b }},
		{"bit in the last tag", func(b []byte) []byte { b[len(b)-1] ^= 0x80; return b }},
	}
	for _, size := range []int{2 * chunk, 2*chunk + 1, 3*chunk - 1} {
		env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, random(size))
		for _, tt := range changes {
			t.Run(tt.name+"/"+strconv.Itoa(size), func(t *testing.T) {
				changed := tt.change(bytes.Clone(body))
				err := readAll(t, svc, photo, env, protections()[0].read, changed)
				require.Equal(t, kms.ErrDecrypt, firstJoined(err))
				if len(changed) != len(body) {
					_, err := svc.OpenObject(t.Context(), photo, env, nil, int64(len(changed)))
					require.ErrorIs(t, err, kms.ErrDecrypt)
					_, err = encryption.Info(env, int64(len(changed)))
					require.ErrorIs(t, err, kms.ErrDecrypt)
				}
			})
		}
	}
}

func TestEveryChangedBitOfASmallBodyIsRefused(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, []byte("abc"))
	for bit := range 8 * len(body) {
		body[bit/8] ^= 1 << (bit % 8)
		_, err := svc.DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(body))
		require.Equal(t, kms.ErrDecrypt, err, "before the first byte")
		body[bit/8] ^= 1 << (bit % 8)
	}
}

// A body of another size under the same object key can be made only by who has the key. It is refused all the same.
func TestBodyOfAnotherSizeThanTheEnvelopeSaysIsRefused(t *testing.T) {
	ring := newRing("default")
	svc := encryption.NewService(ring, encryption.Options{})
	for _, sizes := range [][2]int{{10, 11}, {11, 10}, {chunk, chunk + 1}, {chunk + 1, chunk}, {chunk, 2 * chunk}, {2 * chunk, chunk}, {0, 1}, {1, 0}} {
		env, _ := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, random(sizes[0]))
		parts := env.Parts()
		key, err := cobblestone.Open(nil, ring.issued[len(ring.issued)-1], parts.SealContext(photo), parts.Sealed)
		require.NoError(t, err)
		body, err := cobblestone.Seal(nil, key, encctx.Bind(nil, "object"), random(sizes[1]))
		require.NoError(t, err)
		got, err := get(t.Context(), svc, photo, env, nil, bytes.NewReader(body))
		require.Equal(t, kms.ErrDecrypt, err, sizes)
		require.LessOrEqual(t, len(got), min(sizes[0], sizes[1])/chunk*chunk)
	}
}

func TestFailedReaderFailsForEver(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, random(3*chunk))
	body[len(body)-17] ^= 1
	r, err := svc.DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(body))
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.Equal(t, kms.ErrDecrypt, err)
	require.Len(t, got, 2*chunk)
	for range 3 {
		n, err := r.Read(make([]byte, 10))
		require.Zero(t, n)
		require.Equal(t, kms.ErrDecrypt, err)
		written, err := r.(io.WriterTo).WriteTo(io.Discard)
		require.Zero(t, written)
		require.Equal(t, kms.ErrDecrypt, err)
		require.NoError(t, r.Close())
	}
}

func TestErrorsOfTheStoreAreRecognised(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, random(3*chunk))
	broken := errors.New("disk on fire")
	for _, cut := range []int{0, 10, cobblestone.HeaderSize, 100, chunk, len(body) - 1, len(body)} {
		_, err := get(t.Context(), svc, photo, env, nil, io.MultiReader(bytes.NewReader(body[:cut]), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken, cut)
		require.NotErrorIs(t, err, kms.ErrDecrypt)
		_, err = get(t.Context(), svc, photo, env, nil, io.MultiReader(bytes.NewReader(body[:cut]), iotest.ErrReader(io.ErrUnexpectedEOF)))
		require.Equal(t, kms.ErrDecrypt, err, cut)
		require.NotErrorIs(t, err, io.EOF)
	}
	_, err := get(t.Context(), svc, photo, env, nil, io.MultiReader(bytes.NewReader(body), idleReader{}))
	require.ErrorIs(t, err, io.ErrNoProgress)
}

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

func TestClosedReaderIsClosed(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, random(10))
	for _, read := range []int64{0, 1, 10, 11} {
		stored := &closeCounter{Reader: bytes.NewReader(body)}
		r, err := svc.DecryptStream(t.Context(), photo, env, nil, stored)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, struct{ io.Reader }{io.LimitReader(r, read)})
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.NoError(t, r.Close())
		_, err = r.Read(make([]byte, 1))
		require.Equal(t, kms.ErrClosed, err)
		require.Zero(t, stored.closed, "who opens, closes")
	}
}

type closeCounter struct {
	io.Reader
	closed int
	err    error
}

func (c *closeCounter) Close() error {
	c.closed++
	return c.err
}
