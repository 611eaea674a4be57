package vault_test

import (
	"encoding/json"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

// calls are what a backend is asked for, on the key "k" and a text that is wrapped by it.
func calls(t *testing.T, b *vault.Backend, blob []byte) []func() error {
	ctx := t.Context()
	return []func() error{
		func() error {
			resp, err := b.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: "k"})
			if err == nil {
				require.Equal(t, 32, resp.Plaintext.Len())
				require.NotEmpty(t, resp.Ciphertext)
			}
			return err
		},
		func() error { return decrypt(t, b, blob, nil) },
		func() error {
			resp, err := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: "k"})
			if err == nil {
				require.Equal(t, "k", resp.Key.ID)
				requireWritable(t, resp.Key)
			}
			return err
		},
		func() error {
			resp, err := b.ListKeys(ctx, &kms.ListKeysRequest{})
			if err == nil {
				require.LessOrEqual(t, len(resp.Keys)+len(resp.Damaged), 100)
				requireWritable(t, resp.Keys...)
			}
			return err
		},
		func() error { _, err := b.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "new"}); return err },
		func() error { _, err := b.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: "k"}); return err },
		func() error {
			resp, err := b.RewrapDataKeys(ctx, &kms.RewrapDataKeysRequest{KeyID: "k", Items: []kms.RewrapItem{{Ciphertext: blob}, {Ciphertext: blob}}})
			if err == nil {
				require.Len(t, resp.Items, 2)
			}
			return err
		},
		func() error {
			_, err := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
			return err
		},
		func() error {
			resp, err := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "k"})
			if err == nil {
				requireWritable(t, resp.Key)
			}
			return err
		},
	}
}

// requireWritable checks that keys can be answered to somebody else: JSON has no dates after the year 9999.
func requireWritable(t *testing.T, keys ...kms.Key) {
	t.Helper()
	for _, key := range keys {
		_, err := json.Marshal(key)
		require.NoError(t, err)
	}
}

// Whatever one answer of the server is, at whichever place, a call succeeds with what was asked for, or its error is one that callers know. That a
// ciphertext is wrong is said by Vault, in a refusal, and follows from nothing else.
func FuzzServer(f *testing.F) {
	for call := range byte(9) {
		f.Add(false, call, byte(0), 200, `{"data":null}`)
		f.Add(true, call, byte(1), 400, `{"errors":["cipher: message authentication failed"]}`)
		f.Add(false, call, byte(2), 404, `{"errors":[]}`)
	}
	f.Add(false, byte(3), byte(0), 200, `{"data":{"keys":["../k","k","",null,7]}}`)
	f.Add(true, byte(2), byte(0), 200, `{"data":{"data":{"record":"{}"},"metadata":{"version":18446744073709551615}}}`)
	f.Add(true, byte(3), byte(0), 200, `{"data":{"keys":["k","l","m"]}}`)
	for at := range byte(3) {
		f.Add(true, byte(4), at, 200, `{"data":{"data":{"deleted":true},"metadata":{"version":1152921504606846976}}}`)
		f.Add(true, byte(4), at, 200, `{"data":{"data":{"deleted":true},"metadata":{"version":3}}}`)
	}
	for _, call := range []byte{2, 3, 5, 8} {
		for at := range byte(3) {
			f.Add(false, call, at, 200, `{"data":{"type":"aes256-gcm96","derived":true,"latest_version":2,"keys":{"1":1795642914,"2":9223372036854775807}}}`)
			f.Add(false, call, at, 200, `{"data":{"data":{"format":1,"id":"k","transit":"k","derived":true,"state":"Enabled","created":"9999-12-31T23:59:59Z","origin":"KMS","generation":2},"metadata":{"version":2}}}`)
		}
	}
	f.Add(false, byte(6), byte(0), 200, `{"data":{"batch_results":[{"ciphertext":"vault:v1:AAAA"},{"error":"x"}]}}`)
	f.Fuzz(func(t *testing.T, kv bool, call, at byte, status int, answer string) {
		fake, engine := newFakeVault(), vault.Transit
		if kv {
			engine = vault.KV2
		}
		b := fake.open(t, engine)
		createKey(t, b, "k")
		blob := encrypt(t, b, "k", nil)
		b = fake.open(t, engine)
		status = 200 + int(uint(status-200)%400)
		var n atomic.Int32 // a list asks for several records at once
		fake.before = func(string, string, []byte) (int, string) {
			if n.Add(1) == int32(at%8)+1 {
				return status, answer
			}
			return 0, ""
		}
		do := calls(t, b, blob)
		err := do[int(call)%len(do)]()
		if err == nil {
			return
		}
		require.NotEqual(t, kms.KindUnknown, kms.KindOf(err), "%v", err)
		require.NotContains(t, err.Error(), secretText)
		require.NotContains(t, err.Error(), "a-token-of-the-tests")
		if status < 400 {
			require.NotErrorIs(t, err, kms.ErrInvalidRequest, "what is no refusal does not blame the request: status %d: %s", status, answer)
		}
		if kms.HTTPStatus(err) == kms.HTTPStatus(kms.ErrDecrypt) && status < 400 {
			require.NotErrorIs(t, err, kms.ErrDecrypt, "status %d: %s", status, answer)
		}
	})
}
