package encryption_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
)

// attributed is what a server stores of an object with an attribute.
type attributed struct {
	id   encryption.ObjectID
	p    protection
	env  *encryption.Envelope
	body []byte
	text []byte
}

// putWithChecksum does what a PUT does whose checksum is known when the body was read.
func putWithChecksum(t *testing.T, svc *encryption.Service, id encryption.ObjectID, p protection, declared int64) attributed {
	t.Helper()
	req := p.write()
	req.PlainSize = declared
	object, err := svc.EncryptStream(t.Context(), id, req, strings.NewReader("meow"))
	require.NoError(t, err)
	defer object.Close()
	body, err := io.ReadAll(object)
	require.NoError(t, err)
	text, err := object.SealAttribute("checksum", []byte("sha256:meow"))
	require.NoError(t, err)
	env, err := object.Envelope()
	require.NoError(t, err)
	return attributed{id, p, env, body, text}
}

func (a attributed) open(t *testing.T, svc *encryption.Service) *encryption.Object {
	t.Helper()
	object, err := svc.OpenObject(t.Context(), a.id, a.env, a.p.read(), int64(len(a.body)))
	require.NoError(t, err)
	t.Cleanup(func() { object.Close() })
	return object
}

func TestAttributesOfAPut(t *testing.T) {
	ring := newRing("default", "other")
	for _, p := range protections() {
		for _, declared := range []int64{0, 4} {
			t.Run(p.name, func(t *testing.T) {
				a := putWithChecksum(t, encryption.NewService(ring, encryption.Options{}), photo, p, declared)
				require.NotContains(t, string(a.text), "meow")
				object := a.open(t, encryption.NewService(ring, encryption.Options{}))
				value, err := object.OpenAttribute("checksum", a.text)
				require.NoError(t, err)
				require.Equal(t, "sha256:meow", string(value))

				_, err = object.NewReaderAt(bytes.NewReader(a.body)) // the key is still needed
				require.NoError(t, err)
				later, err := object.SealAttribute("replicated", nil)
				require.NoError(t, err)
				value, err = object.OpenAttribute("replicated", later)
				require.NoError(t, err)
				require.Empty(t, value)
			})
		}
	}
}

// Body and object key stay what they are when an envelope is made anew, and so do attributes.
func TestAttributesStayAsTheyAreOnCopies(t *testing.T) {
	ring := newRing("default", "other")
	svc := encryption.NewService(ring, encryption.Options{})
	for _, p := range protections() {
		for _, q := range protections() {
			a := putWithChecksum(t, svc, photo, p, 0)
			to := encryption.ObjectID{Bucket: "archive", Key: "cat", Version: "1"}
			env, err := svc.Rewrap(t.Context(), a.id, a.env, p.read(), to, q.write())
			require.NoError(t, err)
			value, err := attributed{to, q, env, a.body, nil}.open(t, svc).OpenAttribute("checksum", a.text)
			require.NoError(t, err)
			require.Equal(t, "sha256:meow", string(value))
		}
	}
}

func TestAttributesOfUploads(t *testing.T) {
	ring := newRing("default", "other")
	for _, p := range protections() {
		u := newUpload(t, ring, photo, p)
		u.put(t, 1, []byte("meow"))
		ofPart, err := u.opened(t).SealAttribute("part 1 checksum", []byte("1"))
		require.NoError(t, err)
		completing := u.opened(t)
		value, err := completing.OpenAttribute("part 1 checksum", ofPart)
		require.NoError(t, err)
		require.Equal(t, "1", string(value))
		ofObject, err := completing.SealAttribute("checksum", []byte("1-1"))
		require.NoError(t, err)
		env, body := u.complete(t, 1)

		object := attributed{photo, p, env, body, nil}.open(t, u.service())
		for name, text := range map[string][]byte{"part 1 checksum": ofPart, "checksum": ofObject} {
			_, err := object.OpenAttribute(name, text)
			require.NoError(t, err)
		}
		require.NoError(t, completing.Close())
		_, err = completing.SealAttribute("checksum", nil)
		require.Equal(t, kms.ErrClosed, err)
		_, err = completing.OpenAttribute("checksum", ofObject)
		require.Equal(t, kms.ErrClosed, err)
	}
}

// Attributes of two objects in all pairs of modes, and of one object under two names: each opens as itself only.
func TestSwappedAttributesAreRefused(t *testing.T) {
	ring := newRing("default", "other")
	svc := encryption.NewService(ring, encryption.Options{})
	for _, p := range protections() {
		for _, q := range protections() {
			a, b := putWithChecksum(t, svc, photo, p, 0), putWithChecksum(t, svc, photo, q, 0)
			_, err := a.open(t, svc).OpenAttribute("checksum", b.text)
			require.Equal(t, kms.ErrDecrypt, err)
			_, err = a.open(t, svc).OpenAttribute("Checksum", a.text)
			require.Equal(t, kms.ErrDecrypt, err)
		}
		u := newUpload(t, ring, photo, p)
		u.put(t, 1, []byte("meow"))
		raw, err := base64.RawURLEncoding.DecodeString(u.parts[1].receipt)
		require.NoError(t, err)
		opened := u.opened(t)
		for _, other := range [][]byte{raw[2:], u.parts[1].body} {
			_, err = opened.OpenAttribute("checksum", []byte(base64.RawURLEncoding.EncodeToString(other)))
			require.Equal(t, kms.ErrDecrypt, err, "neither a receipt nor a part is an attribute")
		}
	}
}

func TestChangedAttributesAreRefused(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	a := putWithChecksum(t, svc, photo, protections()[0], 0)
	object := a.open(t, svc)
	raw, err := base64.RawURLEncoding.DecodeString(string(a.text))
	require.NoError(t, err)
	for bit := range 8 * len(raw) {
		raw[bit/8] ^= 1 << (bit % 8)
		_, err := object.OpenAttribute("checksum", []byte(base64.RawURLEncoding.EncodeToString(raw)))
		require.Equal(t, kms.ErrDecrypt, err, bit)
		raw[bit/8] ^= 1 << (bit % 8)
	}
	good := string(a.text)
	for _, bad := range []string{good + "\n", good + "=", good[:len(good)-1], good + "A", "!", " " + good, strings.Repeat("A", 1<<16)} {
		_, err := object.OpenAttribute("checksum", []byte(bad))
		require.ErrorIs(t, err, kms.ErrDecrypt)
	}
	_, err = object.OpenAttribute("checksum", nil)
	require.ErrorIs(t, err, kms.ErrInvalidRequest, "not there")
}

func TestBoundsOfAttributes(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	object := putWithChecksum(t, svc, photo, protections()[0], 0).open(t, svc)
	long := strings.Repeat("ü", 127) + "x"
	for _, size := range []int{0, 1, 4096} {
		text, err := object.SealAttribute(long, random(size))
		require.NoError(t, err)
		value, err := object.OpenAttribute(long, text)
		require.NoError(t, err)
		require.Len(t, value, size)
	}
	_, err := object.SealAttribute("checksum", make([]byte, 4097))
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
	for _, name := range []string{"", long + "x", "\xff"} {
		_, err := object.SealAttribute(name, nil)
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		_, err = object.OpenAttribute(name, []byte("AA"))
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
	}
	first, err := object.SealAttribute("a", []byte("same"))
	require.NoError(t, err)
	second, err := object.SealAttribute("a", []byte("same"))
	require.NoError(t, err)
	require.NotEqual(t, first, second, "each seal has a salt of its own")
}

func TestAttributesOfWhatIsClosedOrHasFailed(t *testing.T) {
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	a := putWithChecksum(t, svc, photo, protections()[0], 0)
	object := a.open(t, svc)
	require.NoError(t, object.Close())
	_, err := object.SealAttribute("checksum", nil)
	require.Equal(t, kms.ErrClosed, err)
	_, err = object.OpenAttribute("checksum", a.text)
	require.Equal(t, kms.ErrClosed, err)

	put := func(body io.Reader) *encryption.EncryptedObject {
		t.Helper()
		o, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3}, body)
		require.NoError(t, err)
		return o
	}
	failed := put(iotest.ErrReader(io.ErrClosedPipe))
	_, err = io.ReadAll(failed)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	_, err = failed.SealAttribute("checksum", nil)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	for _, whole := range []bool{false, true} {
		closed := put(strings.NewReader("meow"))
		if whole {
			_, err = io.ReadAll(closed)
			require.NoError(t, err)
		}
		require.NoError(t, closed.Close())
		_, err = closed.SealAttribute("checksum", nil)
		require.Equal(t, kms.ErrClosed, err)
	}
}

// What is sealed opens with nothing but the object key and the name, as FORMAT.md says.
func TestAttributeIsAMessageUnderTheObjectKey(t *testing.T) {
	u := newUpload(t, newRing("default"), photo, protections()[0])
	opened := u.opened(t)
	text, err := opened.SealAttribute("checksum", []byte("1"))
	require.NoError(t, err)
	sealed, err := base64.RawURLEncoding.DecodeString(string(text))
	require.NoError(t, err)
	value, err := cobblestone.Open(nil, opened.Keys()[0].Bytes(), encctx.Bind(nil, "attribute", []byte("checksum")), sealed)
	require.NoError(t, err)
	require.Equal(t, "1", string(value))

	for size, want := range map[int]error{4096: nil, 4097: kms.ErrDecrypt} {
		sealed, err := cobblestone.Seal(nil, opened.Keys()[0].Bytes(), encctx.Bind(nil, "attribute", []byte("checksum")), make([]byte, size))
		require.NoError(t, err)
		_, err = opened.OpenAttribute("checksum", []byte(base64.RawURLEncoding.EncodeToString(sealed)))
		require.ErrorIs(t, err, want)
	}
}
