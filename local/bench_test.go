//go:build unix

package local_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

func BenchmarkGenerateDataKey(b *testing.B) {
	backend := open(b, config(newDir(b)))
	create(b, backend, "k")
	req := &kms.GenerateDataKeyRequest{KeyID: "k", Context: ec("k")}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := backend.GenerateDataKey(b.Context(), req)
			if err != nil {
				b.Error(err)
				return
			}
			resp.Plaintext.Destroy()
		}
	})
}

// BenchmarkDecrypt is without the cache of a Manager.
func BenchmarkDecrypt(b *testing.B) {
	backend := open(b, config(newDir(b)))
	create(b, backend, "k")
	req := &kms.DecryptRequest{Ciphertext: wrap(b, backend, "k"), Context: ec("k")}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := backend.Decrypt(b.Context(), req)
			if err != nil {
				b.Error(err)
				return
			}
			resp.Plaintext.Destroy()
		}
	})
}

func BenchmarkCreateKey(b *testing.B) {
	backend := open(b, config(newDir(b)))
	for i := range b.N {
		create(b, backend, fmt.Sprint("k", i))
	}
}

// manyKeys returns a directory of 10,000 keys, closed.
func manyKeys(b *testing.B) local.Config {
	c := config(newDir(b))
	backend := open(b, c)
	for i := range 10_000 {
		create(b, backend, fmt.Sprintf("key-%05d", i))
	}
	require.NoError(b, backend.Close())
	return c
}

func BenchmarkTenThousandKeys(b *testing.B) {
	if testing.Short() {
		b.Skip("making the keys takes half a minute")
	}
	c := manyKeys(b)
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, open(b, c).Close())
		}
	})
	b.Run("page of 1000, first", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			backend := open(b, c)
			b.StartTimer()
			listPage(b, backend, "")
			b.StopTimer()
			require.NoError(b, backend.Close())
			b.StartTimer()
		}
	})
	b.Run("page of 1000, later", func(b *testing.B) {
		backend := open(b, c)
		for i := 0; b.Loop(); i++ {
			listPage(b, backend, fmt.Sprintf("key-0%d", i%9))
		}
	})
}

func listPage(b *testing.B, backend *local.Backend, marker string) {
	list, err := backend.ListKeys(b.Context(), &kms.ListKeysRequest{Limit: 1000, Marker: marker})
	require.NoError(b, err)
	require.Len(b, list.Keys, 1000)
}
