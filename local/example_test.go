//go:build unix

package local_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// A Manager over a directory of keys, with a root key that the program brings along.
func Example() {
	ctx := context.Background()
	base, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(base)
	raw := make([]byte, 32)
	rand.Read(raw) // in earnest it comes from where secrets are kept, and stays the same
	root := kms.NewSecret(raw)
	defer root.Destroy()

	keys, err := kms.Open(ctx, kms.Config{
		Backend: local.Config{Dir: filepath.Join(base, "keys"), RootKey: root},
		Options: kms.Options{DefaultKeyID: "photos"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	created, err := keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "photos"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(created.Key.ID, created.Key.State, created.Key.Version)
	// Output: photos Enabled 1
}

// For development, a root key that is made at first use, in a file outside of the directory.
func ExampleConfig_rootKeyFile() {
	base, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(base)
	config := local.Config{Dir: filepath.Join(base, "keys"), RootKeyFile: filepath.Join(base, "root.key")}
	for range 2 { // the second time with the file of the first
		b, err := local.New(context.Background(), config)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(b.HealthCheck(context.Background()), b.Close())
	}
	// Output:
	// <nil> <nil>
	// <nil> <nil>
}
