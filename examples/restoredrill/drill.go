package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// A sample is a wrapped data key of an object, as a server finds it in the envelope.
type sample struct {
	ciphertext []byte
	context    kms.EncryptionContext
}

func wrapSample(ctx context.Context, keys kms.KeyService, id string) (sample, error) {
	s := sample{context: kms.EncryptionContext{"purpose": "sample of " + id}}
	dk, err := keys.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: id, Context: s.context, WithoutPlaintext: true})
	if err != nil {
		return sample{}, err
	}
	s.ciphertext = dk.Ciphertext
	return s, nil
}

// backUp writes all keys to a file. The service goes on meanwhile: a directory may be open more than once.
func backUp(ctx context.Context, c local.Config, path string, passphrase *kms.Secret, out io.Writer) (err error) {
	keys, err := local.New(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	report, err := keys.Export(ctx, file, kms.ExportOptions{Passphrase: passphrase})
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // half a bundle is none
	}
	fmt.Fprintf(out, "backed up %d keys\n", len(report.Keys))
	return nil
}

// drill restores a bundle into a directory that must not exist, and opens every sample with what it finds there.
func drill(ctx context.Context, dir, bundle string, passphrase *kms.Secret, samples []sample, out io.Writer) (err error) {
	keys, err := local.New(ctx, local.Config{Dir: dir, RootKeyFile: dir + ".root.key"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Close(), os.RemoveAll(dir), os.Remove(dir+".root.key")) }()
	file, err := os.Open(bundle)
	if err != nil {
		return err
	}
	defer file.Close()
	report, err := keys.Import(ctx, file, kms.ImportOptions{Passphrase: passphrase})
	if err != nil {
		return fmt.Errorf("the bundle cannot be restored: %w", err)
	}
	for _, key := range report.Keys {
		fmt.Fprintf(out, "%s: %s, %s, %d versions\n", key.Outcome, key.Key.ID, key.Key.State, key.Key.Version)
	}
	for i, s := range samples {
		dk, err := keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: s.ciphertext, Context: s.context})
		if err != nil {
			return fmt.Errorf("sample %d does not open with the restored keys: %w", i+1, err)
		}
		dk.Plaintext.Destroy()
		fmt.Fprintf(out, "sample %d opens under %s, version %d\n", i+1, dk.KeyID, dk.KeyVersion)
	}
	fmt.Fprintln(out, "the backup can be restored")
	return nil
}
