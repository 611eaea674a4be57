package twokeys

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func testKeys() (a, b Key) {
	return Key{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 12)}, Key{bytes.Repeat([]byte{3}, 32), bytes.Repeat([]byte{4}, 12)}
}

// The construction works: AES-GCM as it is accepts a chunk under both keys, and under no third one.
func TestRawGCMAcceptsAChunkUnderBothKeys(t *testing.T) {
	a, b := testKeys()
	for _, blocks := range []int{1, 2, 17, 1023} {
		chunk, err := Chunk(a, b, blocks)
		require.NoError(t, err)
		require.Len(t, chunk, 16*blocks+16)
		plainA, err := a.Open(chunk)
		require.NoError(t, err)
		plainB, err := b.Open(chunk)
		require.NoError(t, err)
		require.NotEqual(t, plainA, plainB)
		third := Key{bytes.Repeat([]byte{5}, 32), b.Nonce}
		_, err = third.Open(chunk)
		require.Error(t, err)
		chunk[0] ^= 1
		_, err = a.Open(chunk)
		require.Error(t, err)
	}
}

// One key under two nonces gives one factor and two masks: there is nothing to solve.
func TestOneKeyUnderTwoNoncesHasNoSuchChunk(t *testing.T) {
	a, b := testKeys()
	b.AEAD = a.AEAD
	chunk, err := Chunk(a, b, 2)
	require.NoError(t, err)
	_, err = a.Open(chunk)
	require.NoError(t, err)
	_, err = b.Open(chunk)
	require.Error(t, err)
}

func TestKeysOfOtherSizesAreRefused(t *testing.T) {
	a, b := testKeys()
	_, err := Chunk(Key{a.AEAD[:31], a.Nonce}, b, 1)
	require.Error(t, err)
	_, err = Chunk(a, Key{b.AEAD, b.Nonce[:11]}, 1)
	require.EqualError(t, err, "nonce has 11 bytes, want 12")
}

func TestInverse(t *testing.T) {
	one := block{0x80}
	for _, b := range []block{one, {0x40}, {15: 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}} {
		require.Equal(t, one, multiply(b, inverse(b)))
		require.Equal(t, b, multiply(b, one))
	}
	require.Zero(t, inverse(block{}))
}
