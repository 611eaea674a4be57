package encryption_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/internal/cobblestone"
)

// longSize is that of a body which WriteTo makes on several cores, where there are some.
const longSize = 5<<20 + 12_345

// putLong writes a body with WriteTo.
func putLong(t *testing.T, svc *encryption.Service, req *encryption.Request, plain []byte) (*encryption.EncryptedObject, []byte, error) {
	object, err := svc.EncryptStream(t.Context(), photo, req, bytes.NewReader(plain))
	require.NoError(t, err)
	var stored bytes.Buffer
	n, err := object.WriteTo(&stored)
	require.EqualValues(t, stored.Len(), n)
	return object, stored.Bytes(), err
}

// writeOut writes a body with WriteTo.
func writeOut(r io.Reader) ([]byte, error) {
	var plain bytes.Buffer
	_, err := r.(io.WriterTo).WriteTo(&plain)
	return plain.Bytes(), err
}

func TestLongBodies(t *testing.T) {
	svc := encryption.NewService(newManager(t, newMock(t)), encryption.Options{})
	plain := random(longSize)
	for _, declared := range []int64{0, longSize} {
		object, stored, err := putLong(t, svc, &encryption.Request{Mode: encryption.SSES3, MD5: true, PlainSize: declared}, plain)
		require.NoError(t, err)
		env, err := object.Envelope()
		require.NoError(t, err)
		sum := md5.Sum(plain)
		require.Equal(t, hex.EncodeToString(sum[:]), object.ETag())

		r, err := svc.DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(stored))
		require.NoError(t, err)
		got, err := writeOut(r)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, got))

		whole, err := svc.OpenObject(t.Context(), photo, env, nil, int64(len(stored)))
		require.NoError(t, err)
		const off, n = chunk + 5, 4 << 20
		ranged, err := whole.Range(t.Context(), off, n, (&store{stored: stored}).fetch)
		require.NoError(t, err)
		got, err = writeOut(ranged)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain[off:][:n], got))
		whole.Close()
	}
}

func TestLongBodiesOfAnotherSizeThanDeclared(t *testing.T) {
	svc := encryption.NewService(newManager(t, newMock(t)), encryption.Options{})
	plain := random(longSize)
	for _, declared := range []int64{longSize - 1, longSize + 1, 3 << 20} {
		object, stored, err := putLong(t, svc, &encryption.Request{Mode: encryption.SSES3, PlainSize: declared}, plain)
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		require.LessOrEqual(t, int64(len(stored)), cobblestone.StoredSize(declared))
		_, err = object.Envelope()
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
	}
}

// TestLongBodiesReleaseOnlyWhatIsAuthentic changes a chunk in the middle of a long body, cuts it there, and adds to its end.
func TestLongBodiesReleaseOnlyWhatIsAuthentic(t *testing.T) {
	svc := encryption.NewService(newManager(t, newMock(t)), encryption.Options{})
	plain := random(longSize)
	env, stored := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, plain)
	for _, k := range []int{63, 64, 71, 72, 200, longSize / chunk} {
		at := cobblestone.HeaderSize + k*(chunk+cobblestone.Overhead)
		flipped := bytes.Clone(stored)
		flipped[at] ^= 1
		for name, changed := range map[string][]byte{"changed": flipped, "cut before": stored[:at], "cut in": stored[:at+100]} {
			r, err := svc.DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(changed))
			require.NoError(t, err)
			got, err := writeOut(r)
			require.ErrorIs(t, err, kms.ErrDecrypt, name)
			require.True(t, bytes.Equal(plain[:k*chunk], got), name)
		}
	}
	r, err := svc.DecryptStream(t.Context(), photo, env, nil, io.MultiReader(bytes.NewReader(stored), bytes.NewReader([]byte{0})))
	require.NoError(t, err)
	_, err = writeOut(r)
	require.ErrorIs(t, err, kms.ErrDecrypt)
}
