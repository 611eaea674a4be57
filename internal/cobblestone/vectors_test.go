package cobblestone_test

import (
	"bytes"
	"compress/zlib"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/cobblestone"
)

// hexBytes is a byte string that JSON holds in hexadecimal.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type vector struct {
	TcID      int
	Key       hexBytes
	Ctx       hexBytes
	Ct        hexBytes
	MsgLength int64
	MsgSha512 hexBytes
	Result    string
	Flags     []string

	// AES-GCM and HKDF.
	IV, Aad, Msg, Tag    hexBytes
	Ikm, Salt, Info, Okm hexBytes
	Size                 int
}

func (v *vector) has(flag string) bool { return slices.Contains(v.Flags, flag) }

func (v *vector) valid() bool { return v.Result == "valid" }

func (v *vector) message(t *testing.T) []byte {
	t.Helper()
	z, err := zlib.NewReader(bytes.NewReader(v.Ct))
	require.NoError(t, err)
	message, err := io.ReadAll(z)
	require.NoError(t, err)
	return message
}

// requirePrefix checks what a stream released: the whole message, or some of the prefix that the vector allows.
func (v *vector) requirePrefix(t *testing.T, released []byte) {
	t.Helper()
	if v.valid() || len(released) > 0 {
		require.Len(t, released, int(v.MsgLength))
		sum := sha512.Sum512(released)
		require.Equal(t, []byte(v.MsgSha512), sum[:])
	}
}

type vectorGroup struct {
	KeySize, IvSize, TagSize int
	Tests                    []vector
}

func readVectors(t *testing.T, name string) []vectorGroup {
	t.Helper()
	dir := os.Getenv("KMS_VECTORS")
	if dir == "" {
		t.Skip("KMS_VECTORS names no folder with third-party test vectors")
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	var file struct{ TestGroups []vectorGroup }
	require.NoError(t, json.Unmarshal(text, &file))
	require.NotEmpty(t, file.TestGroups)
	return file.TestGroups
}

func TestChunkedEncryptionVectors(t *testing.T) {
	count := 0
	for _, group := range readVectors(t, "c2sp_chunked_encryption_aes_256_gcm_test.json") {
		for _, v := range group.Tests {
			count++
			t.Run(fmt.Sprint(v.TcID), func(t *testing.T) {
				message := v.message(t)
				testVectorOpen(t, &v, message)
				testVectorStream(t, &v, message)
				testVectorRandomAccess(t, &v, message)
				testVectorChunkReader(t, &v, message)
				testVectorAgain(t, &v, message)
			})
		}
	}
	require.Equal(t, 35, count)
}

func testVectorOpen(t *testing.T, v *vector, message []byte) {
	plain, err := cobblestone.Open(nil, v.Key, v.Ctx, message)
	if v.valid() {
		require.NoError(t, err)
		v.requirePrefix(t, plain)
		return
	}
	require.Error(t, err)
	require.Equal(t, v.has("InvalidKeySize"), err != cobblestone.ErrOpen)
	require.Nil(t, plain)
}

func testVectorStream(t *testing.T, v *vector, message []byte) {
	r, err := cobblestone.NewDecryptReader(v.Key, v.Ctx, bytes.NewReader(message))
	require.Equal(t, v.has("HeaderFailure"), err != nil)
	if err != nil {
		require.Equal(t, v.has("InvalidKeySize"), err != cobblestone.ErrOpen)
		return
	}
	released, err := io.ReadAll(r)
	v.requirePrefix(t, released)
	if v.valid() {
		require.NoError(t, err)
		return
	}
	require.Equal(t, v.has("PartialPlaintext"), len(released) > 0)
	requireFailed(t, r, err)
}

func testVectorRandomAccess(t *testing.T, v *vector, message []byte) {
	d, err := cobblestone.NewDecrypter(v.Key, v.Ctx, message[:min(len(message), cobblestone.HeaderSize)])
	require.Equal(t, v.has("HeaderFailure"), err != nil)
	if err != nil {
		return
	}
	r, err := d.NewReaderAt(bytes.NewReader(message), int64(len(message)))
	require.Equal(t, v.valid() || v.has("ValidFinalChunk"), err == nil)
	if err != nil {
		require.ErrorIs(t, err, cobblestone.ErrOpen)
		return
	}
	plain := make([]byte, r.Size())
	n, err := r.ReadAt(plain, 0)
	v.requirePrefix(t, plain[:n])
	switch {
	case v.valid() && v.MsgLength == 0:
		require.Equal(t, io.EOF, err)
	case v.valid():
		require.NoError(t, err)
	default:
		require.Equal(t, cobblestone.ErrOpen, err)
	}
}

func testVectorChunkReader(t *testing.T, v *vector, message []byte) {
	size, err := cobblestone.PlainSize(int64(len(message)))
	if err != nil || v.has("HeaderFailure") {
		return
	}
	d, err := cobblestone.NewDecrypter(v.Key, v.Ctx, message[:cobblestone.HeaderSize])
	require.NoError(t, err)
	r, err := d.NewChunkReader(bytes.NewReader(message[cobblestone.HeaderSize:]), 0, size, size)
	require.NoError(t, err)
	released, err := io.ReadAll(r)
	v.requirePrefix(t, released)
	if v.valid() {
		require.NoError(t, err)
		return
	}
	requireFailed(t, r, err)
}

// testVectorAgain encrypts with the salt of a valid vector, which must give its bytes.
func testVectorAgain(t *testing.T, v *vector, message []byte) {
	if !v.valid() {
		return
	}
	plain, err := cobblestone.Open(nil, v.Key, v.Ctx, message)
	require.NoError(t, err)
	salt := [cobblestone.SaltSize]byte(message)

	whole, err := cobblestone.SealWithSalt(nil, v.Key, v.Ctx, plain, salt)
	require.NoError(t, err)
	require.True(t, bytes.Equal(message, whole))

	r, err := cobblestone.NewEncryptReaderWithSalt(v.Key, v.Ctx, bytes.NewReader(plain), salt)
	require.NoError(t, err)
	streamed, err := io.ReadAll(r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(message, streamed))
}

func TestAESGCMVectors(t *testing.T) {
	count := 0
	for _, group := range readVectors(t, "aes_gcm_test.json") {
		if group.KeySize != 256 || group.IvSize != 96 || group.TagSize != 128 {
			continue
		}
		for _, v := range group.Tests {
			count++
			block, err := aes.NewCipher(v.Key)
			require.NoError(t, err)
			aead, err := cipher.NewGCM(block)
			require.NoError(t, err)
			sealed := slices.Concat[[]byte](v.Ct, v.Tag)
			plain, err := aead.Open(nil, v.IV, sealed, v.Aad)
			require.Equal(t, v.valid(), err == nil, "test case %d", v.TcID)
			if v.valid() {
				require.True(t, bytes.Equal(v.Msg, plain), "test case %d", v.TcID)
				require.Equal(t, sealed, aead.Seal(nil, v.IV, v.Msg, v.Aad), "test case %d", v.TcID)
			}
		}
	}
	require.Equal(t, 66, count)
}

func TestHKDFVectors(t *testing.T) {
	count := 0
	for _, group := range readVectors(t, "hkdf_sha512_test.json") {
		for _, v := range group.Tests {
			count++
			if !v.valid() {
				continue
			}
			prk, err := hkdf.Extract(sha512.New, v.Ikm, v.Salt)
			require.NoError(t, err)
			got := cobblestone.Expand(prk, v.Info)
			n := min(v.Size, cobblestone.DerivedSize)
			require.Equal(t, []byte(v.Okm[:n]), got[:n], "test case %d", v.TcID)
		}
	}
	require.Equal(t, 83, count)
}
