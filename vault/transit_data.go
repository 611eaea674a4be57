package vault

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

// GenerateDataKey has Transit make a data key under an Enabled key. Under a key without derivation, which Transit makes no bound data keys with, it is
// made here. The request must name the key.
func (t *transit) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (resp *kms.GenerateDataKeyResponse, err error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	err = t.use(ctx, req.KeyID, view.mayWrap, func(v view) error {
		generate := t.generate
		if !v.key.Derived {
			generate = t.generateHere
		}
		resp, err = generate(ctx, v, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (t *transit) generate(ctx context.Context, v view, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	size, words := req.Spec.Size(), "datakey/plaintext"
	if req.WithoutPlaintext {
		words = "datakey/wrapped"
	}
	body := struct {
		bound
		Bits int `json:"bits"`
	}{bind(keyring.KindTransitDerived, v.rec.ID, req.Context), 8 * size}
	var answer struct {
		Data plainAndSealed `json:"data"`
	}
	if err := t.client.do(ctx, http.MethodPost, t.path(words, v.rec.Name), body, &answer); err != nil {
		clear(answer.Data.Plaintext)
		return nil, t.explain(err)
	}
	resp, err := answer.Data.dataKey(v.rec.ID, size)
	if err != nil || req.WithoutPlaintext {
		clear(answer.Data.Plaintext)
		return resp, err
	}
	if n := len(answer.Data.Plaintext); n != size {
		clear(answer.Data.Plaintext)
		return nil, errAnswer("has a data key of %d bytes, want %d", n, size)
	}
	resp.Plaintext = kms.NewSecret(answer.Data.Plaintext)
	return resp, nil
}

// plainAndSealed is what Transit answers of one secret.
type plainAndSealed struct {
	Plaintext  []byte `json:"plaintext"`
	Ciphertext string `json:"ciphertext"`
}

// dataKey returns the answer for a data key of a derived key, without its plaintext.
func (a plainAndSealed) dataKey(id string, size int) (*kms.GenerateDataKeyResponse, error) {
	ciphertext, version, err := makeBlob(keyring.KindTransitDerived, id, a.Ciphertext, size)
	if err != nil {
		return nil, err
	}
	return &kms.GenerateDataKeyResponse{KeyID: id, KeyVersion: version, Ciphertext: ciphertext}, nil
}

// generateHere makes a data key in this process and has Transit wrap it.
func (t *transit) generateHere(ctx context.Context, v view, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	plaintext := make([]byte, req.Spec.Size())
	rand.Read(plaintext)
	ciphertext, version, err := t.encrypt(ctx, v, req.Context, plaintext)
	if err != nil {
		clear(plaintext)
		return nil, err
	}
	resp := &kms.GenerateDataKeyResponse{KeyID: v.rec.ID, KeyVersion: version, Ciphertext: ciphertext}
	if req.WithoutPlaintext {
		clear(plaintext)
		return resp, nil
	}
	resp.Plaintext = kms.NewSecret(plaintext)
	return resp, nil
}

// Encrypt has Transit wrap a small secret of the caller's under an Enabled key. The request must name the key.
func (t *transit) Encrypt(ctx context.Context, req *kms.EncryptRequest) (*kms.EncryptResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	resp := &kms.EncryptResponse{KeyID: req.KeyID}
	err := t.use(ctx, req.KeyID, view.mayWrap, func(v view) (err error) {
		resp.Ciphertext, resp.KeyVersion, err = t.encrypt(ctx, v, req.Context, req.Plaintext)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (t *transit) encrypt(ctx context.Context, v view, ec kms.EncryptionContext, plaintext []byte) (ciphertext []byte, version uint32, err error) {
	kind := v.key.kind()
	body := struct {
		bound
		Plaintext []byte `json:"plaintext"`
	}{bind(kind, v.rec.ID, ec), plaintext}
	var answer struct {
		Data plainAndSealed `json:"data"`
	}
	if err := t.client.do(ctx, http.MethodPost, t.path("encrypt", v.rec.Name), body, &answer); err != nil {
		return nil, 0, t.explain(err)
	}
	return makeBlob(kind, v.rec.ID, answer.Data.Ciphertext, len(plaintext))
}

// Decrypt has Transit unwrap what GenerateDataKey or Encrypt answered, in every state of the key until its deletion date. A
// version below the Transit key's min_decryption_version is ErrPermission.
func (t *transit) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	w, err := parseWrapped(req.Ciphertext)
	if err != nil {
		return nil, err
	}
	if req.KeyID != "" && req.KeyID != w.KeyID {
		return nil, fmt.Errorf("%w: ciphertext is of key %q, want %q", kms.ErrDecrypt, w.KeyID, req.KeyID)
	}
	resp := &kms.DecryptResponse{KeyID: w.KeyID, KeyVersion: w.Version}
	err = t.use(ctx, w.KeyID, view.mayUnwrap, func(v view) (err error) {
		resp.Plaintext, err = t.decrypt(ctx, v, w, req.Context)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (t *transit) decrypt(ctx context.Context, v view, w wrapped, ec kms.EncryptionContext) (*kms.Secret, error) {
	if err := w.of(v); err != nil {
		return nil, err
	}
	body := struct {
		bound
		Ciphertext string `json:"ciphertext"`
	}{bind(w.Kind, w.KeyID, ec), w.text}
	var answer struct {
		Data plainAndSealed `json:"data"`
	}
	if err := t.client.do(ctx, http.MethodPost, t.path("decrypt", v.rec.Name), body, &answer); err != nil {
		clear(answer.Data.Plaintext)
		return nil, ofVersion(t.explain(err), w.Version)
	}
	if n := len(answer.Data.Plaintext); n != w.size {
		clear(answer.Data.Plaintext)
		return nil, errAnswer("has a plaintext of %d bytes, want %d", n, w.size)
	}
	return kms.NewSecret(answer.Data.Plaintext), nil
}
