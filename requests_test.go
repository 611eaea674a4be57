package kms_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

func tags(n int) map[string]string {
	m := make(map[string]string)
	for i := range n {
		m[fmt.Sprint("tag", i)] = "value"
	}
	return m
}

func TestRequestsCheckThemselves(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	const bad = "\xff"
	tests := []struct {
		name string
		req  interface{ Validate() error }
		ok   bool
	}{
		{"create without an id", &kms.CreateKeyRequest{}, true},
		{"create with everything", &kms.CreateKeyRequest{KeyID: "k", Description: long(8192), Usage: kms.EncryptDecrypt, Tags: tags(50)}, true},
		{"create nil", (*kms.CreateKeyRequest)(nil), false},
		{"create with a long description", &kms.CreateKeyRequest{Description: long(8193)}, false},
		{"create with a description that is not UTF-8", &kms.CreateKeyRequest{Description: bad}, false},
		{"create with 51 tags", &kms.CreateKeyRequest{Tags: tags(51)}, false},
		{"create with an empty tag name", &kms.CreateKeyRequest{Tags: map[string]string{"": "v"}}, false},
		{"create with a long tag name", &kms.CreateKeyRequest{Tags: map[string]string{long(129): "v"}}, false},
		{"create with the longest tag", &kms.CreateKeyRequest{Tags: map[string]string{long(128): long(256)}}, true},
		{"create with a long tag value", &kms.CreateKeyRequest{Tags: map[string]string{"t": long(257)}}, false},
		{"create with a tag value that is not UTF-8", &kms.CreateKeyRequest{Tags: map[string]string{"t": bad}}, false},
		{"create with another usage", &kms.CreateKeyRequest{Usage: "SIGN_VERIFY"}, false},
		{"create with a NUL in the id", &kms.CreateKeyRequest{KeyID: "a\x00b"}, false},
		{"create with an id of C1 controls", &kms.CreateKeyRequest{KeyID: "a\u0085b"}, false},
		{"create with an id that turns the text around", &kms.CreateKeyRequest{KeyID: "a\u202eb"}, false},
		{"create with an id that is not UTF-8", &kms.CreateKeyRequest{KeyID: "a\xff"}, false},
		{"create with an id of a replacement character", &kms.CreateKeyRequest{KeyID: "a\ufffd"}, true},
		{"create with a long id", &kms.CreateKeyRequest{KeyID: long(2049)}, false},
		{"import", &kms.ImportKeyRequest{KeyID: "k", Material: kms.NewSecret(make([]byte, 32))}, true},
		{"import nil", (*kms.ImportKeyRequest)(nil), false},
		{"import without material", &kms.ImportKeyRequest{KeyID: "k"}, false},
		{"import of 31 bytes", &kms.ImportKeyRequest{KeyID: "k", Material: kms.NewSecret(make([]byte, 31))}, false},
		{"import of 33 bytes", &kms.ImportKeyRequest{KeyID: "k", Material: kms.NewSecret(make([]byte, 33))}, false},
		{"import with another usage", &kms.ImportKeyRequest{Usage: "x", Material: kms.NewSecret(make([]byte, 32))}, false},
		{"describe", &kms.DescribeKeyRequest{KeyID: "k"}, true},
		{"describe nil", (*kms.DescribeKeyRequest)(nil), false},
		{"describe without an id", &kms.DescribeKeyRequest{}, false},
		{"list", &kms.ListKeysRequest{}, true},
		{"list nil", (*kms.ListKeysRequest)(nil), false},
		{"list 1000", &kms.ListKeysRequest{Limit: 1000, Marker: "m", State: kms.KeyDisabled}, true},
		{"list 1001", &kms.ListKeysRequest{Limit: 1001}, false},
		{"list -1", &kms.ListKeysRequest{Limit: -1}, false},
		{"list of an unknown state", &kms.ListKeysRequest{State: "enabled"}, false},
		{"list from a marker with a newline", &kms.ListKeysRequest{Marker: "a\n"}, false},
		{"delete", &kms.DeleteKeyRequest{KeyID: "k"}, true},
		{"delete nil", (*kms.DeleteKeyRequest)(nil), false},
		{"delete without an id", &kms.DeleteKeyRequest{}, false},
		{"delete in 6 days", &kms.DeleteKeyRequest{KeyID: "k", PendingWindowDays: 6}, false},
		{"delete in 7 days", &kms.DeleteKeyRequest{KeyID: "k", PendingWindowDays: 7}, true},
		{"delete in 30 days", &kms.DeleteKeyRequest{KeyID: "k", PendingWindowDays: 30}, true},
		{"delete in 31 days", &kms.DeleteKeyRequest{KeyID: "k", PendingWindowDays: 31}, false},
		{"delete in -1 days", &kms.DeleteKeyRequest{KeyID: "k", PendingWindowDays: -1}, false},
		{"delete at once, confirmed", &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"}, true},
		{"delete at once, not confirmed", &kms.DeleteKeyRequest{KeyID: "k", Immediate: true}, false},
		{"delete at once, another confirmed", &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "l"}, false},
		{"delete at once, in 7 days", &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k", PendingWindowDays: 7}, false},
		{"delete with a confirmation of another", &kms.DeleteKeyRequest{KeyID: "k", ConfirmKeyID: "l"}, false},
		{"cancel", &kms.CancelKeyDeletionRequest{KeyID: "k"}, true},
		{"cancel nil", (*kms.CancelKeyDeletionRequest)(nil), false},
		{"cancel without an id", &kms.CancelKeyDeletionRequest{}, false},
		{"enable", &kms.EnableKeyRequest{KeyID: "k"}, true},
		{"enable nil", (*kms.EnableKeyRequest)(nil), false},
		{"enable without an id", &kms.EnableKeyRequest{}, false},
		{"disable", &kms.DisableKeyRequest{KeyID: "k"}, true},
		{"disable nil", (*kms.DisableKeyRequest)(nil), false},
		{"disable without an id", &kms.DisableKeyRequest{}, false},
		{"rotate", &kms.RotateKeyRequest{KeyID: "k"}, true},
		{"rotate nil", (*kms.RotateKeyRequest)(nil), false},
		{"rotate without an id", &kms.RotateKeyRequest{}, false},
		{"describe anew", &kms.UpdateKeyDescriptionRequest{KeyID: "k"}, true},
		{"describe anew nil", (*kms.UpdateKeyDescriptionRequest)(nil), false},
		{"describe anew without an id", &kms.UpdateKeyDescriptionRequest{}, false},
		{"describe anew at length", &kms.UpdateKeyDescriptionRequest{KeyID: "k", Description: long(8193)}, false},
		{"tag", &kms.TagKeyRequest{KeyID: "k", Tags: tags(50)}, true},
		{"tag nil", (*kms.TagKeyRequest)(nil), false},
		{"tag without an id", &kms.TagKeyRequest{Tags: tags(1)}, false},
		{"tag with nothing", &kms.TagKeyRequest{KeyID: "k"}, false},
		{"tag with 51", &kms.TagKeyRequest{KeyID: "k", Tags: tags(51)}, false},
		{"untag", &kms.UntagKeyRequest{KeyID: "k", TagKeys: []string{"a"}}, true},
		{"untag nil", (*kms.UntagKeyRequest)(nil), false},
		{"untag nothing", &kms.UntagKeyRequest{KeyID: "k"}, false},
		{"untag an empty name", &kms.UntagKeyRequest{KeyID: "k", TagKeys: []string{""}}, false},
		{"untag 51", &kms.UntagKeyRequest{KeyID: "k", TagKeys: make([]string, 51)}, false},
		{"untag without an id", &kms.UntagKeyRequest{TagKeys: []string{"a"}}, false},
		{"generate", &kms.GenerateDataKeyRequest{KeyID: "k", Spec: kms.AES128}, true},
		{"generate nil", (*kms.GenerateDataKeyRequest)(nil), false},
		{"generate another spec", &kms.GenerateDataKeyRequest{KeyID: "k", Spec: "AES_192"}, false},
		{"generate with the largest context", &kms.GenerateDataKeyRequest{KeyID: "k", Context: kms.EncryptionContext{"k": long(8192 - 9)}}, true},
		{"generate with too large a context", &kms.GenerateDataKeyRequest{KeyID: "k", Context: kms.EncryptionContext{"k": long(8192 - 8)}}, false},
		{"generate with a context that is not UTF-8", &kms.GenerateDataKeyRequest{KeyID: "k", Context: kms.EncryptionContext{"k": bad}}, false},
		{"generate with a context key that is not UTF-8", &kms.GenerateDataKeyRequest{KeyID: "k", Context: kms.EncryptionContext{bad: "v"}}, false},
		{"encrypt one byte", &kms.EncryptRequest{KeyID: "k", Plaintext: make([]byte, 1)}, true},
		{"encrypt nil", (*kms.EncryptRequest)(nil), false},
		{"encrypt nothing", &kms.EncryptRequest{KeyID: "k"}, false},
		{"encrypt 4096 bytes", &kms.EncryptRequest{KeyID: "k", Plaintext: make([]byte, 4096)}, true},
		{"encrypt 4097 bytes", &kms.EncryptRequest{KeyID: "k", Plaintext: make([]byte, 4097)}, false},
		{"encrypt with a bad context", &kms.EncryptRequest{KeyID: "k", Plaintext: make([]byte, 1), Context: kms.EncryptionContext{bad: ""}}, false},
		{"decrypt 16 KiB", &kms.DecryptRequest{Ciphertext: make([]byte, 16<<10)}, true},
		{"decrypt nil", (*kms.DecryptRequest)(nil), false},
		{"decrypt nothing", &kms.DecryptRequest{}, false},
		{"decrypt 16 KiB and a byte", &kms.DecryptRequest{Ciphertext: make([]byte, 16<<10+1)}, false},
		{"decrypt with a bad context", &kms.DecryptRequest{Ciphertext: make([]byte, 1), Context: kms.EncryptionContext{bad: ""}}, false},
		{"decrypt with a bad id", &kms.DecryptRequest{Ciphertext: make([]byte, 1), KeyID: "\x7f"}, false},
		{"rewrap one", &kms.RewrapDataKeysRequest{Items: make([]kms.RewrapItem, 1)}, true},
		{"rewrap nil", (*kms.RewrapDataKeysRequest)(nil), false},
		{"rewrap nothing", &kms.RewrapDataKeysRequest{}, false},
		{"rewrap 10,001", &kms.RewrapDataKeysRequest{Items: make([]kms.RewrapItem, 10001)}, false},
		{"an item", kms.RewrapItem{Ciphertext: make([]byte, 1)}, true},
		{"an item of nothing", kms.RewrapItem{}, false},
		{"an item with a bad context", kms.RewrapItem{Ciphertext: make([]byte, 1), From: kms.EncryptionContext{bad: ""}}, false},
		{"an item with a bad new context", kms.RewrapItem{Ciphertext: make([]byte, 1), To: kms.EncryptionContext{bad: ""}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.req.Validate()
			if tt.ok {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, kms.ErrInvalidRequest)
		})
	}
}

func TestKeyIDGrammar(t *testing.T) {
	for _, id := range []string{"a", "Z", "0", "a.b_c-d", "9f1c6b0e-0000-4000-8000-000000000000", "a..", strings.Repeat("a", 128)} {
		require.NoError(t, kms.ValidateKeyID(id), id)
	}
	for _, id := range []string{"", ".", "..", "-a", "_a", ".a", "a/b", "a\\b", "a b", "a%2fb", "a\x00", "é", "a:b", "../a", strings.Repeat("a", 129)} {
		require.ErrorIs(t, kms.ValidateKeyID(id), kms.ErrInvalidRequest, id)
	}
}

func TestDefaultsOfRequests(t *testing.T) {
	require.Equal(t, 100, (&kms.ListKeysRequest{}).PageSize())
	require.Equal(t, 7, (&kms.ListKeysRequest{Limit: 7}).PageSize())
	require.Equal(t, 30, (&kms.DeleteKeyRequest{}).WindowDays())
	require.Equal(t, 7, (&kms.DeleteKeyRequest{PendingWindowDays: 7}).WindowDays())
	require.Equal(t, 32, kms.KeySpec("").Size())
	require.Equal(t, 32, kms.AES256.Size())
	require.Equal(t, 16, kms.AES128.Size())
	require.Zero(t, kms.KeySpec("AES_512").Size())
}

func TestNoErrorShowsAContext(t *testing.T) {
	ec := kms.EncryptionContext{canary: canary + strings.Repeat("x", 9000)}
	require.NotContains(t, ec.Validate().Error(), canary)
	ec = kms.EncryptionContext{canary: "\xff"}
	require.NotContains(t, ec.Validate().Error(), canary)
}
