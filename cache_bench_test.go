package kms_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

// With -cpu 1,2 it shows whether calls that the caches answer wait for one another.
func BenchmarkWarmDecrypt(b *testing.B) {
	ctx := b.Context()
	m := kms.NewManager(mock.New(), kms.Options{DefaultKeyID: "k"})
	defer m.Close()
	_, err := m.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "k"})
	require.NoError(b, err)
	var reqs []*kms.DecryptRequest
	for i := range 500 {
		ec := kms.EncryptionContext{"object": fmt.Sprint(i)}
		dk, err := m.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{Context: ec})
		require.NoError(b, err)
		dk.Plaintext.Destroy()
		reqs = append(reqs, &kms.DecryptRequest{Ciphertext: dk.Ciphertext, Context: ec})
	}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			resp, err := m.Decrypt(ctx, reqs[i%len(reqs)])
			if err != nil {
				b.Error(err)
				return
			}
			resp.Plaintext.Destroy()
		}
	})
}
