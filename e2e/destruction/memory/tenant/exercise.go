package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// A fullBackend has everything but bundles.
type fullBackend interface {
	kms.Backend
	kms.KeyStateChanger
	kms.KeyRotator
	kms.KeyImporter
	kms.KeyUpdater
	kms.DataKeyRewrapper
	kms.ExpiredKeyRemover
}

func id(i int) string { return "key-" + strconv.Itoa(i) }

// exercise calls every method of a local backend, with many keys, two versions each, which are more than the arena has room for.
func exercise(ctx context.Context, b *local.Backend, n int) error {
	if err := exerciseCommon(ctx, b, n); err != nil {
		return err
	}
	key := kms.NewSecret(bytes.Repeat([]byte{9}, 32))
	var bundle bytes.Buffer
	exported, err := b.Export(ctx, &bundle, kms.ExportOptions{Key: key})
	if err != nil {
		return err
	}
	if _, err := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id(0), Immediate: true, ConfirmKeyID: id(0)}); err != nil {
		return err
	}
	imported, err := b.Import(ctx, &bundle, kms.ImportOptions{Key: key})
	if err != nil {
		return err
	}
	if len(imported.Keys) != len(exported.Keys) {
		return fmt.Errorf("%d keys were exported, %d imported", len(exported.Keys), len(imported.Keys))
	}
	return wrapAll(ctx, b, n)
}

func exerciseCommon(ctx context.Context, b fullBackend, n int) error {
	for i := range n {
		if _, err := b.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id(i)}); err != nil {
			return err
		}
	}
	if err := wrapAll(ctx, b, n); err != nil {
		return err
	}
	for i := range n {
		if _, err := b.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: id(i)}); err != nil {
			return err
		}
	}
	if err := wrapAll(ctx, b, n); err != nil {
		return err
	}
	return lifeOfAKey(ctx, b)
}

// wrapAll uses all keys, from several goroutines.
func wrapAll(ctx context.Context, b kms.KeyService, n int) error {
	const together = 4
	errs := make([]error, together)
	var wg sync.WaitGroup
	for g := range together {
		wg.Go(func() {
			for i := g; i < n && errs[g] == nil; i += together {
				errs[g] = wrap(ctx, b, id(i))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func wrap(ctx context.Context, b kms.KeyService, keyID string) error {
	dk, err := b.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: keyID})
	if err != nil {
		return err
	}
	defer dk.Plaintext.Destroy()
	opened, err := b.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: dk.Ciphertext})
	if err != nil {
		return err
	}
	defer opened.Plaintext.Destroy()
	if !bytes.Equal(opened.Plaintext.Bytes(), dk.Plaintext.Bytes()) {
		return errors.New("another data key was opened than was wrapped")
	}
	_, err = b.Encrypt(ctx, &kms.EncryptRequest{KeyID: keyID, Plaintext: []byte("text")})
	return err
}

// lifeOfAKey calls all that was not called yet.
func lifeOfAKey(ctx context.Context, b fullBackend) error {
	const name = "imported"
	_, imported := b.ImportKey(ctx, &kms.ImportKeyRequest{KeyID: name, Material: kms.NewSecret(bytes.Repeat([]byte{5}, 32))})
	dk, err := b.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: name, WithoutPlaintext: true})
	if err := errors.Join(imported, err); err != nil {
		return err
	}
	_, described := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: name})
	_, listed := b.ListKeys(ctx, &kms.ListKeysRequest{})
	_, updated := b.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionRequest{KeyID: name, Description: "d"})
	_, tagged := b.TagKey(ctx, &kms.TagKeyRequest{KeyID: name, Tags: map[string]string{"a": "b"}})
	_, untagged := b.UntagKey(ctx, &kms.UntagKeyRequest{KeyID: name, TagKeys: []string{"a"}})
	_, rotated := b.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: name})
	_, rewrapped := b.RewrapDataKeys(ctx, &kms.RewrapDataKeysRequest{Items: []kms.RewrapItem{{Ciphertext: dk.Ciphertext}}})
	_, disabled := b.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: name})
	_, enabled := b.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: name})
	_, scheduled := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: name})
	_, cancelled := b.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: name})
	_, swept := b.RemoveExpiredKeys(ctx, time.Now())
	_, deleted := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: name, Immediate: true, ConfirmKeyID: name})
	return errors.Join(described, listed, updated, tagged, untagged, rotated, rewrapped, disabled, enabled, scheduled, cancelled, swept, deleted,
		b.HealthCheck(ctx))
}
