package encryption_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/encryption"
)

const uploadID = "upload-1"

// A storedPart is what a server stores of one part.
type storedPart struct {
	body    []byte
	receipt string
	etag    string
}

// An upload is what a server stores of a multipart upload. Whatever it does, it does in a process of its own, with a Service that has seen nothing.
type upload struct {
	ring  *ring
	id    encryption.ObjectID
	name  string
	p     protection
	state string
	parts map[int]storedPart
}

func (u *upload) service() *encryption.Service {
	return encryption.NewService(u.ring, encryption.Options{})
}

// newUpload creates an upload.
func newUpload(t testing.TB, ring *ring, id encryption.ObjectID, p protection) *upload {
	t.Helper()
	u := &upload{ring: ring, id: id, name: uploadID, p: p, parts: make(map[int]storedPart)}
	created, err := u.service().CreateUpload(t.Context(), id, u.name, p.write())
	require.NoError(t, err)
	defer created.Close()
	state, err := created.State().MarshalText()
	require.NoError(t, err)
	u.state = string(state)
	return u
}

// open opens the upload from its text.
func (u *upload) open(ctx context.Context) (*encryption.Upload, error) {
	state := new(encryption.UploadState)
	if err := state.UnmarshalText([]byte(u.state)); err != nil {
		return nil, err
	}
	return u.service().OpenUpload(ctx, u.id, u.name, state, u.p.read())
}

func (u *upload) opened(t testing.TB) *encryption.Upload {
	t.Helper()
	opened, err := u.open(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { opened.Close() })
	return opened
}

// encryptPart encrypts a part with an upload that is open.
func encryptPart(t testing.TB, opened *encryption.Upload, number int, plain []byte) storedPart {
	t.Helper()
	part, err := opened.EncryptPart(number, bytes.NewReader(plain))
	require.NoError(t, err)
	defer part.Close()
	body, err := io.ReadAll(part)
	require.NoError(t, err)
	receipt, err := part.Receipt()
	require.NoError(t, err)
	require.Equal(t, part.ETag(), receipt.ETag)
	text, err := receipt.MarshalText()
	require.NoError(t, err)
	return storedPart{body, string(text), part.ETag()}
}

// put uploads a part, again if it is there.
func (u *upload) put(t testing.TB, number int, plain []byte) {
	t.Helper()
	opened, err := u.open(t.Context())
	require.NoError(t, err)
	defer opened.Close()
	u.parts[number] = encryptPart(t, opened, number, plain)
}

// receipts returns the receipts of these parts, with the ETags that a client would send.
func (u *upload) receipts(t testing.TB, numbers ...int) []encryption.PartReceipt {
	t.Helper()
	receipts := make([]encryption.PartReceipt, len(numbers))
	for i, number := range numbers {
		require.NoError(t, receipts[i].UnmarshalText([]byte(u.parts[number].receipt)))
		require.Equal(t, number, receipts[i].Number)
		require.Empty(t, receipts[i].ETag)
		receipts[i].ETag = u.parts[number].etag
	}
	return receipts
}

// complete completes the upload, and returns what the server stores then. The envelope goes through its text.
func (u *upload) complete(t testing.TB, numbers ...int) (*encryption.Envelope, []byte) {
	t.Helper()
	opened, err := u.open(t.Context())
	require.NoError(t, err)
	defer opened.Close()
	env, err := opened.Complete(t.Context(), u.id, u.receipts(t, numbers...))
	require.NoError(t, err)
	var body []byte
	for _, number := range numbers {
		body = append(body, u.parts[number].body...)
	}
	parsed, err := encryption.ParseEnvelope(env.Map())
	require.NoError(t, err)
	require.Equal(t, env, parsed)
	return parsed, body
}

// A piece is one part of an object.
type piece struct{ number, size int }

// upload stores an object in these parts, and returns its plaintext too.
func (r *ring) upload(t testing.TB, id encryption.ObjectID, p protection, pieces ...piece) (*encryption.Envelope, []byte, []byte) {
	t.Helper()
	u := newUpload(t, r, id, p)
	opened := u.opened(t)
	var plain []byte
	var numbers []int
	for _, piece := range pieces {
		part := random(piece.size)
		u.parts[piece.number] = encryptPart(t, opened, piece.number, part)
		plain, numbers = append(plain, part...), append(numbers, piece.number)
	}
	env, body := u.complete(t, numbers...)
	return env, body, plain
}
