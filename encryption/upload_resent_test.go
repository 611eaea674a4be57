package encryption_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/encctx"
)

// A keyAndNonce is what one chunk is sealed with.
type keyAndNonce struct {
	key   [32]byte
	nonce [12]byte
}

// chunksOf returns what the chunks of a message are sealed with, as FORMAT.md says, and not by the code under test.
func chunksOf(t *testing.T, inputKey, context, message []byte) (all []keyAndNonce) {
	t.Helper()
	info := "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + string(message[:24]) + string(context)
	derived, err := hkdf.Expand(sha512.New, inputKey, info, 76)
	require.NoError(t, err)
	require.Equal(t, derived[44:], message[24:56], "the commitment")
	for chunk := range (len(message)-56)/16400 + 1 {
		pair := keyAndNonce{[32]byte(derived), [12]byte(derived[32:])}
		counter := binary.BigEndian.AppendUint64(nil, uint64(chunk))
		for i, b := range counter {
			pair.nonce[4+i] ^= b
		}
		all = append(all, pair)
	}
	return all
}

// A thousand parts of the same numbers and the same plaintext, in several processes: no key is used with the same nonce twice.
func TestAThousandPartsThatAreSentAgainShareNoKeyAndNonce(t *testing.T) {
	const attempts = 1000
	u := newUpload(t, newRing("default"), photo, protections()[0])
	plain := make([]byte, chunk+1)
	seen := make(map[keyAndNonce]bool)
	add := func(inputKey, context, message []byte, chunks int) {
		t.Helper()
		pairs := chunksOf(t, inputKey, context, message)
		require.Len(t, pairs, chunks)
		for _, pair := range pairs {
			require.False(t, seen[pair])
			seen[pair] = true
		}
	}
	for i := range attempts / 100 {
		opened := u.opened(t)
		key := opened.Keys()[0].Bytes()
		for j := range 100 {
			number := 1 + (i+j)%2
			u.parts[number] = encryptPart(t, opened, number, plain)
			add(key, encctx.Bind(nil, "part", encctx.Uint32(uint32(number))), u.parts[number].body, 2)
			receipt := u.receipts(t, number)[0]
			add(key, encctx.Bind(nil, "receipt", []byte(uploadID), encctx.Uint32(uint32(number))), receipt.Sealed(), 1)
		}
	}
	require.Len(t, seen, 3*attempts)
	env, body := u.complete(t, 1, 2)
	requireReadable(t, u.ring, photo, env, u.p, body, bytes.Repeat(plain, 2))
}
