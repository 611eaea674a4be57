package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// A walk is one object on its way through the library, and where its parts are stored.
type walk struct {
	out     console
	keys    *kms.Manager
	objects *encryption.Service

	plain        string // the path of the file
	plainSize    int64
	plainSum     [sha256.Size]byte
	body         string // the path of the encrypted body
	envelopePath string

	id      encryption.ObjectID
	request encryption.Request
}

// walkThrough runs all steps in their order.
func walkThrough(ctx context.Context, store keyStore, dir, file string, out console) (err error) {
	out.line("1. %s", store.title)
	for _, line := range store.lines {
		out.line("   %s", line)
	}
	keys, err := kms.Open(ctx, kms.Config{Backend: store.backend})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()

	w, err := newWalk(keys, store.keyID, dir, file, out)
	if err != nil {
		return err
	}
	steps := []struct {
		title string
		run   func(context.Context) error
	}{
		{"A master key", w.createKey},
		{"The file becomes an encrypted object", w.encrypt},
		{"A range of it, without reading the rest", w.readRange},
		{"The whole of it", w.readAll},
		{"The key is rotated, and the envelope follows: no data moves", w.rotate},
		{"The same range, through the new envelope", w.readRange},
		{"What is refused", w.refuse},
	}
	for i, step := range steps {
		out.line("%d. %s", i+2, step.title)
		if err := step.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// newWalk prepares to store a file as an object.
func newWalk(keys *kms.Manager, keyID, dir, file string, out console) (*walk, error) {
	sum, size, err := sumFile(file)
	if err != nil {
		return nil, err
	}
	objects := filepath.Join(dir, "objects")
	if err := os.Mkdir(objects, 0o700); err != nil {
		return nil, err
	}
	name := filepath.Base(file)
	return &walk{
		out:          out,
		keys:         keys,
		objects:      encryption.NewService(keys, encryption.Options{}),
		plain:        file,
		plainSize:    size,
		plainSum:     sum,
		body:         filepath.Join(objects, name),
		envelopePath: filepath.Join(objects, name+".envelope"),
		id:           encryption.ObjectID{Bucket: "album", Key: "2026/" + name},
		request: encryption.Request{
			Mode:      encryption.SSEKMS,
			KeyID:     keyID,
			Context:   kms.EncryptionContext{"project": "quickstart"},
			PlainSize: size,
		},
	}, nil
}

func (w *walk) createKey(ctx context.Context) error {
	made, err := w.keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: w.request.KeyID, Description: "of the quick start"})
	if err != nil {
		return err
	}
	w.out.line("   %s: %s, version %d", made.Key.ID, made.Key.State, made.Key.Version)
	return nil
}

// encrypt stores the encrypted body, and beside it the envelope.
func (w *walk) encrypt(ctx context.Context) error {
	file, err := os.Open(w.plain)
	if err != nil {
		return err
	}
	defer file.Close()
	plain := watch(ctx, file, w.plainSize, w.out)

	object, err := w.objects.EncryptStream(ctx, w.id, &w.request, plain)
	if err != nil {
		return err
	}
	defer object.Close()
	if err := writeFile(w.body, object); err != nil {
		return err
	}
	speed := plain.finish()

	envelope, err := object.Envelope()
	if err != nil {
		return err
	}
	stored := encryption.StoredSize(w.plainSize)
	w.out.line("   %s -> %s, %s (%+.2f %%), at %s", bytesText(w.plainSize), w.body, bytesText(stored), percentMore(stored, w.plainSize), speed)
	return w.storeEnvelope(envelope)
}

func (w *walk) storeEnvelope(envelope *encryption.Envelope) error {
	text, err := envelope.MarshalText()
	if err != nil {
		return err
	}
	w.out.line("   envelope -> %s, %d bytes", w.envelopePath, len(text))
	return os.WriteFile(w.envelopePath, text, 0o600)
}

func (w *walk) loadEnvelope() (*encryption.Envelope, error) {
	text, err := os.ReadFile(w.envelopePath)
	if err != nil {
		return nil, err
	}
	envelope := new(encryption.Envelope)
	return envelope, envelope.UnmarshalText(text)
}

// readRange reads up to 1,000 bytes from the middle, for which one or two chunks of 16 KiB are read.
func (w *walk) readRange(ctx context.Context) error {
	off := w.plainSize / 2
	got := make([]byte, min(1000, w.plainSize-off))
	if err := w.readAt(ctx, got, off); err != nil {
		return err
	}
	file, err := os.Open(w.plain)
	if err != nil {
		return err
	}
	defer file.Close()
	want := make([]byte, len(got))
	if _, err := io.ReadFull(io.NewSectionReader(file, off, int64(len(want))), want); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("the range is not what was stored")
	}
	w.out.line("   %d bytes from %d are those of the file", len(got), off)
	return nil
}

func (w *walk) readAt(ctx context.Context, p []byte, off int64) error {
	envelope, err := w.loadEnvelope()
	if err != nil {
		return err
	}
	object, err := w.objects.OpenObject(ctx, w.id, envelope, nil, encryption.StoredSize(w.plainSize))
	if err != nil {
		return err
	}
	defer object.Close()
	stored, err := os.Open(w.body)
	if err != nil {
		return err
	}
	defer stored.Close()
	plain, err := object.NewReaderAt(stored)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(io.NewSectionReader(plain, off, int64(len(p))), p)
	return err
}

// readAll decrypts the whole object and compares its SHA-256 with the file's.
func (w *walk) readAll(ctx context.Context) error {
	hash := sha256.New()
	speed, err := w.decryptTo(ctx, hash, w.id)
	if err != nil {
		return err
	}
	if !bytes.Equal(hash.Sum(nil), w.plainSum[:]) {
		return errors.New("the object is not what was stored")
	}
	w.out.line("   SHA-256 %x, as the file's, at %s with hashing", w.plainSum[:8], speed)
	return nil
}

// decryptTo writes the plaintext of the stored body to dst, as the object with the given name.
func (w *walk) decryptTo(ctx context.Context, dst io.Writer, id encryption.ObjectID) (speed string, err error) {
	envelope, err := w.loadEnvelope()
	if err != nil {
		return "", err
	}
	file, err := os.Open(w.body)
	if err != nil {
		return "", err
	}
	defer file.Close()
	stored := watch(ctx, file, encryption.StoredSize(w.plainSize), w.out)
	plain, err := w.objects.DecryptStream(ctx, id, envelope, nil, stored)
	if err != nil {
		return "", err
	}
	defer plain.Close()
	_, err = io.Copy(dst, plain)
	return stored.finish(), err
}

// rotate gives the master key a new version, and wraps the object's data key under it.
func (w *walk) rotate(ctx context.Context) error {
	rotated, err := w.keys.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: w.request.KeyID})
	if err != nil {
		return err
	}
	w.out.line("   %s: version %d; version 1 still decrypts", rotated.Key.ID, rotated.Key.Version)
	old, err := w.loadEnvelope()
	if err != nil {
		return err
	}
	envelope, err := w.objects.Rewrap(ctx, w.id, old, nil, w.id, &w.request)
	if err != nil {
		return err
	}
	return w.storeEnvelope(envelope)
}

// refuse tries what must not work: a changed byte, and the body under the name of another object.
func (w *walk) refuse(ctx context.Context) error {
	if err := flipByte(w.body); err != nil {
		return err
	}
	_, tampered := w.decryptTo(ctx, io.Discard, w.id)
	if err := flipByte(w.body); err != nil {
		return err
	}
	other := encryption.ObjectID{Bucket: w.id.Bucket, Key: "2026/another"}
	_, renamed := w.decryptTo(ctx, io.Discard, other)
	for _, refused := range []struct {
		what string
		err  error
	}{{"one bit of the body changed", tampered}, {"another object's name", renamed}} {
		if !errors.Is(refused.err, kms.ErrDecrypt) {
			return fmt.Errorf("%s: got %v, want %w", refused.what, refused.err, kms.ErrDecrypt)
		}
		w.out.line("   %s: %v", refused.what, refused.err)
	}
	return nil
}

// percentMore returns by how many percent the stored size is larger.
func percentMore(stored, plain int64) float64 {
	if plain == 0 {
		return 0
	}
	return 100 * float64(stored-plain) / float64(plain)
}
