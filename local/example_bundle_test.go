//go:build unix

package local_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// A backup, and its restore into another directory under another root key.
func ExampleBackend_Export() {
	ctx := context.Background()
	base, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(base)
	passphrase := kms.NewSecret([]byte("kept apart from the bundle"))

	keys, err := local.New(ctx, local.Config{Dir: filepath.Join(base, "keys"), RootKeyFile: filepath.Join(base, "root.key")})
	if err != nil {
		panic(err)
	}
	defer keys.Close()
	if _, err := keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "photos"}); err != nil {
		panic(err)
	}
	var bundle bytes.Buffer
	if _, err := keys.Export(ctx, &bundle, kms.ExportOptions{Passphrase: passphrase}); err != nil {
		panic(err)
	}

	restored, err := local.New(ctx, local.Config{Dir: filepath.Join(base, "restored"), RootKeyFile: filepath.Join(base, "new.key")})
	if err != nil {
		panic(err)
	}
	defer restored.Close()
	report, err := restored.Import(ctx, &bundle, kms.ImportOptions{Passphrase: passphrase})
	if err != nil {
		panic(err)
	}
	for _, key := range report.Keys {
		fmt.Println(key.Outcome, key.Key.ID, key.Key.State)
	}
	// Output: Added photos Enabled
}

// A root key file is for development. Here the keys come under a root key that the operator keeps.
func ExampleChangeRootKey() {
	ctx := context.Background()
	base, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(base)
	dir := filepath.Join(base, "keys")
	present := local.Config{Dir: dir, RootKeyFile: filepath.Join(base, "root.key")}
	keys, err := present.Open(ctx)
	if err != nil {
		panic(err)
	}
	keys.Close()

	next := local.Config{Dir: dir, Passphrase: kms.NewSecret([]byte("correct horse battery staple"))}
	if err := local.ChangeRootKey(ctx, present, next); err != nil {
		panic(err)
	}
	_, err = present.Open(ctx)
	fmt.Println(err)
	keys, err = next.Open(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(keys.Close())
	// Output:
	// invalid configuration: the directory was set up with a passphrase, not with a raw root key
	// <nil>
}
