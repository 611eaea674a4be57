package vault

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/erase"
)

// ImportKey makes a key whose first version is the owner's material, which crosses the network wrapped under Vault's own public key. All-zero material is
// ErrInvalidRequest. Versions that rotation adds are made by Vault.
func (t *transit) ImportKey(ctx context.Context, req *kms.ImportKeyRequest) (*kms.ImportKeyResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	if allZero(req.Material.Bytes()) {
		return nil, fmt.Errorf("%w: key material is all zero", kms.ErrInvalidRequest)
	}
	rec := &keyRecord{ID: req.KeyID, Description: req.Description, Tags: maps.Clone(req.Tags), Origin: kms.OriginExternal}
	v, err := t.create(ctx, rec, func(ctx context.Context, name string) error {
		return t.importMaterial(ctx, name, req.Material.Bytes())
	})
	if err != nil {
		return nil, err
	}
	return &kms.ImportKeyResponse{Key: v.describe()}, nil
}

// importMaterial makes a Transit key of the material, which Transit refuses where there is one of this name.
func (t *transit) importMaterial(ctx context.Context, name string, material []byte) error {
	public, err := t.wrappingKey(ctx)
	if err != nil {
		return err
	}
	var ciphertext []byte
	erase.After(func() { ciphertext, err = wrapForImport(public, material) })
	if err != nil {
		return err
	}
	body := struct {
		Ciphertext []byte `json:"ciphertext"`
		Hash       string `json:"hash_function"`
		Type       string `json:"type"`
		Derived    bool   `json:"derived"`
		Rotation   bool   `json:"allow_rotation"`
		Exportable bool   `json:"exportable"`
		Backup     bool   `json:"allow_plaintext_backup"`
	}{Ciphertext: ciphertext, Hash: "SHA256", Type: keyType, Derived: true, Rotation: true}
	return t.explain(t.client.do(ctx, http.MethodPost, t.path("keys", name)+"/import", body, nil))
}

// wrappingKey asks for the public key that material is wrapped under.
func (t *transit) wrappingKey(ctx context.Context) (*rsa.PublicKey, error) {
	var answer struct {
		Data struct {
			PublicKey string `json:"public_key"`
		} `json:"data"`
	}
	if err := t.client.do(ctx, http.MethodGet, t.mount+"/wrapping_key", nil, &answer); err != nil {
		return nil, t.explain(err)
	}
	public, err := parseWrappingKey(answer.Data.PublicKey)
	if err != nil {
		return nil, errAnswer("has a wrapping key that %w", err)
	}
	return public, nil
}

// The sizes in bits of RSA keys that material is wrapped under; Vault's has 4,096. One of 256 Ki takes half a minute, which no context ends.
const (
	minWrappingKey = 3072
	maxWrappingKey = 16384
)

func parseWrappingKey(text string) (*rsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("is not PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("is no public key")
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < minWrappingKey || public.N.BitLen() > maxWrappingKey {
		return nil, fmt.Errorf("is not RSA of %d to %d bits", minWrappingKey, maxWrappingKey)
	}
	return public, nil
}

// wrapForImport wraps material as Transit wants it: an AES key of its own under the public key, by RSA-OAEP with SHA-256, and behind that the material
// under the AES key.
func wrapForImport(public *rsa.PublicKey, material []byte) ([]byte, error) {
	ephemeral := make([]byte, 32)
	rand.Read(ephemeral)
	defer clear(ephemeral)
	wrappedKey, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public, ephemeral, nil)
	if err != nil {
		return nil, err
	}
	wrappedMaterial, err := wrapKey(ephemeral, material)
	if err != nil {
		return nil, err
	}
	return slices.Concat(wrappedKey, wrappedMaterial), nil
}
