package keyring_test

import (
	"testing"

	"github.com/objectkms/kms"
)

func BenchmarkGenerateDataKey(b *testing.B) {
	ring := openRing(b, newStore())
	createKey(b, ring, "k")
	req := &kms.GenerateDataKeyRequest{KeyID: "k", Context: kms.EncryptionContext{"bucket": "photos"}}
	run := func() {
		resp, err := ring.GenerateDataKey(b.Context(), req)
		if err != nil {
			b.Error(err)
			return
		}
		resp.Plaintext.Destroy()
	}
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			run()
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				run()
			}
		})
	})
}

func BenchmarkDecrypt(b *testing.B) {
	ring := openRing(b, newStore())
	createKey(b, ring, "k")
	req := &kms.DecryptRequest{Ciphertext: encrypt(b, ring, "k", nil)}
	run := func() {
		resp, err := ring.Decrypt(b.Context(), req)
		if err != nil {
			b.Error(err)
			return
		}
		resp.Plaintext.Destroy()
	}
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			run()
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				run()
			}
		})
	})
}
