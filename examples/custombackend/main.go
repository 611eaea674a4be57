// Custombackend shows a backend of one's own: one master key from an environment variable.
//
//	export KMS_STATIC_KEY="demo:$(openssl rand -base64 32)"
//	go run ./examples/custombackend
//
// The backend is in static.go: a configuration that opens itself, and a type with the methods of
// kms.Backend. The Manager adds validation, attempts, caches and the uniform errors. decoder.go makes it
// configurable from JSON, as from a file that is named as the argument.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/objectkms/kms"
)

const variable = "KMS_STATIC_KEY"

func main() {
	if err := run(context.Background(), os.Stdout, os.Getenv(variable), os.Args[1:]...); err != nil {
		fmt.Fprintln(os.Stderr, "custombackend:", err)
		os.Exit(1)
	}
}

// run makes a data key under the default key and opens it again.
func run(ctx context.Context, out io.Writer, setting string, files ...string) error {
	config, err := configure(setting, files)
	if err != nil {
		return err
	}
	if key, ok := config.Backend.(StaticKey); ok {
		defer key.Material.Destroy()
	}
	keys, err := kms.Open(ctx, config)
	if err != nil {
		return err
	}
	defer keys.Close()

	about := kms.EncryptionContext{"tenant": "blue"}
	dataKey, err := keys.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{Context: about})
	if err != nil {
		return err
	}
	defer dataKey.Plaintext.Destroy()
	fmt.Fprintf(out, "key %q wrapped a data key of %d bytes in %d bytes\n", dataKey.KeyID, dataKey.Plaintext.Len(), len(dataKey.Ciphertext))

	return open(ctx, out, keys, dataKey.Ciphertext, about)
}

// configure reads the configuration from a file, or else makes one of the static key.
func configure(setting string, files []string) (kms.Config, error) {
	if len(files) > 0 {
		return decoders().ConfigFromFile(files[0])
	}
	key, err := parseStaticKey(setting)
	return kms.Config{Backend: key, Options: kms.Options{DefaultKeyID: key.ID}}, err
}

// open unwraps the data key with its context, and shows that another context is refused.
func open(ctx context.Context, out io.Writer, keys kms.KeyService, wrapped []byte, about kms.EncryptionContext) error {
	again, err := keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: wrapped, Context: about})
	if err != nil {
		return err
	}
	defer again.Plaintext.Destroy()
	fmt.Fprintf(out, "unwrapped again: %d bytes\n", again.Plaintext.Len())

	_, err = keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: wrapped, Context: kms.EncryptionContext{"tenant": "red"}})
	if !errors.Is(err, kms.ErrDecrypt) {
		return fmt.Errorf("another context: got %v, want %w", err, kms.ErrDecrypt)
	}
	fmt.Fprintln(out, "another context is refused:", err)
	return nil
}

// parseStaticKey reads "name:base64 of 32 bytes". Its errors do not show the setting.
func parseStaticKey(setting string) (StaticKey, error) {
	id, encoded, _ := strings.Cut(setting, ":")
	material, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(material) != 32 {
		clear(material)
		return StaticKey{}, fmt.Errorf("%w: %s is not set to name:base64 of 32 bytes", kms.ErrInvalidConfig, variable)
	}
	return StaticKey{ID: id, Material: kms.NewSecret(material)}, nil
}
