package history

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/objectkms/kms"
)

// A Backend has all operations that a key directory has.
type Backend interface {
	kms.Backend
	kms.KeyStateChanger
	kms.KeyRotator
	kms.KeyImporter
	kms.KeyUpdater
	kms.ExpiredKeyRemover
	kms.KeyBundler
}

// A Directory is where the steps are taken. Its root keys have numbers, of which there are two: 0 and 1.
type Directory interface {
	Open(ctx context.Context, root int) (Backend, error)
	ChangeRoot(ctx context.Context, from, to int) error
}

// Hands take the steps of one owner.
type Hands struct {
	dir     Directory
	owner   Owner
	root    int
	backend Backend

	// Bundle is what Export has made last, and Restore imports.
	Bundle []byte
}

// NewHands opens a directory for an owner, with whichever root key opens it.
func NewHands(ctx context.Context, dir Directory, owner Owner, root int) (*Hands, error) {
	h := &Hands{dir: dir, owner: owner, root: root}
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

// open tries the root keys in turn. Somebody may change them meanwhile.
func (h *Hands) open(ctx context.Context) (err error) {
	for range 10 {
		if h.backend, err = h.dir.Open(ctx, h.root); !errors.Is(err, kms.ErrKeyMaterial) {
			return err
		}
		h.root = 1 - h.root
	}
	return err
}

// Reopen opens the directory again, after somebody else has changed its root key.
func (h *Hands) Reopen(ctx context.Context) error {
	if err := h.backend.Close(); err != nil {
		return err
	}
	return h.open(ctx)
}

// Close closes the directory.
func (h *Hands) Close() error { return h.backend.Close() }

// A Sealed is a wrapped text, and the version that wrapped it.
type Sealed struct {
	Version int
	Blob    []byte
}

// text is what the steps seal.
func text(id string, version int) []byte {
	return fmt.Appendf(nil, "text of %s, version %d", id, version)
}

func contextOf(id string) kms.EncryptionContext { return kms.EncryptionContext{"key": id} }

// Do takes a step. It returns what a Seal has made.
func (h *Hands) Do(ctx context.Context, st Step) (sealed Sealed, err error) {
	switch st.Kind {
	case Seal:
		return seal(ctx, h.backend, st.Key)
	case Export:
		h.Bundle, err = h.export(ctx)
	case Restore:
		_, err = h.backend.Import(ctx, bytes.NewReader(h.Bundle), kms.ImportOptions{Key: bundleKey(), SkipConflicts: true})
	case Reroot:
		if err = h.dir.ChangeRoot(ctx, h.root, 1-h.root); err == nil {
			h.root = 1 - h.root
			err = h.Reopen(ctx)
		}
	case Sweep:
		_, err = h.backend.RemoveExpiredKeys(ctx, time.Now().AddDate(0, 0, shortestWindow+1))
	default:
		err = h.change(ctx, st)
	}
	return Sealed{}, err
}

// export returns a bundle of the owner's keys.
func (h *Hands) export(ctx context.Context) ([]byte, error) {
	keys, err := list(ctx, h.backend)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, id := range h.owner.keys() {
		if _, present := keys[id]; present {
			ids = append(ids, id)
		}
	}
	var b bytes.Buffer
	_, err = h.backend.Export(ctx, &b, kms.ExportOptions{Key: bundleKey(), KeyIDs: ids})
	return b.Bytes(), err
}

// bundleKey seals all bundles.
func bundleKey() *kms.Secret { return kms.NewSecret(bytes.Repeat([]byte{0xb0}, 32)) }

// change takes a step that changes one key.
func (h *Hands) change(ctx context.Context, st Step) (err error) {
	b := h.backend
	switch st.Kind {
	case Create:
		_, err = b.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: st.Key})
	case Import:
		material := make([]byte, 32)
		rand.Read(material)
		_, err = b.ImportKey(ctx, &kms.ImportKeyRequest{KeyID: st.Key, Material: kms.NewSecret(material)})
	case Rotate:
		_, err = b.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: st.Key})
	case Disable:
		_, err = b.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: st.Key})
	case Enable:
		_, err = b.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: st.Key})
	case Describe:
		_, err = b.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionRequest{KeyID: st.Key, Description: st.Text})
	case Tag:
		_, err = b.TagKey(ctx, &kms.TagKeyRequest{KeyID: st.Key, Tags: map[string]string{"tag": st.Text}})
	case Untag:
		_, err = b.UntagKey(ctx, &kms.UntagKeyRequest{KeyID: st.Key, TagKeys: []string{"tag"}})
	case Schedule:
		_, err = b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: st.Key, PendingWindowDays: h.owner.window()})
	case Cancel:
		_, err = b.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: st.Key})
	case Erase:
		_, err = b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: st.Key, Immediate: true, ConfirmKeyID: st.Key})
	default:
		err = fmt.Errorf("step of kind %q, want one of those of this package", st.Kind)
	}
	return err
}

// seal wraps a text under the newest version of a key. The text says which one that is, so it takes a look first.
func seal(ctx context.Context, b Backend, id string) (Sealed, error) {
	key, err := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: id})
	if err != nil {
		return Sealed{}, err
	}
	version := int(key.Key.Version)
	resp, err := b.Encrypt(ctx, &kms.EncryptRequest{KeyID: id, Plaintext: text(id, version), Context: contextOf(id)})
	if err == nil && int(resp.KeyVersion) != version {
		err = fmt.Errorf("%s was wrapped under version %d, want %d", id, resp.KeyVersion, version)
	}
	if err != nil {
		return Sealed{}, err
	}
	return Sealed{version, resp.Ciphertext}, nil
}
