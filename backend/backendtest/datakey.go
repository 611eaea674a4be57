package backendtest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/objectkms/kms"
)

const maxCiphertextSize = 16 << 10

func (s *suite) healthCheck(t *testing.T) {
	b := s.open(t)
	wantOK(t, "HealthCheck answers nil while the backend can work, and needs no key to exist", b.HealthCheck(t.Context()))
}

func (s *suite) dataKeys(t *testing.T) {
	b, id := s.openWithKey(t)
	version := describe(t, b, id).Version
	seen := make(map[string]bool)
	for spec, size := range map[kms.KeySpec]int{"": 32, kms.AES256: 32, kms.AES128: 16} {
		for range 2 {
			made, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: id, Spec: spec})
			wantOK(t, "GenerateDataKey makes a data key under an Enabled key", err)
			want(t, "a data key of "+string(spec)+" has the size of its kind", made.Plaintext.Len(), size)
			want(t, "GenerateDataKey answers the key's id", made.KeyID, id)
			want(t, "GenerateDataKey uses the newest version, and answers it", made.KeyVersion, version)
			text := string(made.Plaintext.Bytes())
			wantTrue(t, "data keys are random: two are never the same", !seen[text])
			wantTrue(t, "a ciphertext does not hold the data key in the clear", !strings.Contains(string(made.Ciphertext), text))
			wantTrue(t, "a ciphertext has at most 16 KiB", len(made.Ciphertext) <= maxCiphertextSize)
			seen[text] = true

			got, err := b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: made.Ciphertext})
			wantOK(t, "Decrypt opens what GenerateDataKey wrapped, without being told the key", err)
			want(t, "Decrypt answers the data key that was wrapped", string(got.Plaintext.Bytes()), text)
			want(t, "Decrypt answers the id of the key that had wrapped", got.KeyID, id)
			want(t, "Decrypt answers the version that had wrapped", got.KeyVersion, version)
		}
	}
	s.withoutPlaintext(t, b, id)
}

func (s *suite) withoutPlaintext(t *testing.T, b kms.Backend, id string) {
	made, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: id, WithoutPlaintext: true})
	wantOK(t, "GenerateDataKey can leave the plaintext out", err)
	wantTrue(t, "GenerateDataKey with WithoutPlaintext answers no plaintext", made.Plaintext == nil)
	got, err := b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: made.Ciphertext})
	wantOK(t, "Decrypt opens a data key that was made without plaintext", err)
	want(t, "a data key that was made without plaintext has its size", got.Plaintext.Len(), 32)
	wantTrue(t, "a data key that was made without plaintext is random", !bytes.Equal(got.Plaintext.Bytes(), make([]byte, 32)))
}

func (s *suite) smallSecrets(t *testing.T) {
	b, id := s.openWithKey(t)
	for _, size := range []int{1, 2, 15, 16, 31, 32, 33, 4095, 4096} {
		text := strings.Repeat("\x00\xff", size)[:size]
		one, two := encrypt(t, b, id, text, nil), encrypt(t, b, id, text, nil)
		wantOpens(t, "Decrypt answers what Encrypt was given, byte for byte", b, one, nil, text)
		wantTrue(t, "Encrypt never answers the same ciphertext twice", !bytes.Equal(one, two))
		wantTrue(t, "a ciphertext has at most 16 KiB", len(one) <= maxCiphertextSize)
	}
	resp, err := b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: id, Plaintext: []byte("text")})
	wantOK(t, "Encrypt wraps a small secret under an Enabled key", err)
	want(t, "Encrypt answers the key's id", resp.KeyID, id)
	want(t, "Encrypt uses the newest version, and answers it", resp.KeyVersion, describe(t, b, id).Version)
}

func (s *suite) contextBinding(t *testing.T) {
	b, id := s.openWithKey(t)
	bound := kms.EncryptionContext{"bucket": "photos", "key": "cat.jpg", "empty": ""}
	wrapped := encrypt(t, b, id, "text", bound)
	made, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: id, Context: bound})
	wantOK(t, "GenerateDataKey accepts an encryption context", err)

	reordered := kms.EncryptionContext{"empty": "", "key": "cat.jpg", "bucket": "photos"}
	wantOpens(t, "Decrypt takes the same encryption context in any order", b, wrapped, reordered, "text")
	wantOpens(t, "Decrypt takes the same encryption context in any order", b, made.Ciphertext, reordered, string(made.Plaintext.Bytes()))
	for name, ec := range map[string]kms.EncryptionContext{
		"missing":                nil,
		"empty":                  {},
		"with an entry too few":  {"bucket": "photos", "key": "cat.jpg"},
		"with an entry too many": {"bucket": "photos", "key": "cat.jpg", "empty": "", "more": ""},
		"with another value":     {"bucket": "photos", "key": "dog.jpg", "empty": ""},
		"with values swapped":    {"bucket": "cat.jpg", "key": "photos", "empty": ""},
		"with another key":       {"bucket": "photos", "Key": "cat.jpg", "empty": ""},
		"in other letter case":   {"bucket": "Photos", "key": "cat.jpg", "empty": ""},
		"with a space":           {"bucket": "photos ", "key": "cat.jpg", "empty": ""},
	} {
		_, err := decrypt(t, b, wrapped, ec)
		wantErr(t, "Decrypt with an encryption context "+name+" is ErrDecrypt", err, kms.ErrDecrypt)
		_, err = decrypt(t, b, made.Ciphertext, ec)
		wantErr(t, "Decrypt of a data key with an encryption context "+name+" is ErrDecrypt", err, kms.ErrDecrypt)
	}
	s.contextPairs(t, b, id)
	_, err = decrypt(t, b, encrypt(t, b, id, "text", nil), bound)
	wantErr(t, "Decrypt with an encryption context where there was none is ErrDecrypt", err, kms.ErrDecrypt)
	wantOpens(t, "a nil and an empty encryption context are the same", b, encrypt(t, b, id, "text", nil), kms.EncryptionContext{}, "text")
	wantOpens(t, "an empty and a nil encryption context are the same", b, encrypt(t, b, id, "text", kms.EncryptionContext{}), nil, "text")
}

// contextPairs tries maps that careless encodings confuse.
func (s *suite) contextPairs(t *testing.T, b kms.Backend, id string) {
	for _, pair := range [][2]kms.EncryptionContext{
		{{"ab": "c"}, {"a": "bc"}},
		{{"a": "b", "c": "d"}, {"a": "bc", "": "d"}},
		{{"a": "b", "c": "d"}, {"a": "b,c=d"}},
		{{"a": "b", "c": "d"}, {"a": "b&c=d"}},
		{{"a": "b", "c": "d"}, {"a": "b\x00c\x00d"}},
		{{"a": `b","c":"d`}, {"a": "b", "c": "d"}},
		{{"a": "b"}, {"b": "a"}},
		{{"": "a"}, {"a": ""}},
		{{"": ""}, {}},
		{{"a": "\u00e9"}, {"a": "e\u0301"}},
		{{"a": "<"}, {"a": `\u003c`}},
	} {
		for i := range pair {
			_, err := decrypt(t, b, encrypt(t, b, id, "text", pair[i]), pair[1-i])
			wantErr(t, "distinct encryption contexts never open each other's ciphertexts", err, kms.ErrDecrypt)
		}
	}
}

func (s *suite) contextText(t *testing.T) {
	b, id := s.openWithKey(t)
	for _, ec := range []kms.EncryptionContext{
		{"": ""},
		{"path": "a/b\\c\x00d\n", "\x01": "\x7f"},
		{"ключ": "значение", "鍵": "値", "🔑": "\u202e"},
		{"k": strings.Repeat("v", 8192-8-1)},
	} {
		wantOpens(t, "any UTF-8 of at most 8,192 bytes is an encryption context", b, encrypt(t, b, id, "text", ec), ec, "text")
	}
	const value = "a-value-that-is-nobodys-business"
	_, err := decrypt(t, b, encrypt(t, b, id, "text", nil), kms.EncryptionContext{"k": value})
	wantErr(t, "Decrypt with an encryption context where there was none is ErrDecrypt", err, kms.ErrDecrypt)
	wantTrue(t, "no error holds a value of an encryption context", err == nil || !strings.Contains(err.Error(), value))
}
