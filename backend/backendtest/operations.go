package backendtest

import (
	"context"
	"time"

	"github.com/objectkms/kms"
)

// An operation is one method of a backend, as the rules for all methods call it.
type operation struct {
	name string
	// call makes a right call, on the key and its ciphertext where the method has any.
	call func(ctx context.Context, keyID string, blob []byte) error
	// empty makes a call with a nil request; nil for methods without one.
	empty func(ctx context.Context) error
	keyed bool // the method is about the one key
}

// method returns the operation of one method; keyed methods need a request that names the key.
func method[Req, Resp any](name string, do func(context.Context, *Req) (*Resp, error), req func(keyID string, blob []byte) *Req) operation {
	return operation{
		name: name,
		call: func(ctx context.Context, keyID string, blob []byte) error {
			_, err := do(ctx, req(keyID, blob))
			return err
		},
		empty: func(ctx context.Context) error {
			_, err := do(ctx, nil)
			return err
		},
		keyed: true,
	}
}

// free marks an operation that is not about one existing key.
func free(op operation) operation {
	op.keyed = false
	return op
}

// operations returns every method that the backend has, Close aside.
func operations(b kms.Backend) []operation {
	ops := []operation{
		free(method("CreateKey", b.CreateKey, func(string, []byte) *kms.CreateKeyRequest { return &kms.CreateKeyRequest{KeyID: "another-key"} })),
		free(method("ListKeys", b.ListKeys, func(string, []byte) *kms.ListKeysRequest { return &kms.ListKeysRequest{} })),
		{name: "HealthCheck", call: func(ctx context.Context, _ string, _ []byte) error { return b.HealthCheck(ctx) }},
		method("DescribeKey", b.DescribeKey, func(id string, _ []byte) *kms.DescribeKeyRequest { return &kms.DescribeKeyRequest{KeyID: id} }),
		method("GenerateDataKey", b.GenerateDataKey, func(id string, _ []byte) *kms.GenerateDataKeyRequest {
			return &kms.GenerateDataKeyRequest{KeyID: id}
		}),
		method("Encrypt", b.Encrypt, func(id string, _ []byte) *kms.EncryptRequest {
			return &kms.EncryptRequest{KeyID: id, Plaintext: []byte("text")}
		}),
		method("Decrypt", b.Decrypt, func(_ string, blob []byte) *kms.DecryptRequest { return &kms.DecryptRequest{Ciphertext: blob} }),
		method("DeleteKey", b.DeleteKey, func(id string, _ []byte) *kms.DeleteKeyRequest { return &kms.DeleteKeyRequest{KeyID: id} }),
		method("CancelKeyDeletion", b.CancelKeyDeletion, func(id string, _ []byte) *kms.CancelKeyDeletionRequest {
			return &kms.CancelKeyDeletionRequest{KeyID: id}
		}),
	}
	return append(ops, optionalOperations(b)...)
}

func optionalOperations(b kms.Backend) (ops []operation) {
	if b, ok := b.(kms.KeyStateChanger); ok {
		ops = append(ops,
			method("EnableKey", b.EnableKey, func(id string, _ []byte) *kms.EnableKeyRequest { return &kms.EnableKeyRequest{KeyID: id} }),
			method("DisableKey", b.DisableKey, func(id string, _ []byte) *kms.DisableKeyRequest { return &kms.DisableKeyRequest{KeyID: id} }))
	}
	if b, ok := b.(kms.KeyRotator); ok {
		ops = append(ops, method("RotateKey", b.RotateKey, func(id string, _ []byte) *kms.RotateKeyRequest { return &kms.RotateKeyRequest{KeyID: id} }))
	}
	if b, ok := b.(kms.KeyImporter); ok {
		ops = append(ops, free(method("ImportKey", b.ImportKey, func(string, []byte) *kms.ImportKeyRequest {
			return &kms.ImportKeyRequest{KeyID: "imported-key", Material: material(1)}
		})))
	}
	if b, ok := b.(kms.KeyUpdater); ok {
		ops = append(ops,
			method("UpdateKeyDescription", b.UpdateKeyDescription, func(id string, _ []byte) *kms.UpdateKeyDescriptionRequest {
				return &kms.UpdateKeyDescriptionRequest{KeyID: id, Description: "changed"}
			}),
			method("TagKey", b.TagKey, func(id string, _ []byte) *kms.TagKeyRequest {
				return &kms.TagKeyRequest{KeyID: id, Tags: map[string]string{"name": "value"}}
			}),
			method("UntagKey", b.UntagKey, func(id string, _ []byte) *kms.UntagKeyRequest {
				return &kms.UntagKeyRequest{KeyID: id, TagKeys: []string{"name"}}
			}))
	}
	if b, ok := b.(kms.DataKeyRewrapper); ok {
		op := method("RewrapDataKeys", b.RewrapDataKeys, rewrapRequest)
		op.call = func(ctx context.Context, keyID string, blob []byte) error {
			resp, err := b.RewrapDataKeys(ctx, rewrapRequest(keyID, blob))
			if err != nil {
				return err
			}
			return resp.Items[0].Err
		}
		ops = append(ops, op)
	}
	if b, ok := b.(kms.ExpiredKeyRemover); ok {
		ops = append(ops, operation{name: "RemoveExpiredKeys", call: func(ctx context.Context, _ string, _ []byte) error {
			_, err := b.RemoveExpiredKeys(ctx, time.Now())
			return err
		}})
	}
	return ops
}

func rewrapRequest(keyID string, blob []byte) *kms.RewrapDataKeysRequest {
	return &kms.RewrapDataKeysRequest{KeyID: keyID, Items: []kms.RewrapItem{{Ciphertext: blob}}}
}

// material returns 32 bytes of key material, which differ with n.
func material(n byte) *kms.Secret {
	b := make([]byte, 32)
	for i := range b {
		b[i] = byte(i)*7 + n
	}
	return kms.NewSecret(b)
}
