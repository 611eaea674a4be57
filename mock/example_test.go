package mock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

func Example() {
	ctx := context.Background()
	keys := mock.New()
	defer keys.Close()
	if _, err := keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "photos"}); err != nil {
		panic(err)
	}

	wrapped, err := keys.Encrypt(ctx, &kms.EncryptRequest{
		KeyID:     "photos",
		Plaintext: []byte("a small secret"),
		Context:   kms.EncryptionContext{"user": "anna"},
	})
	if err != nil {
		panic(err)
	}
	_, err = keys.Decrypt(ctx, &kms.DecryptRequest{
		Ciphertext: wrapped.Ciphertext,
		Context:    kms.EncryptionContext{"user": "bert"},
	})
	fmt.Println(err)
	// Output: decryption failed
}

func ExampleBackend_FailNext() {
	ctx := context.Background()
	keys := mock.New()
	keys.FailNext("HealthCheck", kms.ErrUnavailable)
	fmt.Println(errors.Is(keys.HealthCheck(ctx), kms.ErrUnavailable))
	fmt.Println(keys.HealthCheck(ctx))
	// Output:
	// true
	// <nil>
}

func ExampleBackend_Delay() {
	keys := mock.New()
	keys.Delay("HealthCheck", time.Hour)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	fmt.Println(keys.HealthCheck(ctx))
	// Output: context deadline exceeded
}

func ExampleBackend_Open() {
	ctx := context.Background()
	keys := mock.New()
	if _, err := keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "photos"}); err != nil {
		panic(err)
	}
	keys.Close()

	again, err := keys.Open(ctx)
	if err != nil {
		panic(err)
	}
	defer again.Close()
	found, err := again.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: "photos"})
	fmt.Println(found.Key.State, err)
	// Output: Enabled <nil>
}

func ExampleBackend_Calls() {
	ctx := context.Background()
	keys := mock.New()
	keys.HealthCheck(ctx)
	keys.HealthCheck(ctx)
	fmt.Println(keys.Calls("HealthCheck"), keys.Calls("Decrypt"))
	// Output: 2 0
}
