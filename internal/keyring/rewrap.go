package keyring

import (
	"bytes"
	"cmp"
	"context"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/encctx"
)

// RewrapDataKeys wraps data keys again under the newest version of an Enabled key. Each item has
// an outcome of its own, except that a key named by the request which cannot wrap fails the call.
func (r *Ring) RewrapDataKeys(ctx context.Context, req *kms.RewrapDataKeysRequest) (*kms.RewrapDataKeysResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	if req.KeyID != "" {
		if _, err := r.loadEnabled(ctx, req.KeyID); err != nil {
			return nil, err
		}
	}
	items := make([]kms.RewrapResult, len(req.Items))
	for i, item := range req.Items {
		result, err := r.rewrap(ctx, req.KeyID, item)
		if err != nil {
			result = kms.RewrapResult{Err: err}
		}
		items[i] = result
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return &kms.RewrapDataKeysResponse{Items: items}, nil
}

func (r *Ring) rewrap(ctx context.Context, keyID string, item kms.RewrapItem) (result kms.RewrapResult, err error) {
	if err := item.Validate(); err != nil {
		return result, err
	}
	blob, err := parseOwnBlob(item.Ciphertext)
	if err != nil {
		return result, err
	}
	plaintext, err := r.unwrap(ctx, blob, item.From)
	if err != nil {
		return result, err
	}
	defer clear(plaintext)
	target, err := r.loadEnabled(ctx, cmp.Or(keyID, blob.KeyID))
	if err != nil {
		return result, err
	}
	result = kms.RewrapResult{KeyID: target.ID, SourceKeyID: blob.KeyID, SourceKeyVersion: blob.Version}
	if blob.KeyID == target.ID && blob.Version == target.newest().Version && sameContext(item.From, item.To) {
		result.Ciphertext, result.KeyVersion, result.Current = bytes.Clone(item.Ciphertext), blob.Version, true
		return result, nil
	}
	result.Ciphertext, result.KeyVersion, err = r.wrap(target, item.To, plaintext)
	return result, err
}

func sameContext(a, b kms.EncryptionContext) bool {
	return bytes.Equal(encctx.Append(nil, a), encctx.Append(nil, b))
}
