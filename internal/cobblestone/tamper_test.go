package cobblestone_test

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/cobblestone"
)

const victimChunks = 5

// victim is a message that the tests below change in every way.
type victim struct {
	plain, message []byte
	opener         *cobblestone.Decrypter
}

func newVictim(t *testing.T) *victim {
	plain := randomBytes((victimChunks-1)*chunk + 777)
	message := mustSeal(t, plain)
	return &victim{plain: plain, message: message, opener: newDecrypter(t, message)}
}

// chunks returns the sealed chunks.
func (v *victim) chunks() [][]byte {
	return slices.Collect(slices.Chunk(v.message[header:], storedChunk))
}

// with returns the message with other chunks.
func (v *victim) with(chunks ...[]byte) []byte {
	return slices.Concat(v.message[:header], slices.Concat(chunks...))
}

// intact returns how many full chunks at the start of a changed message are those of the victim.
func (v *victim) intact(changed []byte) int {
	if len(changed) < header || !bytes.Equal(changed[:header], v.message[:header]) {
		return 0
	}
	for i, c := range v.chunks() {
		if len(c) < storedChunk || !bytes.HasPrefix(changed[header+i*storedChunk:], c) {
			return i
		}
	}
	panic("the last chunk is not short")
}

// requireRejected checks that nothing opens a changed message, and that no byte comes out but of the intact chunks before the change.
func (v *victim) requireRejected(t *testing.T, changed []byte) {
	t.Helper()
	opened, err := cobblestone.Open(nil, testKey, testContext, changed)
	require.Equal(t, cobblestone.ErrOpen, err)
	require.Nil(t, opened)

	authentic := v.plain[:v.intact(changed)*chunk]
	r, err := cobblestone.NewDecryptReader(testKey, testContext, bytes.NewReader(changed))
	if err == nil {
		var released []byte
		released, err = io.ReadAll(r)
		require.True(t, bytes.Equal(authentic, released), "%d bytes are released, want %d", len(released), len(authentic))
		requireSticky(t, r, err)
	}
	require.Equal(t, cobblestone.ErrOpen, err)

	v.requireReaderAtRejects(t, changed, authentic)
}

// requireReaderAtRejects uses the victim's header, so that the chunks alone decide.
func (v *victim) requireReaderAtRejects(t *testing.T, changed, authentic []byte) {
	t.Helper()
	if !bytes.HasPrefix(changed, v.message[:header]) {
		return
	}
	r, err := v.opener.NewReaderAt(bytes.NewReader(changed), int64(len(changed)))
	if err == nil {
		buf := make([]byte, r.Size())
		var n int
		n, err = r.ReadAt(buf, 0)
		require.True(t, bytes.Equal(authentic, buf[:n]), "%d bytes are released, want %d", n, len(authentic))
	}
	require.ErrorIs(t, err, cobblestone.ErrOpen)
}

// stride makes a test of every position a test of a sample where time is short.
func stride(full, short int) int {
	if testing.Short() {
		return short
	}
	return full
}

func TestEveryFlippedByte(t *testing.T) {
	v := newVictim(t)
	message, size := slices.Clone(v.message), int64(len(v.plain))
	for i := range header {
		message[i] ^= 0x80
		v.requireRejected(t, message)
		message[i] ^= 0x80
	}
	for i := header; i < len(message); i += stride(1, 37) {
		message[i] ^= 1 << (i % 8)
		k := (i - header) / storedChunk
		r, err := v.opener.NewChunkReader(bytes.NewReader(message[header+k*storedChunk:]), int64(k*chunk), size-int64(k*chunk), size)
		require.NoError(t, err)
		require.Equal(t, cobblestone.ErrOpen, r.Prefetch(), "byte %d", i)
		message[i] ^= 1 << (i % 8)
	}
	for i := header; i < len(message); i += stride(101, 1009) {
		message[i] ^= 1 << (i % 8)
		v.requireRejected(t, message)
		message[i] ^= 1 << (i % 8)
	}
	require.Equal(t, v.message, message)
}

func TestEveryTruncation(t *testing.T) {
	v := newVictim(t)
	size := int64(len(v.plain))
	for n := range header + 20 {
		v.requireRejected(t, v.message[:n])
	}
	for n := header; n < len(v.message); n += stride(1, 37) {
		cut := v.message[:n]
		k := (n - header) / storedChunk
		r, err := v.opener.NewChunkReader(bytes.NewReader(cut[header+k*storedChunk:]), int64(k*chunk), size-int64(k*chunk), size)
		require.NoError(t, err)
		require.Equal(t, cobblestone.ErrOpen, r.Prefetch(), "cut to %d bytes", n)
		v.requireReaderAtRejects(t, cut, v.plain[:k*chunk])
		_, err = v.opener.NewReaderAt(bytes.NewReader(cut), int64(len(v.message)))
		require.Equal(t, cobblestone.ErrOpen, err)
	}
	for n := header; n < len(v.message); n += stride(53, 1009) {
		v.requireRejected(t, v.message[:n])
	}
	for k := range victimChunks {
		edge := header + k*storedChunk
		for _, n := range []int{edge - 1, edge, edge + 1, edge + 15, edge + 16, edge + 17} {
			v.requireRejected(t, v.message[:n])
		}
	}
}

func TestEveryExtension(t *testing.T) {
	v := newVictim(t)
	last := v.chunks()[victimChunks-1]
	for n := 1; n <= 64; n++ {
		v.requireRejected(t, append(slices.Clone(v.message), make([]byte, n)...))
		v.requireRejected(t, append(slices.Clone(v.message), randomBytes(n)...))
		v.requireRejected(t, append(slices.Clone(v.message), last[len(last)-n:]...))
	}
	v.requireRejected(t, append(slices.Clone(v.message), v.message...))
	v.requireRejected(t, append(slices.Clone(v.message), v.message[header:]...))
	v.requireRejected(t, append(slices.Clone(v.message), make([]byte, 3*storedChunk)...))
}

func TestEveryOrderOfChunks(t *testing.T) {
	v := newVictim(t)
	count := 0
	permute(v.chunks(), 0, func(chunks [][]byte) {
		if message := v.with(chunks...); !bytes.Equal(message, v.message) {
			count++
			v.requireRejected(t, message)
			v.requireChunkReaderRejects(t, message)
		}
	})
	require.Equal(t, 119, count)
}

func permute(chunks [][]byte, fixed int, visit func([][]byte)) {
	if fixed == len(chunks) {
		visit(chunks)
	}
	for i := fixed; i < len(chunks); i++ {
		chunks[fixed], chunks[i] = chunks[i], chunks[fixed]
		permute(chunks, fixed+1, visit)
		chunks[fixed], chunks[i] = chunks[i], chunks[fixed]
	}
}

func TestEveryLossOfChunks(t *testing.T) {
	v := newVictim(t)
	for kept := range 1<<victimChunks - 1 {
		var chunks [][]byte
		for i, c := range v.chunks() {
			if kept&(1<<i) != 0 {
				chunks = append(chunks, c)
			}
		}
		v.requireRejected(t, v.with(chunks...))
		v.requireChunkReaderRejects(t, v.with(chunks...))
	}
}

func TestEveryRepeatedOrForeignChunk(t *testing.T) {
	v := newVictim(t)
	foreign := slices.Collect(slices.Chunk(mustSeal(t, v.plain)[header:], storedChunk))
	for i := range victimChunks {
		for j, c := range v.chunks() {
			v.requireRejected(t, v.with(slices.Insert(v.chunks(), i, c)...))
			if i != j {
				v.requireRejected(t, v.with(slices.Replace(v.chunks(), i, i+1, c)...))
				v.requireChunkReaderRejects(t, v.with(slices.Replace(v.chunks(), i, i+1, c)...))
			}
		}
		v.requireRejected(t, v.with(slices.Replace(v.chunks(), i, i+1, foreign[i])...))
		v.requireRejected(t, v.with(append(v.chunks(), v.chunks()[i])...))
	}
	v.requireRejected(t, v.with(foreign...))
}

// requireChunkReaderRejects reads a changed message with the size of the true one.
func (v *victim) requireChunkReaderRejects(t *testing.T, changed []byte) {
	t.Helper()
	size := int64(len(v.plain))
	r, err := v.opener.NewChunkReader(bytes.NewReader(changed[header:]), 0, size, size)
	require.NoError(t, err)
	released, err := io.ReadAll(r)
	require.True(t, bytes.Equal(v.plain[:v.intact(changed)*chunk], released))
	requireFailed(t, r, err)
}

// TestCallerBufferHoldsNoUnauthenticatedPlaintext looks at a buffer that was large enough to be decrypted into.
func TestCallerBufferHoldsNoUnauthenticatedPlaintext(t *testing.T) {
	v := newVictim(t)
	message := slices.Clone(v.message)
	message[header+chunk] ^= 1
	buf := make([]byte, chunk)
	n, err := newDecryptReader(t, bytes.NewReader(message)).Read(buf)
	require.Zero(t, n)
	require.Equal(t, cobblestone.ErrOpen, err)
	require.Equal(t, make([]byte, chunk), buf)

	r, err := v.opener.NewReaderAt(bytes.NewReader(message), int64(len(message)))
	require.NoError(t, err)
	for _, part := range [][]byte{buf, buf[:1], buf[1:]} {
		n, err = r.ReadAt(part, int64(chunk-len(part)))
		require.Zero(t, n)
		require.Equal(t, cobblestone.ErrOpen, err)
		require.Equal(t, make([]byte, chunk), buf)
	}
}
