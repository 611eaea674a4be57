package cobblestone_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/objectkms/kms/internal/cobblestone"
)

const maxStored = cobblestone.MaxPlainSize + header + cobblestone.MaxChunks*cobblestone.Overhead

func TestSizes(t *testing.T) {
	require.Equal(t, int64(1<<52-1), cobblestone.MaxPlainSize)
	tests := []struct{ plain, stored int64 }{
		{0, header + 16},
		{1, header + 17},
		{chunk - 1, header + storedChunk - 1},
		{chunk, header + storedChunk + 16},
		{chunk + 1, header + storedChunk + 17},
		{2 * chunk, header + 2*storedChunk + 16},
		{cobblestone.MaxPlainSize - 1, maxStored - 1},
		{cobblestone.MaxPlainSize, maxStored},
	}
	for _, tt := range tests {
		require.Equal(t, tt.stored, cobblestone.StoredSize(tt.plain))
		plain, err := cobblestone.PlainSize(tt.stored)
		require.NoError(t, err)
		require.Equal(t, tt.plain, plain)
	}
}

func TestImpossibleSizes(t *testing.T) {
	for _, plain := range []int64{-1, math.MinInt64, cobblestone.MaxPlainSize + 1, math.MaxInt64} {
		require.EqualValues(t, -1, cobblestone.StoredSize(plain))
	}
	stored := []int64{
		math.MinInt64, math.MinInt64 + header, -1, 0, 1, header - 1, header, header + 15,
		header + storedChunk, header + storedChunk + 15, header + 5*storedChunk, maxStored + 1, maxStored + 17, math.MaxInt64,
	}
	for _, n := range stored {
		_, err := cobblestone.PlainSize(n)
		require.ErrorIs(t, err, cobblestone.ErrOpen, "%d", n)
	}
}

// TestSmallSizes compares the arithmetic with counting, byte by byte.
func TestSmallSizes(t *testing.T) {
	next := int64(0)
	for stored := int64(0); next <= 3*chunk; stored++ {
		plain, err := cobblestone.PlainSize(stored)
		if stored != cobblestone.StoredSize(next) {
			require.ErrorIs(t, err, cobblestone.ErrOpen)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, next, plain)
		next++
	}
}

func TestSizesGoBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.Int64Range(0, cobblestone.MaxPlainSize).Draw(t, "plain")
		back, err := cobblestone.PlainSize(cobblestone.StoredSize(plain))
		require.NoError(t, err)
		require.Equal(t, plain, back)

		stored := rapid.Int64().Draw(t, "stored")
		if plain, err = cobblestone.PlainSize(stored); err == nil {
			require.Equal(t, stored, cobblestone.StoredSize(plain))
		}
	})
}

func TestSpan(t *testing.T) {
	const size = 2*chunk + 10
	tests := []struct {
		name                            string
		off, n, plainSize, start, bytes int64
	}{
		{"first byte", 0, 1, size, header, storedChunk},
		{"first chunk", 0, chunk, size, header, storedChunk},
		{"across an edge", chunk - 1, 2, size, header, 2 * storedChunk},
		{"second chunk", chunk, chunk, size, header + storedChunk, storedChunk},
		{"last byte", size - 1, 1, size, header + 2*storedChunk, 26},
		{"all", 0, size, size, header, 2*storedChunk + 26},
		{"nothing at the start", 0, 0, size, header, 0},
		{"nothing within a chunk", chunk + 1, 0, size, header + storedChunk, 0},
		{"nothing at the end", size, 0, size, header + 2*storedChunk, 26},
		{"up to a full last chunk", 0, 2 * chunk, 2 * chunk, header, 2*storedChunk + 16},
		{"nearly up to a full last chunk", 0, 2*chunk - 1, 2 * chunk, header, 2 * storedChunk},
		{"nothing of nothing", 0, 0, 0, header, 16},
		{"the last byte of all", cobblestone.MaxPlainSize - 1, 1, cobblestone.MaxPlainSize, maxStored - storedChunk + 1, storedChunk - 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start, n, err := cobblestone.Span(tt.off, tt.n, tt.plainSize)
			require.NoError(t, err)
			require.Equal(t, tt.start, start)
			require.Equal(t, tt.bytes, n)
		})
	}
}

func TestSpanOutsideThePlaintext(t *testing.T) {
	tests := [][3]int64{
		{-1, 1, 10}, {0, -1, 10}, {0, 11, 10}, {11, 0, 10}, {10, 1, 10}, {5, math.MaxInt64, 10}, {math.MaxInt64, math.MaxInt64, 10},
		{math.MinInt64, 5, 10}, {0, 0, -1}, {0, 1, cobblestone.MaxPlainSize + 1}, {0, 1, math.MaxInt64},
	}
	d := newDecrypter(t, mustSeal(t, nil))
	for _, tt := range tests {
		_, _, err := cobblestone.Span(tt[0], tt[1], tt[2])
		require.Error(t, err, "%v", tt)
		_, again := d.NewChunkReader(nil, tt[0], tt[1], tt[2])
		require.Equal(t, err, again)
	}
}
