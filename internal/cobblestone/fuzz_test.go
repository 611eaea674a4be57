package cobblestone_test

import (
	"bytes"
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/cobblestone"
)

// fuzzSeeds are whole messages and broken ones.
func fuzzSeeds(f *testing.F) {
	for _, size := range []int{0, 1, 32, chunk, chunk + 1} {
		message, err := cobblestone.SealWithSalt(nil, testKey, testContext, randomBytes(size), [cobblestone.SaltSize]byte{7})
		require.NoError(f, err)
		f.Add(message)
		f.Add(message[:len(message)-1])
		f.Add(append(message, 0))
	}
	f.Add([]byte{})
	f.Add(make([]byte, header))
}

// FuzzOpen holds that only what Seal made opens: a message that opens is the one that its salt and plaintext give.
func FuzzOpen(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, message []byte) {
		plain, err := cobblestone.Open(nil, testKey, testContext, message)
		if err != nil {
			require.Equal(t, cobblestone.ErrOpen, err)
			require.Nil(t, plain)
			return
		}
		again, err := cobblestone.SealWithSalt(nil, testKey, testContext, plain, [cobblestone.SaltSize]byte(message))
		require.NoError(t, err)
		require.True(t, bytes.Equal(message, again))
	})
}

// FuzzDecryptReader holds that the stream and Open agree.
func FuzzDecryptReader(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, message []byte) {
		plain, wantErr := cobblestone.Open(nil, testKey, testContext, message)
		r, err := cobblestone.NewDecryptReader(testKey, testContext, bytes.NewReader(message))
		var released []byte
		if err == nil {
			released, err = io.ReadAll(r)
		}
		require.Equal(t, wantErr, err)
		if err == nil {
			require.True(t, bytes.Equal(plain, released))
		} else if r != nil {
			requireFailed(t, r, err)
		}
	})
}

func FuzzSizes(f *testing.F) {
	for _, n := range []int64{0, 1, header, header + 16, chunk, maxStored, cobblestone.MaxPlainSize, math.MaxInt64, math.MinInt64} {
		f.Add(n, n/2, n)
	}
	f.Fuzz(func(t *testing.T, size, off, n int64) {
		if stored := cobblestone.StoredSize(size); stored >= 0 {
			plain, err := cobblestone.PlainSize(stored)
			require.NoError(t, err)
			require.Equal(t, size, plain)
		}
		if plain, err := cobblestone.PlainSize(size); err == nil {
			require.Equal(t, size, cobblestone.StoredSize(plain))
		}
		if start, stored, err := cobblestone.Span(off, n, size); err == nil {
			require.GreaterOrEqual(t, start, int64(header))
			require.GreaterOrEqual(t, stored, n)
			require.LessOrEqual(t, start+stored, cobblestone.StoredSize(size))
		}
	})
}
