package cobblestone_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/cobblestone"
)

const (
	chunk       = cobblestone.ChunkSize
	storedChunk = chunk + cobblestone.Overhead
	header      = cobblestone.HeaderSize
)

var (
	testKey     = bytes.Repeat([]byte{0x42}, cobblestone.KeySize)
	testContext = []byte("objectkms test")
)

// sizes are the plaintext sizes that every test of a round trip tries.
var sizes = []int{0, 1, 15, 16, 17, 1000, chunk - 1, chunk, chunk + 1, 2*chunk - 1, 2 * chunk, 2*chunk + 1, 7*chunk + 4321}

// randomBytes returns the same n bytes at each call.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func mustSeal(t testing.TB, plain []byte) []byte {
	t.Helper()
	message, err := cobblestone.Seal(nil, testKey, testContext, plain)
	require.NoError(t, err)
	return message
}

func newDecryptReader(t testing.TB, message io.Reader) *cobblestone.DecryptReader {
	t.Helper()
	r, err := cobblestone.NewDecryptReader(testKey, testContext, message)
	require.NoError(t, err)
	return r
}

func newEncryptReader(t testing.TB, plain io.Reader) *cobblestone.EncryptReader {
	t.Helper()
	r, err := cobblestone.NewEncryptReader(testKey, testContext, plain)
	require.NoError(t, err)
	return r
}

func newDecrypter(t testing.TB, message []byte) *cobblestone.Decrypter {
	t.Helper()
	d, err := cobblestone.NewDecrypter(testKey, testContext, message[:header])
	require.NoError(t, err)
	return d
}

// requireFailed checks that r, which just failed with err, failed to open the message and stays so.
func requireFailed(t testing.TB, r io.Reader, err error) {
	t.Helper()
	requireSticky(t, r, err)
	require.Equal(t, cobblestone.ErrOpen, err)
}

// requireSticky checks that r, which just failed with err, gives the same error for ever and no bytes.
func requireSticky(t testing.TB, r io.Reader, err error) {
	t.Helper()
	require.Error(t, err)
	require.NotEqual(t, io.EOF, err)
	for _, size := range []int{1, 0, 100, storedChunk + header, 1 << 20} {
		n, again := r.Read(make([]byte, size))
		require.Zero(t, n)
		require.Equal(t, err, again)
	}
	n, again := io.Copy(io.Discard, r)
	require.Zero(t, n)
	require.Equal(t, err, again)
}
