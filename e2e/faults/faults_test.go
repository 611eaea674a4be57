// Package faults lets the network and the server fail in every way, one request at a time, and looks at what was sent.
package faults

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/faultproxy"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func engines(t *testing.T, run func(t *testing.T, engine vault.Engine)) {
	for name, engine := range map[string]vault.Engine{"Transit": vault.Transit, "KV2": vault.KV2} {
		t.Run(name, func(t *testing.T) { run(t, engine) })
	}
}

// startProxy mounts engines on the given server, or a new one, and puts a proxy in front of them.
func startProxy(t *testing.T) (*faultproxy.Proxy, *testenv.Mounts) {
	t.Helper()
	m := testenv.NewMounts(t)
	p := faultproxy.Start(t, m.Address)
	return p, m.At(t, p.URL())
}

func open(t *testing.T, config kms.BackendConfig) *vault.Backend {
	t.Helper()
	b, err := config.Open(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b.(*vault.Backend)
}

func create(t *testing.T, keys kms.KeyService, id string) {
	t.Helper()
	_, err := keys.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
	require.NoError(t, err)
}

// An operation is a method of a backend, called for one key.
type operation struct {
	name string
	// prepare brings an Enabled key into the state that the operation needs. Nil: that is the one.
	prepare func(ctx context.Context, b *vault.Backend, id string) error
	call    func(ctx context.Context, b *vault.Backend, id string, blob []byte) error

	changes bool // the key
	makes   bool // a key
	removes bool // the key
}

func operations() []operation { return append(uses(), changes()...) }

// uses change nothing.
func uses() []operation {
	return []operation{
		{name: "HealthCheck", call: func(ctx context.Context, b *vault.Backend, _ string, _ []byte) error { return b.HealthCheck(ctx) }},
		{name: "DescribeKey", call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error {
			return first(b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: id}))
		}},
		{name: "ListKeys", call: func(ctx context.Context, b *vault.Backend, _ string, _ []byte) error {
			return first(b.ListKeys(ctx, &kms.ListKeysRequest{}))
		}},
		{name: "GenerateDataKey", call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error {
			made, err := b.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: id})
			if err == nil {
				made.Plaintext.Destroy()
			}
			return err
		}},
		{name: "Encrypt", call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error {
			return first(b.Encrypt(ctx, &kms.EncryptRequest{KeyID: id, Plaintext: []byte("text")}))
		}},
		{name: "Decrypt", call: func(ctx context.Context, b *vault.Backend, _ string, blob []byte) error {
			return opens(ctx, b, blob)
		}},
		{name: "RewrapDataKeys", call: func(ctx context.Context, b *vault.Backend, id string, blob []byte) error {
			done, err := b.RewrapDataKeys(ctx, &kms.RewrapDataKeysRequest{KeyID: id, Items: []kms.RewrapItem{{Ciphertext: blob, To: kms.EncryptionContext{"a": "b"}}}})
			if err == nil {
				err = done.Items[0].Err
			}
			return err
		}},
	}
}

func changes() []operation {
	disable := func(ctx context.Context, b *vault.Backend, id string) error {
		return first(b.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: id}))
	}
	schedule := func(ctx context.Context, b *vault.Backend, id string) error {
		return first(b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id}))
	}
	return []operation{
		{name: "CreateKey", changes: true, makes: true, call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error {
			return first(b.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id}))
		}},
		{name: "ImportKey", changes: true, makes: true, call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error {
			material := kms.NewSecret([]byte(strings.Repeat("m", 32)))
			defer material.Destroy()
			return first(b.ImportKey(ctx, &kms.ImportKeyRequest{KeyID: id, Material: material}))
		}},
		{name: "RotateKey", changes: true, call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error {
			return first(b.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: id}))
		}},
		{name: "DisableKey", changes: true, call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error { return disable(ctx, b, id) }},
		{name: "EnableKey", changes: true, prepare: disable, call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error {
			return first(b.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: id}))
		}},
		{name: "UpdateKeyDescription", changes: true, call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error {
			return first(b.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionRequest{KeyID: id, Description: "new"}))
		}},
		{name: "TagKey", changes: true, call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error {
			return first(b.TagKey(ctx, &kms.TagKeyRequest{KeyID: id, Tags: map[string]string{"a": "b"}}))
		}},
		{name: "UntagKey", changes: true, call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error {
			return first(b.UntagKey(ctx, &kms.UntagKeyRequest{KeyID: id, TagKeys: []string{"a"}}))
		}},
		{name: "DeleteKey", changes: true, call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error { return schedule(ctx, b, id) }},
		{name: "CancelKeyDeletion", changes: true, prepare: schedule, call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error {
			return first(b.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: id}))
		}},
		{name: "DeleteKey at once", changes: true, removes: true, call: func(ctx context.Context, b *vault.Backend, id string, _ []byte) error {
			return first(b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id}))
		}},
	}
}

// first drops a response.
func first[T any](_ T, err error) error { return err }

func opens(ctx context.Context, b *vault.Backend, blob []byte) error {
	opened, err := b.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: blob})
	if err == nil {
		opened.Plaintext.Destroy()
	}
	return err
}

// mutates reports whether a request changes something in Vault, so that sending it twice is not the same as sending it once.
func mutates(m *testenv.Mounts) func(faultproxy.Request) bool {
	return func(r faultproxy.Request) bool {
		if r.Method == http.MethodGet || r.Method == "LIST" {
			return false
		}
		for _, uses := range []string{"/encrypt/", "/decrypt/", "/datakey/", "/rewrap/"} {
			if strings.HasPrefix(r.URI, "/v1/"+m.Transit+uses) {
				return false
			}
		}
		return strings.HasPrefix(r.URI, "/v1/"+m.Transit+"/") || strings.HasPrefix(r.URI, "/v1/"+m.KV+"/")
	}
}
