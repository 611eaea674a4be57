package kms_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

// A program opens a Manager over a backend, here the one in memory, makes a master key once, and
// asks for a data key whenever it has something to encrypt.
func Example() {
	ctx := context.Background()
	keys, err := kms.Open(ctx, kms.Config{Backend: mock.New(), Options: kms.Options{DefaultKeyID: "photos"}})
	if err != nil {
		panic(err)
	}
	defer keys.Close()
	if _, err := keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "photos"}); err != nil {
		panic(err)
	}

	ec := kms.EncryptionContext{"album": "summer"}
	dk, err := keys.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{Context: ec})
	if err != nil {
		panic(err)
	}
	defer dk.Plaintext.Destroy() // encrypt with it, and store dk.Ciphertext beside the data

	again, err := keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: dk.Ciphertext, Context: ec})
	if err != nil {
		panic(err)
	}
	defer again.Plaintext.Destroy()
	fmt.Println(again.KeyID, again.KeyVersion, again.Plaintext.Len())

	_, err = keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: dk.Ciphertext})
	fmt.Println(err)
	// Output:
	// photos 1 32
	// kms: Decrypt: decryption failed
}

// After a change of backend, the old one goes on serving what it wrapped, and RewrapDataKeys
// moves it.
func ExampleConfig_former() {
	ctx := context.Background()
	old := mock.New()
	if _, err := old.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "2025"}); err != nil {
		panic(err)
	}
	dk, err := old.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: "2025"})
	if err != nil {
		panic(err)
	}
	dk.Plaintext.Destroy()

	keys, err := kms.Open(ctx, kms.Config{Backend: mock.New(), Former: []kms.BackendConfig{old}})
	if err != nil {
		panic(err)
	}
	defer keys.Close()
	if _, err := keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "2026"}); err != nil {
		panic(err)
	}
	resp, err := keys.RewrapDataKeys(ctx, &kms.RewrapDataKeysRequest{
		KeyID: "2026",
		Items: []kms.RewrapItem{{Ciphertext: dk.Ciphertext}},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(resp.Items[0].SourceKeyID, "->", resp.Items[0].KeyID, resp.Items[0].Err)
	// Output: 2025 -> 2026 <nil>
}

func ExampleOptions_authorize() {
	ctx := context.Background()
	keys := kms.NewManager(mock.New(), kms.Options{
		Authorize: func(_ context.Context, op, keyID string, _ kms.EncryptionContext) error {
			if op == "DeleteKey" {
				return errors.New("only the security team deletes keys")
			}
			return nil
		},
	})
	defer keys.Close()
	_, err := keys.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "photos"})
	fmt.Println(err)
	fmt.Println(kms.HTTPStatus(err), kms.KindOf(err), errors.Is(err, kms.ErrPermission))
	// Output:
	// kms: DeleteKey "photos": permission denied: only the security team deletes keys
	// 403 Backend true
}

func ExampleManager_Capabilities() {
	keys := kms.NewManager(mock.New(), kms.Options{})
	defer keys.Close()
	fmt.Println(keys.Capabilities().Rotate)
	// Output: true
}

func ExampleSecret() {
	password := kms.NewSecret([]byte("correct horse"))
	defer password.Destroy()
	fmt.Println(password, password.Len())
	slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})).Info("login", "password", password)
	// Output:
	// [secret] 13
	// level=INFO msg=login password=[secret]
}
