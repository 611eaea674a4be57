package cobblestone_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/cobblestone"
)

// TestFrozenMessage opens and makes again a message that another implementation (in Python, without any library for AES)
// made once. Its base nonce ends with 0xff, so that adding the chunk number in place of XOR would show. Its bytes never change.
func TestFrozenMessage(t *testing.T) {
	message, err := os.ReadFile("testdata/two-chunks.message")
	require.NoError(t, err)
	key, context := make([]byte, cobblestone.KeySize), []byte("objectkms/v1/object\x00")
	for i := range key {
		key[i] = byte(i)
	}
	plain := make([]byte, chunk+100)
	for i := range plain {
		plain[i] = byte(i*i + i/256)
	}

	opened, err := cobblestone.Open(nil, key, context, message)
	require.NoError(t, err)
	require.Equal(t, plain, opened)

	salt := [cobblestone.SaltSize]byte(message)
	sealed, err := cobblestone.SealWithSalt(nil, key, context, plain, salt)
	require.NoError(t, err)
	require.Equal(t, message, sealed)
	r, err := cobblestone.NewEncryptReaderWithSalt(key, context, bytes.NewReader(plain), salt)
	require.NoError(t, err)
	streamed, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, message, streamed)
}

// readerKinds are sources that hand out the same bytes in different ways.
var readerKinds = map[string]func(io.Reader) io.Reader{
	"whole":             func(r io.Reader) io.Reader { return r },
	"one byte":          iotest.OneByteReader,
	"half":              iotest.HalfReader,
	"data with EOF":     iotest.DataErrReader,
	"nothing sometimes": func(r io.Reader) io.Reader { return &stutterReader{r: r} },
}

// stutterReader returns (0, nil) at every other call.
type stutterReader struct {
	r     io.Reader
	calls int
}

func (s *stutterReader) Read(p []byte) (int, error) {
	if s.calls++; s.calls%2 == 1 {
		return 0, nil
	}
	return s.r.Read(p)
}

func TestRoundTrip(t *testing.T) {
	for _, size := range sizes {
		for kind, source := range readerKinds {
			t.Run(fmt.Sprintf("%d bytes, %s", size, kind), func(t *testing.T) {
				plain := randomBytes(size)
				enc := newEncryptReader(t, source(bytes.NewReader(plain)))
				head := enc.Header()
				message, err := io.ReadAll(enc)
				require.NoError(t, err)
				require.Equal(t, head[:], message[:header])
				require.Equal(t, head, enc.Header())
				require.EqualValues(t, cobblestone.StoredSize(int64(size)), len(message))

				opened, err := cobblestone.Open(nil, testKey, testContext, message)
				require.NoError(t, err)
				require.True(t, bytes.Equal(plain, opened))

				streamed, err := io.ReadAll(newDecryptReader(t, source(bytes.NewReader(message))))
				require.NoError(t, err)
				require.True(t, bytes.Equal(plain, streamed))
			})
		}
	}
}

// TestReaders runs the standard library's check of io.Reader, which reads by many buffer sizes.
func TestReaders(t *testing.T) {
	for _, size := range sizes {
		plain := randomBytes(size)
		salt := [cobblestone.SaltSize]byte{9}
		message, err := cobblestone.SealWithSalt(nil, testKey, testContext, plain, salt)
		require.NoError(t, err)

		enc, err := cobblestone.NewEncryptReaderWithSalt(testKey, testContext, bytes.NewReader(plain), salt)
		require.NoError(t, err)
		require.NoError(t, iotest.TestReader(enc, message))
		require.NoError(t, iotest.TestReader(newDecryptReader(t, bytes.NewReader(message)), plain))
	}
}

func TestReadWithBuffersOfAllKinds(t *testing.T) {
	plain := randomBytes(3*chunk + 77)
	message := mustSeal(t, plain)
	for _, size := range []int{1, 2, 55, 56, 57, chunk - 1, chunk, chunk + 1, storedChunk, header + storedChunk, 1 << 20} {
		dec := readBy(t, newDecryptReader(t, bytes.NewReader(message)), size)
		require.True(t, bytes.Equal(plain, dec), "buffer of %d bytes", size)

		enc := readBy(t, newEncryptReader(t, bytes.NewReader(plain)), size)
		opened, err := cobblestone.Open(nil, testKey, testContext, enc)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, opened), "buffer of %d bytes", size)
	}
}

func readBy(t *testing.T, r io.Reader, size int) (all []byte) {
	t.Helper()
	buf := make([]byte, size)
	for {
		n, err := r.Read(buf)
		all = append(all, buf[:n]...)
		if err == io.EOF {
			n, err = r.Read(buf)
			require.Zero(t, n)
			require.Equal(t, io.EOF, err)
			return all
		}
		require.NoError(t, err)
		require.NotZero(t, n)
	}
}

func TestReadThenWriteTo(t *testing.T) {
	plain := randomBytes(2*chunk + 5)
	var message bytes.Buffer
	enc := newEncryptReader(t, bytes.NewReader(plain))
	_, err := io.CopyN(&message, enc, 100)
	require.NoError(t, err)
	n, err := enc.WriteTo(&message)
	require.NoError(t, err)
	require.EqualValues(t, cobblestone.StoredSize(int64(len(plain)))-100, n)

	var opened bytes.Buffer
	dec := newDecryptReader(t, &message)
	_, err = io.CopyN(&opened, dec, 100)
	require.NoError(t, err)
	n, err = dec.WriteTo(&opened)
	require.NoError(t, err)
	require.EqualValues(t, len(plain)-100, n)
	require.True(t, bytes.Equal(plain, opened.Bytes()))
	n, err = dec.WriteTo(&opened)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestEveryMessageHasItsOwnSalt(t *testing.T) {
	a, b := mustSeal(t, nil), mustSeal(t, nil)
	require.NotEqual(t, a[:cobblestone.SaltSize], b[:cobblestone.SaltSize])
	c, d := newEncryptReader(t, nil).Header(), newEncryptReader(t, nil).Header()
	require.NotEqual(t, c[:cobblestone.SaltSize], d[:cobblestone.SaltSize])
	require.NotEqual(t, make([]byte, cobblestone.SaltSize), c[:cobblestone.SaltSize])
}

func TestKeyAndContextAreNotChangedOrKept(t *testing.T) {
	key, context := slices.Clone(testKey), slices.Clone(testContext)
	plain := randomBytes(chunk + 1)
	enc, err := cobblestone.NewEncryptReader(key, context, bytes.NewReader(plain))
	require.NoError(t, err)
	require.Equal(t, testKey, key)
	require.Equal(t, testContext, context)
	clear(key)
	clear(context)
	message, err := io.ReadAll(enc)
	require.NoError(t, err)

	copy(key, testKey)
	copy(context, testContext)
	dec, err := cobblestone.NewDecryptReader(key, context, bytes.NewReader(message))
	require.NoError(t, err)
	require.Equal(t, testKey, key)
	require.Equal(t, testContext, context)
	clear(key)
	clear(context)
	opened, err := io.ReadAll(dec)
	require.NoError(t, err)
	require.True(t, bytes.Equal(plain, opened))
}

func TestWrongKeyContextAndHeader(t *testing.T) {
	message := mustSeal(t, []byte("secret"))
	tests := []struct {
		name                  string
		key, context, message []byte
	}{
		{"another key", append([]byte{1}, testKey[1:]...), testContext, message},
		{"another context", testKey, append([]byte{1}, testContext[1:]...), message},
		{"shorter context", testKey, testContext[1:], message},
		{"no context", testKey, nil, message},
		{"a context that takes over a byte of the salt", testKey, slices.Concat(message[23:24], testContext), message},
		{"no message", testKey, testContext, nil},
		{"header cut short", testKey, testContext, message[:header-1]},
		{"changed salt", testKey, testContext, append([]byte{message[0] ^ 1}, message[1:]...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plain, err := cobblestone.Open(nil, tt.key, tt.context, tt.message)
			require.Equal(t, cobblestone.ErrOpen, err)
			require.Nil(t, plain)
			r, err := cobblestone.NewDecryptReader(tt.key, tt.context, bytes.NewReader(tt.message))
			require.Equal(t, cobblestone.ErrOpen, err)
			require.Nil(t, r)
			d, err := cobblestone.NewDecrypter(tt.key, tt.context, tt.message[:min(header, len(tt.message))])
			require.Equal(t, cobblestone.ErrOpen, err)
			require.Nil(t, d)
		})
	}
	_, err := cobblestone.NewDecrypter(testKey, testContext, message)
	require.Equal(t, cobblestone.ErrOpen, err, "a header with more behind it")
}

func TestKeySize(t *testing.T) {
	message := mustSeal(t, nil)
	for _, size := range []int{0, 16, 31, 33, 64} {
		want := fmt.Sprintf("cobblestone: key has %d bytes, want 32", size)
		key := make([]byte, size)
		_, err := cobblestone.Seal(nil, key, nil, nil)
		require.EqualError(t, err, want)
		_, err = cobblestone.Open(nil, key, nil, message)
		require.EqualError(t, err, want)
		_, err = cobblestone.NewEncryptReader(key, nil, nil)
		require.EqualError(t, err, want)
		_, err = cobblestone.NewDecryptReader(key, nil, iotest.ErrReader(io.ErrClosedPipe))
		require.EqualError(t, err, want)
		_, err = cobblestone.NewDecrypter(key, nil, nil)
		require.EqualError(t, err, want)
	}
}

func TestSealAndOpenAppend(t *testing.T) {
	plain := randomBytes(chunk + 50)
	for _, room := range []int{0, 10, 3 * chunk} {
		dst := append(make([]byte, 0, 6+room), "prefix"...)
		message, err := cobblestone.Seal(dst, testKey, testContext, plain)
		require.NoError(t, err)
		require.Equal(t, "prefix", string(message[:6]))
		require.Equal(t, room > chunk, &dst[0] == &message[0])

		opened, err := cobblestone.Open(dst, testKey, testContext, message[6:])
		require.NoError(t, err)
		require.Equal(t, "prefix", string(opened[:6]))
		require.True(t, bytes.Equal(plain, opened[6:]))
	}
}

// TestSealAndOpenOverlap reuses the memory of the input, at every distance that could go wrong.
func TestSealAndOpenOverlap(t *testing.T) {
	for _, size := range []int{1, 32, 100, 2*chunk + 100} {
		plain := randomBytes(size)
		for _, shift := range []int{0, 1, 16, header, header + 1, chunk, storedChunk} {
			buf := make([]byte, shift+4*chunk)
			input := buf[shift:][:copy(buf[shift:], plain)]
			message, err := cobblestone.Seal(buf[:0], testKey, testContext, input)
			require.NoError(t, err)

			input = buf[shift:][:copy(buf[shift:], message)]
			opened, err := cobblestone.Open(buf[:0], testKey, testContext, input)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plain, opened), "%d bytes, shifted by %d", size, shift)
		}
	}
}

// TestSealUsesTheRoomOfANeighbour has input and output share an array but no byte.
func TestSealUsesTheRoomOfANeighbour(t *testing.T) {
	const size = chunk + 1
	stored := int(cobblestone.StoredSize(size))
	buf := make([]byte, size+stored)
	behind, err := cobblestone.Seal(buf[size:size], testKey, testContext, buf[:size])
	require.NoError(t, err)
	require.Same(t, &buf[size], &behind[0])
	before, err := cobblestone.Seal(buf[:0], testKey, testContext, buf[stored:])
	require.NoError(t, err)
	require.Same(t, &buf[0], &before[0])
}

func TestOpenLeavesNoPlaintextBehind(t *testing.T) {
	message := mustSeal(t, randomBytes(2*chunk))
	message[len(message)-1] ^= 1
	dst := make([]byte, 4*chunk)
	opened, err := cobblestone.Open(dst[:0], testKey, testContext, message)
	require.Equal(t, cobblestone.ErrOpen, err)
	require.Nil(t, opened)
	require.True(t, bytes.Equal(make([]byte, len(dst)), dst))
}
