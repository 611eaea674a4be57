package cobblestone_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/cobblestone"
)

var benchmarkSizes = []int{1 << 10, 64 << 10, 1 << 20, 64 << 20}

func BenchmarkSeal32(b *testing.B) {
	plain, dst := make([]byte, 32), make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		_, err := cobblestone.Seal(dst, testKey, testContext, plain)
		require.NoError(b, err)
	}
}

func BenchmarkOpen32(b *testing.B) {
	message, dst := mustSeal(b, make([]byte, 32)), make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		_, err := cobblestone.Open(dst, testKey, testContext, message)
		require.NoError(b, err)
	}
}

// BenchmarkRawGCM is what the streams are compared with.
func BenchmarkRawGCM(b *testing.B) {
	block, err := aes.NewCipher(testKey)
	require.NoError(b, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(b, err)
	buf, nonce := make([]byte, 64<<10, 64<<10+cobblestone.Overhead), make([]byte, 12)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		aead.Seal(buf[:0], nonce, buf, nil)
	}
}

func BenchmarkEncryptReader(b *testing.B) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			plain := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				_, err := io.Copy(io.Discard, newEncryptReader(b, bytes.NewReader(plain)))
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkDecryptReader(b *testing.B) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			message := mustSeal(b, make([]byte, size))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				_, err := io.Copy(io.Discard, newDecryptReader(b, bytes.NewReader(message)))
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkRead has a caller's buffer of 1 MiB filled in place of WriteTo.
func BenchmarkRead(b *testing.B) {
	const size = 64 << 20
	buf, message := make([]byte, 1<<20), mustSeal(b, make([]byte, size))
	b.SetBytes(size)
	for b.Loop() {
		r := newDecryptReader(b, bytes.NewReader(message))
		var err error
		for err == nil {
			_, err = io.ReadFull(r, buf)
		}
		require.Equal(b, io.EOF, err)
	}
}

func BenchmarkRangeOfOneByte(b *testing.B) {
	const size, off = 1 << 20, 600_000
	message := mustSeal(b, make([]byte, size))
	start, _, err := cobblestone.Span(off, 1, size)
	require.NoError(b, err)
	buf := make([]byte, 1)
	b.ReportAllocs()
	for b.Loop() {
		d := newDecrypter(b, message)
		r, err := d.NewChunkReader(bytes.NewReader(message[start:]), off, 1, size)
		require.NoError(b, err)
		_, err = io.ReadFull(r, buf)
		require.NoError(b, err)
	}
}

func BenchmarkReadAtOfOneByte(b *testing.B) {
	const size, off = 1 << 20, 600_000
	message := mustSeal(b, make([]byte, size))
	r, err := newDecrypter(b, message).NewReaderAt(bytes.NewReader(message), int64(len(message)))
	require.NoError(b, err)
	buf := make([]byte, 1)
	b.ReportAllocs()
	for b.Loop() {
		_, err = r.ReadAt(buf, off)
		require.NoError(b, err)
	}
}
