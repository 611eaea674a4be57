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

// FuzzReadAt holds that a read is what was sealed where nothing was changed that it needs, and else an error.
func FuzzReadAt(f *testing.F) {
	const size = 2*chunk + 100
	plain := randomBytes(size)
	message := mustSeal(f, plain)
	for _, at := range []int{0, header - 1, header, header + chunk, header + storedChunk, len(message) - 1} {
		f.Add(at, byte(1), int64(0), size)
		f.Add(at, byte(0), int64(chunk-1), 2)
		f.Add(at, byte(0x80), int64(size-1), 1)
	}
	f.Fuzz(func(t *testing.T, at int, flip byte, off int64, n int) {
		if at < 0 || at >= len(message) || off < 0 || off >= size || n < 0 || n > size {
			return
		}
		changed := bytes.Clone(message)
		changed[at] ^= flip
		d, err := cobblestone.NewDecrypter(testKey, testContext, changed[:header])
		if at < header && flip != 0 {
			require.Equal(t, cobblestone.ErrOpen, err)
			return
		}
		require.NoError(t, err)
		r, err := d.NewReaderAt(bytes.NewReader(changed), int64(len(changed)))
		at = (at - header) / storedChunk // the chunk that is changed
		if at == size/chunk && flip != 0 {
			require.Equal(t, cobblestone.ErrOpen, err)
			return
		}
		require.NoError(t, err)
		end := min(off+int64(n), size)
		got := make([]byte, end-off)
		read, err := r.ReadAt(got, off)
		require.Equal(t, plain[off:off+int64(read)], got[:read], "nothing else is released")
		if flip != 0 && n > 0 && int64(at) >= off/chunk && int64(at) <= (end-1)/chunk {
			require.Equal(t, cobblestone.ErrOpen, err)
		} else {
			require.NoError(t, err)
			require.Len(t, got, read)
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
