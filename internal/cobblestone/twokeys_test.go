package cobblestone_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/twokeys"
)

var otherKey = bytes.Repeat([]byte{0x24}, cobblestone.KeySize)

// Somebody who knows both input keys makes a message whose chunk is open to both. The commitment decides.
func TestAMessageOpensUnderOneKeyOnly(t *testing.T) {
	for name, tt := range map[string]struct {
		key, context []byte
		blocks       int
	}{
		"another key":             {otherKey, testContext, 2},
		"another context":         {testKey, []byte("another use"), 2},
		"another key, long":       {otherKey, testContext, 1023},
		"another key and context": {otherKey, []byte("another use"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs, err := twokeys.Messages(testKey, testContext, tt.key, tt.context, tt.blocks)
			require.NoError(t, err)
			require.Equal(t, ours[header:], theirs[header:], "it is the same chunk")

			plain, err := cobblestone.Open(nil, testKey, testContext, ours)
			require.NoError(t, err)
			other, err := cobblestone.Open(nil, tt.key, tt.context, theirs)
			require.NoError(t, err)
			require.NotEqual(t, plain, other)

			requireClosed(t, testKey, testContext, theirs)
			requireClosed(t, tt.key, tt.context, ours)
		})
	}
}

// requireClosed checks that no way of opening a message goes on behind its commitment.
func requireClosed(t *testing.T, key, context, message []byte) {
	t.Helper()
	opened, err := cobblestone.Open(nil, key, context, message)
	require.Equal(t, cobblestone.ErrOpen, err)
	require.Nil(t, opened)

	_, err = cobblestone.NewDecrypter(key, context, message[:header])
	require.Equal(t, cobblestone.ErrOpen, err)

	r, err := cobblestone.NewDecryptReader(key, context, bytes.NewReader(message))
	if err == nil {
		var released []byte
		released, err = io.ReadAll(r)
		require.Empty(t, released)
	}
	require.Equal(t, cobblestone.ErrOpen, err)
}
