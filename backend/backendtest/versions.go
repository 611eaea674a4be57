package backendtest

import (
	"strconv"
	"testing"
	"time"

	"github.com/objectkms/kms"
)

func (s *suite) rotation(t *testing.T) {
	b := s.open(t)
	rotator, ok := b.(kms.KeyRotator)
	if !ok {
		t.Skip("the backend is no KeyRotator")
	}
	before := create(t, b, "k")
	create(t, b, "bystander")
	ec := kms.EncryptionContext{"a": "b"}
	blobs := map[string][]byte{"version 1": encrypt(t, b, "k", "version 1", ec)}
	for version := uint32(2); version <= 5; version++ {
		key := rotate(t, rotator, "k")
		wantTime(t, "RotatedAt is when the newest version was made", key.RotatedAt, time.Now())
		before.Version, before.RotatedAt = version, key.RotatedAt
		wantSameKey(t, "RotateKey answers the key with one version more, and else as it was", key, before)
		wantSameKey(t, "DescribeKey answers what RotateKey answered", describe(t, b, "k"), key)
		text := "version " + strconv.Itoa(int(version))
		resp, err := b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "k", Plaintext: []byte(text), Context: ec})
		wantOK(t, "Encrypt works after RotateKey", err)
		want(t, "after RotateKey the newest version encrypts", resp.KeyVersion, version)
		blobs[text] = resp.Ciphertext
	}
	for text, blob := range blobs {
		wantOpens(t, "what an old version wrapped opens for ever", b, blob, ec, text)
		got, err := b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob, Context: ec})
		wantOK(t, "what an old version wrapped opens for ever", err)
		want(t, "Decrypt answers the version that had wrapped", "version "+strconv.Itoa(int(got.KeyVersion)), text)
		_, err = decrypt(t, b, blob, nil)
		wantErr(t, "what an old version wrapped is bound to its encryption context", err, kms.ErrDecrypt)
	}
	want(t, "RotateKey touches no other key", describe(t, b, "bystander").Version, 1)
}

func (s *suite) importKey(t *testing.T) {
	b := s.open(t)
	importer, ok := b.(kms.KeyImporter)
	if !ok {
		t.Skip("the backend is no KeyImporter")
	}
	secret := material(1)
	req := &kms.ImportKeyRequest{KeyID: "k", Description: "mine", Tags: map[string]string{"a": "b"}, Material: secret}
	resp, err := importer.ImportKey(t.Context(), req)
	wantOK(t, "ImportKey makes a key of 32 bytes", err)
	wantSameKey(t, "ImportKey answers the key as it was asked for, of external origin", resp.Key, kms.Key{
		ID: "k", Description: "mine", Tags: req.Tags, State: kms.KeyEnabled, Usage: kms.EncryptDecrypt, Origin: kms.OriginExternal,
		Version: 1, CreatedAt: resp.Key.CreatedAt, NativeRewrap: resp.Key.NativeRewrap,
	})
	wantTime(t, "CreatedAt is the time of ImportKey", resp.Key.CreatedAt, time.Now())
	wantSameKey(t, "DescribeKey answers what ImportKey answered", describe(t, b, "k"), resp.Key)
	want(t, "ImportKey leaves the material as it was", string(secret.Bytes()), string(material(1).Bytes()))
	secret.Destroy()
	blob := encrypt(t, b, "k", "text", nil)
	wantOpens(t, "an imported key works after the caller has destroyed the material", b, blob, nil, "text")
	if rotator, ok := b.(kms.KeyRotator); ok {
		want(t, "RotateKey of an imported key makes a version 2", rotate(t, rotator, "k").Version, 2)
		wantOpens(t, "what imported material wrapped opens after a rotation", b, blob, nil, "text")
	}
	resp, err = importer.ImportKey(t.Context(), &kms.ImportKeyRequest{Material: material(2)})
	wantOK(t, "ImportKey makes an id where none is given", err)
	wantTrue(t, "ImportKey makes an id where none is given", resp.Key.ID != "")
	s.refusedImports(t, b, importer)
}

func (s *suite) refusedImports(t *testing.T, b kms.Backend, importer kms.KeyImporter) {
	keys := len(listAll(t, b, &kms.ListKeysRequest{}))
	for name, bad := range map[string]*kms.Secret{
		"without material": nil,
		"of 0 bytes":       kms.NewSecret(nil),
		"of 16 bytes":      kms.NewSecret(material(1).Bytes()[:16]),
		"of 31 bytes":      kms.NewSecret(material(1).Bytes()[:31]),
		"of 33 bytes":      kms.NewSecret(append(material(1).Bytes(), 1)),
		"of zeros":         kms.NewSecret(make([]byte, 32)),
	} {
		_, err := importer.ImportKey(t.Context(), &kms.ImportKeyRequest{KeyID: "refused", Material: bad})
		wantErr(t, "ImportKey "+name+" is ErrInvalidRequest", err, kms.ErrInvalidRequest)
	}
	_, err := importer.ImportKey(t.Context(), &kms.ImportKeyRequest{KeyID: "k", Material: material(3)})
	wantErr(t, "ImportKey with the id of an existing key is ErrKeyExists", err, kms.ErrKeyExists)
	want(t, "a refused ImportKey makes no key", len(listAll(t, b, &kms.ListKeysRequest{})), keys)
}
