//go:build unix

package keydir_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkStamp(b *testing.B) {
	d := open(b, newDir(b))
	b.ReportAllocs()
	for b.Loop() {
		_, stable, err := d.Stamp(b.Context())
		if err != nil || !stable {
			b.Fatal(stable, err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	d := open(b, newDir(b))
	store(b, d, "a", string(make([]byte, 500)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := d.Get(b.Context(), "a")
		require.NoError(b, err)
	}
}

func BenchmarkMutate(b *testing.B) {
	d := open(b, newDir(b))
	for b.Loop() {
		store(b, d, "a", "record")
	}
}

// BenchmarkList lists pages of 1,000 of 10,000 ids: first with a directory that was just opened, then again.
func BenchmarkList(b *testing.B) {
	dir := newDir(b)
	for i := range 10_000 {
		require.NoError(b, os.WriteFile(recordPath(dir, fmt.Sprintf("key-%05d", i)), nil, 0o600))
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			d := open(b, dir)
			_, err := d.List(b.Context(), "key-03999", 1000)
			require.NoError(b, err)
			require.NoError(b, d.Close())
		}
	})
	b.Run("again", func(b *testing.B) {
		d := open(b, dir)
		for b.Loop() {
			_, err := d.List(b.Context(), "key-03999", 1000)
			require.NoError(b, err)
		}
	})
}
