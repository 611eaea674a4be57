package backendtest

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/objectkms/kms"
)

func (s *suite) tampered(t *testing.T) {
	b, id := s.openWithKey(t)
	blob := encrypt(t, b, id, "text", nil)
	refused := func(rule string, bad []byte) {
		t.Helper()
		_, err := b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: bad, KeyID: id})
		wantErr(t, rule+" is ErrDecrypt where the request names the key", err, kms.ErrDecrypt)
		_, err = decrypt(t, b, bad, nil)
		wantErr(t, rule+" is ErrDecrypt, or ErrKeyNotFound where it names another key now", err, kms.ErrDecrypt, kms.ErrKeyNotFound)
	}
	for i := range blob {
		bad := bytes.Clone(blob)
		bad[i] ^= 1 << (i % 8)
		refused("a ciphertext with any byte changed", bad)
		if t.Failed() {
			t.Fatalf("the byte at index %d of %d was changed", i, len(blob))
		}
	}
	for _, n := range []int{1, 2, 3, 7, len(blob) / 2, len(blob) - 17, len(blob) - 1} {
		refused("a ciphertext that was cut", blob[:n])
	}
	refused("a ciphertext with a byte more", append(bytes.Clone(blob), 0))
	refused("a ciphertext with a byte before it", append([]byte{blob[0]}, blob...))
	refused("a ciphertext behind itself", slices.Concat(blob, blob))
	wantOpens(t, "a refused ciphertext harms nothing", b, blob, nil, "text")
}

func (s *suite) foreign(t *testing.T) {
	b, id := s.openWithKey(t)
	random := make([]byte, 300)
	rand.Read(random)
	for _, bad := range [][]byte{
		{0},
		random,
		make([]byte, maxCiphertextSize),
		bytes.Repeat([]byte{0xff}, maxCiphertextSize),
		bytes.Repeat([]byte{1}, 200),
		[]byte("vault:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
		[]byte(`{"key":"` + id + `"}`),
		[]byte(id),
	} {
		_, err := decrypt(t, b, bad, nil)
		wantErr(t, "bytes that are no ciphertext of this backend are ErrDecrypt", err, kms.ErrDecrypt)
	}
	if s.h.KeyID != "" {
		return
	}
	other := s.open(t)
	create(t, other, id)
	_, err := decrypt(t, b, encrypt(t, other, id, "text", nil), nil)
	wantErr(t, "a ciphertext of another backend's key with the same id is ErrDecrypt", err, kms.ErrDecrypt)
}

func (s *suite) keyIDOfDecrypt(t *testing.T) {
	b, id := s.openWithKey(t)
	blob := encrypt(t, b, id, "text", nil)
	got, err := b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob, KeyID: id})
	wantOK(t, "Decrypt opens a ciphertext of the key that the request names", err)
	want(t, "Decrypt answers the text", string(got.Plaintext.Bytes()), "text")
	_, err = b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob, KeyID: "no-such-key"})
	wantErr(t, "Decrypt of a ciphertext of another key than the request names is ErrDecrypt, or ErrKeyNotFound where that key does not exist",
		err, kms.ErrDecrypt, kms.ErrKeyNotFound)
	if s.h.KeyID != "" {
		return
	}
	create(t, b, "key-two")
	_, err = b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob, KeyID: "key-two"})
	wantErr(t, "Decrypt of a ciphertext of another key than the request names is ErrDecrypt", err, kms.ErrDecrypt)
}

func (s *suite) answersAreFresh(t *testing.T) {
	b, id := s.openWithKey(t)
	made, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: id})
	wantOK(t, "GenerateDataKey makes a data key under an Enabled key", err)
	text := string(made.Plaintext.Bytes())
	made.Plaintext.Destroy()
	const rule = "every answer is a copy of its own: destroying or changing one harms no other"
	req := &kms.DecryptRequest{Ciphertext: made.Ciphertext}
	one, err := b.Decrypt(t.Context(), req)
	wantOK(t, rule, err)
	two, err := b.Decrypt(t.Context(), req)
	wantOK(t, rule, err)
	one.Plaintext.Destroy()
	want(t, rule, string(two.Plaintext.Bytes()), text)
	clear(two.Plaintext.Bytes())
	wantOpens(t, rule, b, made.Ciphertext, nil, text)
}

func (s *suite) requestsStay(t *testing.T) {
	b, id := s.openWithKey(t)
	ec := kms.EncryptionContext{"a": "1", "b": "2"}
	plaintext := []byte("text")
	resp, err := b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: id, Plaintext: plaintext, Context: ec})
	wantOK(t, "Encrypt wraps a small secret under an Enabled key", err)
	want(t, "a request is not changed: the plaintext", string(plaintext), "text")
	want(t, "a request is not changed: the encryption context", len(ec), 2)
	copy(plaintext, "gone")
	ec["a"] = "changed by the caller"
	blob, right := resp.Ciphertext, kms.EncryptionContext{"a": "1", "b": "2"}
	wantOpens(t, "a request is not kept: the caller may change it after the call", b, blob, right, "text")

	sent := bytes.Clone(blob)
	wantOpens(t, "Decrypt opens a ciphertext as often as it is asked", b, sent, right, "text")
	wantTrue(t, "a request is not changed: the ciphertext", bytes.Equal(sent, blob))
	clear(sent)
	wantOpens(t, "a request is not kept: the caller may change the ciphertext after the call", b, blob, right, "text")
	if s.h.KeyID == "" {
		s.createRequestStays(t, b)
	}
}

func (s *suite) createRequestStays(t *testing.T, b kms.Backend) {
	tags := map[string]string{"name": "value"}
	resp, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "tagged", Tags: tags})
	wantOK(t, "CreateKey accepts tags", err)
	tags["name"] = strings.Repeat("changed", 3)
	resp.Key.Tags["name"] = "changed too"
	want(t, "a request is not kept, and an answer is not shared: the tags", describe(t, b, "tagged").Tags["name"], "value")
	described := describe(t, b, "tagged")
	described.Tags["name"] = "changed too"
	want(t, "an answer is not shared: the tags", describe(t, b, "tagged").Tags["name"], "value")
}
