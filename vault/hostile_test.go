package vault_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

// edited returns the JSON answer after change, which gets its data.
func edited(answer []byte, change func(data map[string]any)) []byte {
	var whole map[string]any
	if json.Unmarshal(answer, &whole) != nil {
		return answer
	}
	data, _ := whole["data"].(map[string]any)
	change(data)
	text, _ := json.Marshal(whole)
	return text
}

func setting(field string, value any) func([]byte) []byte {
	return func(answer []byte) []byte {
		return edited(answer, func(data map[string]any) { data[field] = value })
	}
}

func cutting(field string) func([]byte) []byte {
	return func(answer []byte) []byte {
		return edited(answer, func(data map[string]any) { delete(data, field) })
	}
}

func always(text string) func([]byte) []byte { return func([]byte) []byte { return []byte(text) } }

func cut(answer []byte) []byte { return answer[:len(answer)/2] }

// Answers that are none say nothing about a ciphertext and nothing about a key.
func TestAnAnswerThatIsNotWhatWasAskedForIsErrUnavailable(t *testing.T) {
	generate := func(b *vault.Backend) error {
		_, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
		return err
	}
	generateBare := func(b *vault.Backend) error {
		_, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k", WithoutPlaintext: true})
		return err
	}
	seal := func(b *vault.Backend) error {
		_, err := b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "k", Plaintext: []byte(secretText)})
		return err
	}
	var blob []byte
	unseal := func(b *vault.Backend) error { return decrypt(t, b, blob, nil) }
	describe := func(b *vault.Backend) error {
		_, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
		return err
	}
	list := func(b *vault.Backend) error {
		_, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
		return err
	}
	create := func(b *vault.Backend) error {
		_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "new"})
		return err
	}
	text := func(version string, size int) string {
		code, _ := json.Marshal(bytes.Repeat([]byte{7}, size))
		return "vault:v" + version + ":" + strings.Trim(string(code), `"`)
	}
	const sealed = 28 + 32
	tests := []struct {
		path   string // that the answer is to, or its beginning
		do     func(b *vault.Backend) error
		change func([]byte) []byte
	}{
		{"transit/datakey", generate, cut},
		{"transit/datakey", generate, always("")},
		{"transit/datakey", generate, always("null")},
		{"transit/datakey", generate, always("{}")},
		{"transit/datakey", generate, always("<html>")},
		{"transit/datakey", generate, always(`{"data":[]}`)},
		{"transit/datakey", generate, setting("plaintext", randomBytes(31))},
		{"transit/datakey", generate, setting("plaintext", randomBytes(33))},
		{"transit/datakey", generate, setting("plaintext", "")},
		{"transit/datakey", generate, setting("plaintext", "not base64!")},
		{"transit/datakey", generate, setting("plaintext", 7)},
		{"transit/datakey", generate, cutting("plaintext")},
		{"transit/datakey", generate, cutting("ciphertext")},
		{"transit/datakey", generate, setting("ciphertext", "")},
		{"transit/datakey", generate, setting("ciphertext", text("0", sealed))},
		{"transit/datakey", generate, setting("ciphertext", text("01", sealed))},
		{"transit/datakey", generate, setting("ciphertext", text("+1", sealed))},
		{"transit/datakey", generate, setting("ciphertext", text("4294967296", sealed))},
		{"transit/datakey", generate, setting("ciphertext", text("1", sealed)+"\n")},
		{"transit/datakey", generate, setting("ciphertext", text("1", sealed+1))},
		{"transit/datakey", generate, setting("ciphertext", text("1", sealed-1))},
		{"transit/datakey", generate, setting("ciphertext", text("1", 28))},
		{"transit/datakey", generate, setting("ciphertext", text("1", 16<<10))},
		{"transit/datakey", generateBare, setting("ciphertext", text("1", sealed-16))},
		{"transit/datakey", generateBare, cut},
		{"transit/encrypt", seal, setting("ciphertext", text("1", sealed))},
		{"transit/encrypt", seal, cutting("ciphertext")},
		{"transit/encrypt", seal, always("{}")},
		{"transit/decrypt", unseal, cut},
		{"transit/decrypt", unseal, always("{}")},
		{"transit/decrypt", unseal, cutting("plaintext")},
		{"transit/decrypt", unseal, setting("plaintext", randomBytes(len(secretText)+1))},
		{"transit/decrypt", unseal, setting("plaintext", randomBytes(len(secretText)-1))},
		{"transit/keys/k", describe, cut},
		{"transit/keys/k", describe, always("{}")},
		{"transit/keys/k", describe, cutting("type")},
		{"transit/keys/k", describe, cutting("derived")},
		{"transit/keys/k", describe, setting("latest_version", 0)},
		{"transit/keys/k", describe, setting("latest_version", -1)},
		{"transit/keys/k", describe, setting("latest_version", int64(1<<33))},
		{"transit/keys/k", describe, setting("keys", map[string]any{"1": "yesterday"})},
		{"transit/keys/k", generate, always("{}")},
		{"secret/data/objectkms/keys/k", describe, cut},
		{"secret/data/objectkms/keys/k", describe, always("{}")},
		{"secret/data/objectkms/keys/k", describe, cutting("data")},
		{"secret/data/objectkms/keys/k", describe, cutting("metadata")},
		{"secret/data/objectkms/keys/k", unseal, always("{}")},
		{"secret/metadata/objectkms/keys", list, cut},
		{"secret/metadata/objectkms/keys", list, setting("keys", "k")},
		{"transit/keys", list, cut},
		{"secret/data/objectkms/keys/new", create, cut},
		{"secret/data/objectkms/keys/new", create, setting("version", 7)},
	}
	for i, tt := range tests {
		t.Run(fmt.Sprintf("%d to %s", i, tt.path), func(t *testing.T) {
			f := newFakeVault()
			b := f.open(t, vault.Transit)
			createKey(t, b, "k")
			blob = encrypt(t, b, "k", nil)
			b = f.open(t, vault.Transit)
			changed := false
			f.set(nil, func(_, path string, answer []byte) []byte {
				// An empty answer of status 204 or 404 is one.
				if !strings.HasPrefix(path, tt.path) || len(answer) == 0 || bytes.HasPrefix(answer, []byte(`{"errors"`)) {
					return answer
				}
				changed = true
				return tt.change(answer)
			})
			err := tt.do(b)
			require.True(t, changed, "the answer was asked for")
			require.ErrorIs(t, err, kms.ErrUnavailable)
			for _, other := range []error{kms.ErrDecrypt, kms.ErrKeyNotFound, kms.ErrKeyMaterial, kms.ErrInvalidRequest, kms.ErrPermission} {
				require.NotErrorIs(t, err, other)
			}
			require.NotContains(t, err.Error(), secretText)
			f.set(nil, nil)
			require.NoError(t, decrypt(t, b, blob, nil), "nothing of it is remembered")
		})
	}
}

// A proxy or a server that answers a ciphertext of another version or key does no more harm than one that answers none.
func TestACiphertextOfAnotherKeyOpensNothing(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.Transit)
	createKey(t, b, "k")
	other := f.make("other", fakeKey{Type: "aes256-gcm96", Derived: true})
	foreign := other.seal(fakeItem{Plaintext: randomBytes(32), Context: randomBytes(32)}).Ciphertext
	f.set(nil, func(_, path string, answer []byte) []byte {
		if strings.HasPrefix(path, "transit/datakey") {
			return setting("ciphertext", foreign)(answer)
		}
		return answer
	})
	made, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	f.set(nil, nil)
	require.ErrorIs(t, decrypt(t, b, made.Ciphertext, nil), kms.ErrDecrypt)
}

func TestRefusalsHaveTheirClass(t *testing.T) {
	tests := []struct {
		status  int
		message string
		want    error
	}{
		{400, "cipher: message authentication failed", kms.ErrDecrypt},
		{400, "invalid ciphertext: could not decode base64", kms.ErrDecrypt},
		{400, "invalid ciphertext length", kms.ErrDecrypt},
		{400, "ciphertext or signature version is disallowed by policy (too old)", kms.ErrPermission},
		{400, "something that nobody has heard of", kms.ErrUnavailable},
		{403, "permission denied", kms.ErrPermission},
		{404, `no handler for route "transit/decrypt/k". route entry not found.`, kms.ErrUnavailable},
		{404, "", kms.ErrUnavailable},
		{412, "required index state not present", kms.ErrUnavailable},
		{429, "request rate limit exceeded", kms.ErrUnavailable},
		{500, "internal error", kms.ErrUnavailable},
		{503, "Vault is sealed", kms.ErrUnavailable},
		{307, "", kms.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status, tt.message), func(t *testing.T) {
			f := newFakeVault()
			b := f.open(t, vault.Transit)
			createKey(t, b, "k")
			blob := encrypt(t, b, "k", nil)
			f.set(func(_, path string, _ []byte) (int, string) {
				if !strings.HasPrefix(path, "transit/decrypt") {
					return 0, ""
				}
				if tt.message == "" {
					return tt.status, `{"errors":[]}`
				}
				text, _ := json.Marshal(map[string]any{"errors": []string{tt.message}})
				return tt.status, string(text)
			}, nil)
			err := decrypt(t, b, blob, nil)
			require.ErrorIs(t, err, tt.want)
			for _, other := range []error{kms.ErrDecrypt, kms.ErrKeyNotFound, kms.ErrPermission, kms.ErrUnavailable, kms.ErrInvalidRequest} {
				if other != tt.want {
					require.NotErrorIs(t, err, other)
				}
			}
		})
	}
}

// A conflict is recognized by the version, whatever the words are.
func TestConflictsAreSeenWithoutTheirWords(t *testing.T) {
	f := newFakeVault()
	one := f.open(t, vault.Transit)
	createKey(t, one, "k")
	_, err := one.UpdateKeyDescription(t.Context(), &kms.UpdateKeyDescriptionRequest{KeyID: "k", Description: "parameter"})
	require.NoError(t, err)
	raced := false
	f.set(func(method, path string, _ []byte) (int, string) {
		if method == "POST" && strings.HasPrefix(path, "secret/data/") && !raced {
			raced = true
			now, version := f.get("objectkms/keys/k")
			f.put("objectkms/keys/k", strings.Replace(now, fmt.Sprintf(`"generation":%d`, version), fmt.Sprintf(`"generation":%d`, version+1), 1))
		}
		return 0, ""
	}, nil)
	_, err = one.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "k", Tags: map[string]string{"a": "parameter"}})
	require.NoError(t, err)
	require.True(t, raced)
	require.Equal(t, map[string]string{"a": "parameter"}, describeKey(t, one, "k").Tags)
}

func TestNoKeyIDLeavesItsPlace(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		f := newFakeVault()
		b := f.open(t, engine)
		f.took()
		for _, id := range []string{"", ".", "..", "../root", "a/../../sys", "a/b", "%2e%2e", "a%2fb", "a?list=true", "a#b", "-a", "_a_0123456789abcdef", "a\x00", "é", strings.Repeat("a", 129)} {
			for name, err := range everyUse(t, b, id) {
				require.ErrorIs(t, err, kms.ErrInvalidRequest, "%s of %q", name, id)
			}
			_, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: id})
			require.ErrorIs(t, err, kms.ErrInvalidRequest)
			if id != "" {
				_, err = b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
				require.ErrorIs(t, err, kms.ErrInvalidRequest)
			}
		}
		require.Empty(t, f.took(), "nothing was asked of Vault")
	})
}

// A server that lists names which are none does not make anybody leave the prefix.
func TestListedNamesAreNotTrusted(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		f := newFakeVault()
		b := f.open(t, engine)
		createKey(t, b, "k")
		f.took()
		f.set(nil, func(_, path string, answer []byte) []byte {
			if strings.HasPrefix(path, "secret/metadata/") || path == "transit/keys" {
				return setting("keys", []string{"k", "../root", "..", "a/", "", "import/", "_k_0123456789abcdef", "1/../../../x"})(answer)
			}
			return answer
		})
		list, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
		require.NoError(t, err)
		require.Len(t, list.Keys, 1)
		require.Empty(t, list.Damaged)
		removeKey(t, b, "k")
		for _, request := range f.took() {
			require.NotContains(t, request, "..")
			require.NotContains(t, request, "x")
		}
	})
}
