package encryption_test

import (
	"bytes"
	"crypto/md5"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

func TestUploadsShowNoKey(t *testing.T) {
	for _, p := range protections() {
		ring := newRing("default", "other")
		// A KeyService sees to its own secrets; this one does not.
		svc := encryption.NewService(&struct{ kms.KeyService }{ring}, encryption.Options{})
		write, read := p.write(), p.read()
		created, err := svc.CreateUpload(t.Context(), photo, uploadID, write)
		require.NoError(t, err)
		opened, err := svc.OpenUpload(t.Context(), photo, uploadID, created.State(), read)
		require.NoError(t, err)
		part, err := opened.EncryptPart(1, bytes.NewReader([]byte("plaintext")))
		require.NoError(t, err)
		texts := append(shown(t, part), shown(t, opened)...)
		body, err := io.ReadAll(part)
		require.NoError(t, err)
		receipt, err := part.Receipt()
		require.NoError(t, err)
		env, err := opened.Complete(t.Context(), photo, []encryption.PartReceipt{receipt})
		require.NoError(t, err)
		stream, err := svc.DecryptStream(t.Context(), photo, env, p.read(), bytes.NewReader(body))
		require.NoError(t, err)
		for _, value := range []any{*write, read, created, opened, part, receipt, &receipt, opened.State(), env, stream} {
			texts = append(texts, shown(t, value)...)
		}
		keyMD5 := md5.Sum(testCustomerKey)
		secrets := [][]byte{testCustomerKey, keyMD5[:]}
		for _, key := range opened.Keys() {
			secrets = append(secrets, bytes.Clone(key.Bytes()))
		}
		requireHidden(t, secrets, texts...)
	}
}

func TestReadersOfPartsWipeTheKey(t *testing.T) {
	ring := newRing("default")
	env, body, _ := ring.upload(t, photo, protections()[0], manyPieces(3, 100)...)
	open := func() *encryption.PlainReader {
		r, err := encryption.NewService(ring, encryption.Options{}).DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(body))
		require.NoError(t, err)
		return encryption.PlainReaderOf(r)
	}
	r := open()
	key := r.Key()
	require.Equal(t, 32, key.Len(), "later parts need it")
	_, err := io.CopyN(io.Discard, r, 201)
	require.NoError(t, err)
	require.Zero(t, key.Len(), "the last part is open")
	require.NoError(t, r.Close())

	r = open()
	key = r.Key()
	require.NoError(t, r.Close())
	require.Zero(t, key.Len())
}

func TestPartSizes(t *testing.T) {
	ring := newRing("default")
	env, _, _ := ring.upload(t, photo, protections()[0], piece{2, 5}, piece{3, 5}, piece{9, 1})
	for number, size := range env.PartSizes() {
		require.Equal(t, piece{2, 5}, piece{number, int(size)})
		break
	}
	env, _ = put(t, encryption.NewService(ring, encryption.Options{}), photo, protections()[0].write(), []byte("meow"))
	for range env.PartSizes() {
		t.Error("an object of one message has parts")
	}
}

// With no error a server answers 200 or 206: a byte must be there.
func TestFirstByteIsAuthenticAlsoBehindEmptyParts(t *testing.T) {
	ring := newRing("default")
	svc := encryption.NewService(ring, encryption.Options{})
	env, body, _ := ring.upload(t, photo, protections()[0], piece{1, 0}, piece{2, 0}, piece{3, chunk}, piece{4, 1})
	body[72+72+56] ^= 1
	_, err := svc.DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(body))
	require.Equal(t, kms.ErrDecrypt, err)
	object, err := svc.OpenObject(t.Context(), photo, env, nil, int64(len(body)))
	require.NoError(t, err)
	defer object.Close()
	_, err = object.Range(t.Context(), 0, 1, (&store{stored: body}).fetch)
	require.Equal(t, kms.ErrDecrypt, err)
}
