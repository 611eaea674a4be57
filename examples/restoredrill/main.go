// Restoredrill shows a backup of a key directory, and the drill that proves that it can be restored.
//
//	go run ./examples/restoredrill
//
// A backup that nobody has restored is a hope. The drill restores the newest bundle into an empty directory that has a root
// key of its own, away from the running service, and opens a few wrapped data keys of real objects with it. It
// needs the bundle and its passphrase, and neither the root key nor the files of the directory that was backed up.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "restoredrill:", err)
		os.Exit(1)
	}
}

// run makes a service that has something to lose, backs it up, and drills its restore.
func run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "restoredrill-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	service := local.Config{Dir: filepath.Join(dir, "keys"), RootKeyFile: filepath.Join(dir, "root.key")}
	samples, err := serve(ctx, service)
	if err != nil {
		return err
	}
	bundle, passphrase := filepath.Join(dir, "keys.bundle"), kms.NewSecret([]byte("kept in another safe than the bundle"))
	if err := backUp(ctx, service, bundle, passphrase, out); err != nil {
		return err
	}
	// From here on only the bundle, its passphrase and the samples are used.
	return drill(ctx, filepath.Join(dir, "drill"), bundle, passphrase, samples, out)
}

// serve does what a server does: it makes keys, rotates them, and wraps data keys, of which it returns one for each version.
func serve(ctx context.Context, c local.Config) (samples []sample, err error) {
	keys, err := local.New(ctx, c)
	if err != nil {
		return nil, err
	}
	defer keys.Close()
	for _, id := range []string{"invoices", "photos"} {
		if _, err := keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id}); err != nil {
			return nil, err
		}
		for range 2 {
			s, err := wrapSample(ctx, keys, id)
			if err != nil {
				return nil, err
			}
			samples = append(samples, s)
			if _, err := keys.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: id}); err != nil {
				return nil, err
			}
		}
	}
	return samples, nil
}
