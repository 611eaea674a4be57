package vault_test

import (
	"context"
	"fmt"
	"log"

	"github.com/hashicorp/vault/api"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

func Example() {
	keys, err := kms.Open(context.Background(), kms.Config{
		Backend: vault.Config{
			Address: "https://vault.example:8200",
			Auth:    vault.AppRoleAuth{RoleID: "3f1c", SecretIDFile: "/etc/objectkms/secret-id"},
			TLS:     vault.TLS{CAFile: "/etc/ssl/vault-ca.pem"},
		},
		Options: kms.Options{DefaultKeyID: "default"},
	})
	if err != nil {
		log.Print(err)
		return
	}
	defer keys.Close()
}

// A program that has a client of Vault's own library gives it to New, here one that reaches a server of the tests.
func ExampleNew() {
	ctx := context.Background()
	server, err := api.NewClient(&api.Config{Address: "https://vault.example:8200", HttpClient: newFakeVault().connections()})
	if err != nil {
		log.Fatal(err)
	}
	server.SetToken("hvs.of-the-caller")

	keys, err := vault.New(ctx, server, vault.Config{Engine: vault.Transit})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	created, err := keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "photos"})
	if err != nil {
		log.Fatal(err)
	}
	dk, err := keys.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: "photos"})
	if err != nil {
		log.Fatal(err)
	}
	defer dk.Plaintext.Destroy()
	fmt.Println(created.Key.State, created.Key.NativeRewrap, dk.Plaintext.Len())
	// Output: Enabled true 32
}
