package cobblestone_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/cobblestone"
)

var errReset = errors.New("connection reset")

// A countReader answers the same count at every Read.
type countReader int

func (r countReader) Read([]byte) (int, error) { return int(r), nil }

func TestFill(t *testing.T) {
	buf := make([]byte, 4)
	n, err := cobblestone.Fill(iotest.OneByteReader(bytes.NewReader([]byte("abcdef"))), buf)
	require.NoError(t, err)
	require.Equal(t, "abcd", string(buf[:n]))
	n, err = cobblestone.Fill(bytes.NewReader([]byte("ab")), buf)
	require.NoError(t, err)
	require.Equal(t, 2, n)

	_, err = cobblestone.Fill(iotest.ErrReader(io.ErrUnexpectedEOF), buf)
	require.Equal(t, cobblestone.ErrOpen, err)
	_, err = cobblestone.Fill(iotest.ErrReader(errReset), buf)
	require.ErrorIs(t, err, errReset)
	_, err = cobblestone.Fill(countReader(0), buf)
	require.ErrorIs(t, err, io.ErrNoProgress)
	for _, count := range []countReader{-1, 5} {
		_, err = cobblestone.Fill(count, buf)
		require.ErrorContains(t, err, "impossible count")
	}
}

func TestCausesThatWrapEOFStayKnownAndAreNoEnd(t *testing.T) {
	key := make([]byte, cobblestone.KeySize)
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF} {
		cause := fmt.Errorf("%w: %w", errReset, end)
		_, filled := cobblestone.Fill(iotest.ErrReader(cause), make([]byte, 1))
		_, opened := cobblestone.NewDecryptReader(key, nil, iotest.ErrReader(cause))
		sealer, err := cobblestone.NewEncryptReader(key, nil, iotest.ErrReader(cause))
		require.NoError(t, err)
		_, sealed := io.ReadAll(sealer)
		for name, err := range map[string]error{"Fill": filled, "decrypt": opened, "encrypt": sealed} {
			require.ErrorIs(t, err, errReset, name)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, name)
			require.NotErrorIs(t, err, io.EOF, name)
			require.NotErrorIs(t, err, cobblestone.ErrOpen, name)
		}
	}
}
