package backendtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"sync"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

// A breakage is a sound backend with one rule broken, and the rule that must be named.
type breakage struct {
	wrap func(b *mock.Backend) kms.Backend
	rule string
}

func breakages() map[string]breakage {
	return map[string]breakage{
		"context ignored":   {func(b *mock.Backend) kms.Backend { return contextIgnored{b} }, "Decrypt with an encryption context missing is ErrDecrypt"},
		"disabled encrypts": {func(b *mock.Backend) kms.Backend { return disabledEncrypts{b} }, "Encrypt of a key that is Disabled is refused"},
		"disabled is blind": {func(b *mock.Backend) kms.Backend { return disabledIsBlind{b} }, "Decrypt of a key that is Disabled is allowed"},
		"cancel enables":    {func(b *mock.Backend) kms.Backend { return cancelEnables{b} }, "CancelKeyDeletion leaves the key Disabled"},
		"create overlooks":  {func(b *mock.Backend) kms.Backend { return createOverlooks{b} }, "CreateKey with the id of an existing key is ErrKeyExists"},
		"marker included":   {func(b *mock.Backend) kms.Backend { return markerIncluded{b} }, "keys are listed in the order of their ids' bytes, after the marker, each once"},
		"filter ignored":    {func(b *mock.Backend) kms.Backend { return filterIgnored{b} }, "a list by state has keys in this state only"},
		"pages cut off":     {func(b *mock.Backend) kms.Backend { return pagesCutOff{b} }, "hold every key once"},
		"secret shared":     {func(b *mock.Backend) kms.Backend { return &secretShared{Backend: b} }, "every answer is a copy of its own"},
		"ctx ignored":       {func(b *mock.Backend) kms.Backend { return ctxIgnored{b} }, "Encrypt with a context that was cancelled is context.Canceled"},
		"never closed":      {func(b *mock.Backend) kms.Backend { return neverClosed{b} }, "DescribeKey after Close is ErrClosed"},
		"nil accepted":      {func(b *mock.Backend) kms.Backend { return nilAccepted{b} }, "ListKeys with a nil request is ErrInvalidRequest"},
		"window clamped":    {func(b *mock.Backend) kms.Backend { return windowClamped{b} }, "DeleteKey with a window outside 7 to 30 days is ErrInvalidRequest"},
		"window of a week":  {func(b *mock.Backend) kms.Backend { return windowOfAWeek{b} }, "the deletion date is the window from now"},
		"not confirmed":     {func(b *mock.Backend) kms.Backend { return notConfirmed{b} }, "DeleteKey with Immediate needs the key's id repeated"},
		"one fails all":     {func(b *mock.Backend) kms.Backend { return oneFailsAll{b} }, "RewrapDataKeys answers, whatever its items are"},
		"current unchecked": {func(b *mock.Backend) kms.Backend { return currentUnchecked{b} }, "an item with a wrong encryption context is ErrDecrypt, also where both are the same"},
		"removes early":     {func(b *mock.Backend) kms.Backend { return removesEarly{b} }, "RemoveExpiredKeys removes no key a moment before its deletion date"},
		"old versions lost": {func(b *mock.Backend) kms.Backend { return oldVersionsLost{b} }, "what an old version wrapped opens for ever"},
		"context in errors": {func(b *mock.Backend) kms.Backend { return contextInErrors{b} }, "no error holds a value of an encryption context"},
		"material taken":    {func(b *mock.Backend) kms.Backend { return materialTaken{b} }, "ImportKey leaves the material as it was"},
		"plaintext wiped":   {func(b *mock.Backend) kms.Backend { return plaintextWiped{b} }, "a request is not changed: the plaintext"},
		"sentinel missing":  {func(b *mock.Backend) kms.Backend { return sentinelMissing{b} }, "is ErrDecrypt"},
		"id cleaned":        {func(b *mock.Backend) kms.Backend { return idCleaned{b} }, "CreateKey answers the id that was asked for"},
		"tail ignored":      {func(b *mock.Backend) kms.Backend { return tailIgnored{b} }, "a ciphertext with a byte more is ErrDecrypt"},
		"version forgotten": {func(b *mock.Backend) kms.Backend { return versionForgotten{b} }, "after RotateKey the newest version encrypts"},
		"created twice":     {func(b *mock.Backend) kms.Backend { return &createdTwice{Backend: b} }, "of several CreateKey calls with one id exactly one succeeds"},
	}
}

type contextIgnored struct{ *mock.Backend }

func (b contextIgnored) Encrypt(ctx context.Context, req *kms.EncryptRequest) (*kms.EncryptResponse, error) {
	if req != nil {
		req = &kms.EncryptRequest{KeyID: req.KeyID, Plaintext: req.Plaintext}
	}
	return b.Backend.Encrypt(ctx, req)
}

func (b contextIgnored) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	if req != nil {
		req = &kms.DecryptRequest{Ciphertext: req.Ciphertext}
	}
	return b.Backend.Decrypt(ctx, req)
}

type disabledEncrypts struct{ *mock.Backend }

func (b disabledEncrypts) Encrypt(ctx context.Context, req *kms.EncryptRequest) (*kms.EncryptResponse, error) {
	resp, err := b.Backend.Encrypt(ctx, req)
	if errors.Is(err, kms.ErrKeyDisabled) {
		return &kms.EncryptResponse{Ciphertext: []byte("?")}, nil
	}
	return resp, err
}

type disabledIsBlind struct{ *mock.Backend }

func (b disabledIsBlind) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	resp, err := b.Backend.Decrypt(ctx, req)
	if err != nil {
		return nil, err
	}
	if key, err := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: resp.KeyID}); err == nil && key.Key.State == kms.KeyDisabled {
		return nil, kms.ErrKeyDisabled
	}
	return resp, nil
}

type cancelEnables struct{ *mock.Backend }

func (b cancelEnables) CancelKeyDeletion(ctx context.Context, req *kms.CancelKeyDeletionRequest) (*kms.CancelKeyDeletionResponse, error) {
	if _, err := b.Backend.CancelKeyDeletion(ctx, req); err != nil {
		return nil, err
	}
	resp, err := b.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: req.KeyID})
	if err != nil {
		return nil, err
	}
	return &kms.CancelKeyDeletionResponse{Key: resp.Key}, nil
}

type createOverlooks struct{ *mock.Backend }

func (b createOverlooks) CreateKey(ctx context.Context, req *kms.CreateKeyRequest) (*kms.CreateKeyResponse, error) {
	resp, err := b.Backend.CreateKey(ctx, req)
	if errors.Is(err, kms.ErrKeyExists) {
		key, err := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: req.KeyID})
		if err != nil {
			return nil, err
		}
		return &kms.CreateKeyResponse{Key: key.Key}, nil
	}
	return resp, err
}

type markerIncluded struct{ *mock.Backend }

func (b markerIncluded) ListKeys(ctx context.Context, req *kms.ListKeysRequest) (*kms.ListKeysResponse, error) {
	resp, err := b.Backend.ListKeys(ctx, req)
	if err == nil && req.Marker != "" {
		if key, err := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: req.Marker}); err == nil && len(resp.Keys) < req.PageSize() {
			resp.Keys = append([]kms.Key{key.Key}, resp.Keys...)
		}
	}
	return resp, err
}

type filterIgnored struct{ *mock.Backend }

func (b filterIgnored) ListKeys(ctx context.Context, req *kms.ListKeysRequest) (*kms.ListKeysResponse, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	return b.Backend.ListKeys(ctx, &kms.ListKeysRequest{Limit: req.Limit, Marker: req.Marker})
}

type pagesCutOff struct{ *mock.Backend }

func (b pagesCutOff) ListKeys(ctx context.Context, req *kms.ListKeysRequest) (*kms.ListKeysResponse, error) {
	resp, err := b.Backend.ListKeys(ctx, req)
	if err == nil {
		resp.Truncated, resp.NextMarker = false, ""
	}
	return resp, err
}

type secretShared struct {
	*mock.Backend
	shared sync.Map
}

func (b *secretShared) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	resp, err := b.Backend.Decrypt(ctx, req)
	if err == nil {
		first, _ := b.shared.LoadOrStore(string(req.Ciphertext), resp.Plaintext)
		resp.Plaintext = first.(*kms.Secret)
	}
	return resp, err
}

type ctxIgnored struct{ *mock.Backend }

func (b ctxIgnored) Encrypt(ctx context.Context, req *kms.EncryptRequest) (*kms.EncryptResponse, error) {
	return b.Backend.Encrypt(context.WithoutCancel(ctx), req)
}

type neverClosed struct{ *mock.Backend }

func (neverClosed) Close() error { return nil }

type nilAccepted struct{ *mock.Backend }

func (b nilAccepted) ListKeys(ctx context.Context, req *kms.ListKeysRequest) (*kms.ListKeysResponse, error) {
	if req == nil {
		req = &kms.ListKeysRequest{}
	}
	return b.Backend.ListKeys(ctx, req)
}

type windowClamped struct{ *mock.Backend }

func (b windowClamped) DeleteKey(ctx context.Context, req *kms.DeleteKeyRequest) (*kms.DeleteKeyResponse, error) {
	if req != nil && req.PendingWindowDays != 0 && !req.Immediate {
		copied := *req
		copied.PendingWindowDays = min(max(req.PendingWindowDays, 7), 30)
		req = &copied
	}
	return b.Backend.DeleteKey(ctx, req)
}

type windowOfAWeek struct{ *mock.Backend }

func (b windowOfAWeek) DeleteKey(ctx context.Context, req *kms.DeleteKeyRequest) (*kms.DeleteKeyResponse, error) {
	if req != nil && req.PendingWindowDays == 0 && !req.Immediate {
		copied := *req
		copied.PendingWindowDays = 7
		req = &copied
	}
	return b.Backend.DeleteKey(ctx, req)
}

type notConfirmed struct{ *mock.Backend }

func (b notConfirmed) DeleteKey(ctx context.Context, req *kms.DeleteKeyRequest) (*kms.DeleteKeyResponse, error) {
	if req != nil && req.Immediate && req.ConfirmKeyID == "" {
		copied := *req
		copied.ConfirmKeyID = req.KeyID
		req = &copied
	}
	return b.Backend.DeleteKey(ctx, req)
}

type oneFailsAll struct{ *mock.Backend }

func (b oneFailsAll) RewrapDataKeys(ctx context.Context, req *kms.RewrapDataKeysRequest) (*kms.RewrapDataKeysResponse, error) {
	resp, err := b.Backend.RewrapDataKeys(ctx, req)
	if err == nil {
		for _, item := range resp.Items {
			if item.Err != nil {
				return nil, item.Err
			}
		}
	}
	return resp, err
}

type currentUnchecked struct{ *mock.Backend }

func (b currentUnchecked) RewrapDataKeys(ctx context.Context, req *kms.RewrapDataKeysRequest) (*kms.RewrapDataKeysResponse, error) {
	resp, err := b.Backend.RewrapDataKeys(ctx, req)
	if err == nil {
		for i, item := range req.Items {
			if resp.Items[i].Err != nil && len(item.Ciphertext) > 0 && fmt.Sprint(item.From) == fmt.Sprint(item.To) {
				resp.Items[i] = kms.RewrapResult{Ciphertext: bytes.Clone(item.Ciphertext), Current: true}
			}
		}
	}
	return resp, err
}

type removesEarly struct{ *mock.Backend }

func (b removesEarly) RemoveExpiredKeys(ctx context.Context, now time.Time) ([]string, error) {
	return b.Backend.RemoveExpiredKeys(ctx, now.Add(time.Second))
}

type oldVersionsLost struct{ *mock.Backend }

func (b oldVersionsLost) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	resp, err := b.Backend.Decrypt(ctx, req)
	if err != nil {
		return nil, err
	}
	if key, err := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: resp.KeyID}); err == nil && key.Key.Version != resp.KeyVersion {
		return nil, kms.ErrDecrypt
	}
	return resp, nil
}

type contextInErrors struct{ *mock.Backend }

func (b contextInErrors) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	resp, err := b.Backend.Decrypt(ctx, req)
	if err != nil && req != nil {
		err = fmt.Errorf("%w: context is %v", err, req.Context)
	}
	return resp, err
}

type materialTaken struct{ *mock.Backend }

func (b materialTaken) ImportKey(ctx context.Context, req *kms.ImportKeyRequest) (*kms.ImportKeyResponse, error) {
	resp, err := b.Backend.ImportKey(ctx, req)
	if err == nil {
		req.Material.Destroy()
	}
	return resp, err
}

type plaintextWiped struct{ *mock.Backend }

func (b plaintextWiped) Encrypt(ctx context.Context, req *kms.EncryptRequest) (*kms.EncryptResponse, error) {
	resp, err := b.Backend.Encrypt(ctx, req)
	if err == nil {
		clear(req.Plaintext)
	}
	return resp, err
}

type sentinelMissing struct{ *mock.Backend }

func (b sentinelMissing) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	resp, err := b.Backend.Decrypt(ctx, req)
	if errors.Is(err, kms.ErrDecrypt) {
		err = errors.New("message authentication failed")
	}
	return resp, err
}

type idCleaned struct{ *mock.Backend }

func (b idCleaned) CreateKey(ctx context.Context, req *kms.CreateKeyRequest) (*kms.CreateKeyResponse, error) {
	if req != nil && req.KeyID != "" {
		copied := *req
		copied.KeyID = path.Base(req.KeyID)
		req = &copied
	}
	return b.Backend.CreateKey(ctx, req)
}

type tailIgnored struct{ *mock.Backend }

func (b tailIgnored) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	resp, err := b.Backend.Decrypt(ctx, req)
	if errors.Is(err, kms.ErrDecrypt) {
		cut := *req
		cut.Ciphertext = req.Ciphertext[:len(req.Ciphertext)-1]
		if again, err := b.Backend.Decrypt(ctx, &cut); err == nil {
			return again, nil
		}
	}
	return resp, err
}

type versionForgotten struct{ *mock.Backend }

func (b versionForgotten) Encrypt(ctx context.Context, req *kms.EncryptRequest) (*kms.EncryptResponse, error) {
	resp, err := b.Backend.Encrypt(ctx, req)
	if err == nil {
		resp.KeyVersion = 1
	}
	return resp, err
}

type createdTwice struct {
	*mock.Backend
	mu      sync.Mutex
	created map[string]bool
}

// CreateKey lets a second call win as a check that is not one with the write would, but no call after that.
func (b *createdTwice) CreateKey(ctx context.Context, req *kms.CreateKeyRequest) (*kms.CreateKeyResponse, error) {
	resp, err := b.Backend.CreateKey(ctx, req)
	b.mu.Lock()
	defer b.mu.Unlock()
	if errors.Is(err, kms.ErrKeyExists) && !b.created[req.KeyID] {
		b.created = map[string]bool{req.KeyID: true}
		key, err := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: req.KeyID})
		if err != nil {
			return nil, err
		}
		return &kms.CreateKeyResponse{Key: key.Key}, nil
	}
	return resp, err
}
