package kms

import (
	"context"
	"fmt"
)

// RewrapDataKeys wraps data keys again, under the newest version of a key. Every item has an
// outcome of its own: Options.Authorize and the state of the key that an item is wrapped under
// are asked for each. An item that only a former backend can open is wrapped under the key that the request names.
// ErrUnsupported where the backend is no [DataKeyRewrapper].
func (m *Manager) RewrapDataKeys(ctx context.Context, req *RewrapDataKeysRequest) (*RewrapDataKeysResponse, error) {
	t := &task{name: opRewrapDataKeys}
	return do(ctx, m, t, req, m.rewrap)
}

func (m *Manager) rewrap(b DataKeyRewrapper, ctx context.Context, req *RewrapDataKeysRequest) (*RewrapDataKeysResponse, error) {
	resp, err := b.RewrapDataKeys(ctx, req)
	if err != nil {
		return nil, err
	}
	if resp == nil || len(resp.Items) != len(req.Items) {
		return nil, fmt.Errorf("the backend answered not one result for each of %d items", len(req.Items))
	}
	for i := range resp.Items {
		backend := 0
		if err := resp.Items[i].Err; err != nil && mayBeElsewhere(err) && len(m.former) > 0 {
			resp.Items[i], backend = m.rewrapFormer(ctx, req.KeyID, req.Items[i], err)
		}
		if err := m.mayRewrap(ctx, req.Items[i], resp.Items[i], backend); err != nil {
			resp.Items[i] = RewrapResult{Err: err}
		}
	}
	return resp, nil
}

// rewrapFormer opens an item with the former backends and wraps it with the first. err is what the
// backend said of it.
func (m *Manager) rewrapFormer(ctx context.Context, keyID string, item RewrapItem, err error) (RewrapResult, int) {
	u := m.unwrap(ctx, &DecryptRequest{Ciphertext: item.Ciphertext, Context: item.From}, 1)
	if u.err != nil {
		if mayBeElsewhere(u.err) {
			u.err = err
		}
		return RewrapResult{Err: u.err}, 0
	}
	defer u.destroy()
	if keyID == "" {
		return RewrapResult{Err: fmt.Errorf("%w: the item is of a former backend: name the key to wrap it under", ErrInvalidRequest)}, 0
	}
	wrapped, _, wrapErr := ask(ctx, m, m.opts.RetryAttempts, func(ctx context.Context) (*EncryptResponse, error) {
		return m.backend.Encrypt(ctx, &EncryptRequest{KeyID: keyID, Plaintext: u.resp.Plaintext.Bytes(), Context: item.To})
	})
	if wrapErr != nil {
		return RewrapResult{Err: wrapErr}, 0
	}
	return RewrapResult{
		Ciphertext: wrapped.Ciphertext, KeyID: wrapped.KeyID, KeyVersion: wrapped.KeyVersion,
		SourceKeyID: u.resp.KeyID, SourceKeyVersion: u.resp.KeyVersion,
	}, u.backend
}

// mayRewrap checks all that must hold before the result of an item is answered. An item that failed has its error already.
func (m *Manager) mayRewrap(ctx context.Context, item RewrapItem, result RewrapResult, backend int) error {
	if result.Err != nil {
		return nil
	}
	return firstError(
		m.authorize(ctx, opRewrapDataKeys, result.SourceKeyID, item.From),
		m.authorize(ctx, opRewrapDataKeys, result.KeyID, item.To),
		m.mayDecrypt(ctx, keyName{backend, result.SourceKeyID}),
	)
}
