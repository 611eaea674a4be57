// Package speed measures both engines on a live server.
//
//	go test -run '^$' -bench . ./speed
package speed

import (
	"fmt"
	"testing"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

const keyID = "k"

// engines runs a benchmark over both engines, each through a Manager with the given cache.
func engines(b *testing.B, cache kms.CacheOptions, run func(b *testing.B, keys *kms.Manager)) {
	m := testenv.NewMounts(b)
	for _, engine := range []struct {
		name   string
		engine vault.Engine
	}{{"Transit", vault.Transit}, {"KV2", vault.KV2}} {
		b.Run(engine.name, func(b *testing.B) {
			keys, err := kms.Open(b.Context(), kms.Config{Backend: m.Fresh(b).Config(engine.engine), Options: kms.Options{Cache: cache}})
			must(b, err)
			defer keys.Close()
			_, err = keys.CreateKey(b.Context(), &kms.CreateKeyRequest{KeyID: keyID})
			must(b, err)
			run(b, keys)
		})
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func generate(b *testing.B, keys kms.KeyService) (ciphertext []byte) {
	b.Helper()
	made, err := keys.GenerateDataKey(b.Context(), &kms.GenerateDataKeyRequest{KeyID: keyID})
	must(b, err)
	made.Plaintext.Destroy()
	return made.Ciphertext
}

func decrypt(b *testing.B, keys kms.KeyService, ciphertext []byte) {
	b.Helper()
	opened, err := keys.Decrypt(b.Context(), &kms.DecryptRequest{Ciphertext: ciphertext})
	must(b, err)
	opened.Plaintext.Destroy()
}

func BenchmarkGenerateDataKey(b *testing.B) {
	engines(b, kms.CacheOptions{}, func(b *testing.B, keys *kms.Manager) {
		b.Run("alone", func(b *testing.B) {
			for b.Loop() {
				generate(b, keys)
			}
		})
		b.Run("parallel", func(b *testing.B) {
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					generate(b, keys)
				}
			})
		})
	})
}

// Cold: every data key comes from the backend, which may know the master key.
func BenchmarkDecryptCold(b *testing.B) {
	engines(b, kms.CacheOptions{MaxKeys: 1}, func(b *testing.B, keys *kms.Manager) {
		blobs := [][]byte{generate(b, keys), generate(b, keys)} // there is room in the cache for one of them
		i := 0
		for b.Loop() {
			decrypt(b, keys, blobs[i%2])
			i++
		}
	})
}

// Warm: every data key comes from the Manager's cache.
func BenchmarkDecryptWarm(b *testing.B) {
	engines(b, kms.CacheOptions{}, func(b *testing.B, keys *kms.Manager) {
		blob := generate(b, keys)
		for b.Loop() {
			decrypt(b, keys, blob)
		}
	})
}

// BenchmarkRewrap wraps data keys under the newest version of their master key, after a rotation: in batches of some size each. The figure
// to compare is that for one data key.
func BenchmarkRewrap(b *testing.B) {
	const dataKeys = 10_000
	engines(b, kms.CacheOptions{}, func(b *testing.B, keys *kms.Manager) {
		items := make([]kms.RewrapItem, dataKeys)
		for i := range items {
			items[i].Ciphertext = generate(b, keys)
		}
		_, err := keys.RotateKey(b.Context(), &kms.RotateKeyRequest{KeyID: keyID})
		must(b, err)
		for _, size := range []int{1, 100, dataKeys} {
			b.Run(fmt.Sprintf("%d in batches of %d", dataKeys, size), func(b *testing.B) {
				for b.Loop() {
					for at := 0; at < len(items); at += size {
						rewrap(b, keys, items[at:at+size])
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/dataKeys, "µs/key")
			})
		}
	})
}

func rewrap(b *testing.B, keys *kms.Manager, items []kms.RewrapItem) {
	b.Helper()
	done, err := keys.RewrapDataKeys(b.Context(), &kms.RewrapDataKeysRequest{Items: items})
	must(b, err)
	for _, item := range done.Items {
		must(b, item.Err)
		if item.KeyVersion != 2 || item.Current {
			b.Fatalf("a data key was not wrapped again")
		}
	}
}
