package vault

import (
	"context"
	"fmt"
	"maps"
	"net/http"

	"github.com/objectkms/kms"
)

// maxTags is how many tags a key has at most.
const maxTags = 50

// An edit changes the record of a key and says whether that is to be written.
type edit func(v view, rec *keyRecord) (changed bool, err error)

// change runs an edit on the record of a key as it is now, until nobody else has changed it meanwhile, and returns the key after it.
func (t *transit) change(ctx context.Context, id string, change edit) (after view, err error) {
	if err := kms.ValidateKeyID(id); err != nil {
		return after, err
	}
	err = repeat(ctx, func() error {
		v, err := t.look(ctx, id)
		if err != nil {
			return err
		}
		if v.key != nil {
			// A key of somebody else's, for purposes of his own, is none of ours.
			if err := v.key.unsupported(); err != nil {
				return err
			}
		}
		rec := v.rec.clone()
		after = view{rec, v.version, v.key}
		changed, err := change(v, rec)
		if err != nil || !changed {
			return err
		}
		after.version++
		return t.writeRecord(ctx, rec, v.version)
	})
	return after, err
}

// EnableKey makes a Disabled key Enabled. On an Enabled key it writes nothing.
func (t *transit) EnableKey(ctx context.Context, req *kms.EnableKeyRequest) (*kms.EnableKeyResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	v, err := t.change(ctx, req.KeyID, setState(kms.KeyEnabled))
	if err != nil {
		return nil, err
	}
	return &kms.EnableKeyResponse{Key: v.describe()}, nil
}

// DisableKey makes an Enabled key Disabled. On a Disabled key it writes nothing.
func (t *transit) DisableKey(ctx context.Context, req *kms.DisableKeyRequest) (*kms.DisableKeyResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	v, err := t.change(ctx, req.KeyID, setState(kms.KeyDisabled))
	if err != nil {
		return nil, err
	}
	return &kms.DisableKeyResponse{Key: v.describe()}, nil
}

func setState(state kms.KeyState) edit {
	return func(_ view, rec *keyRecord) (bool, error) {
		if err := rec.standing().MustStay(); err != nil {
			return false, err
		}
		changed := rec.State != state
		rec.State = state
		return changed, nil
	}
}

// RotateKey gives an Enabled key a new version in Transit.
func (t *transit) RotateKey(ctx context.Context, req *kms.RotateKeyRequest) (*kms.RotateKeyResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	if err := kms.ValidateKeyID(req.KeyID); err != nil {
		return nil, err
	}
	v, err := t.look(ctx, req.KeyID)
	if err != nil {
		return nil, err
	}
	if err := v.mayWrap(); err != nil {
		return nil, err
	}
	if err := t.client.do(ctx, http.MethodPost, t.path("keys", v.rec.Name)+"/rotate", nil, nil); err != nil {
		return nil, t.explain(err)
	}
	if v.key, err = t.readKey(ctx, v.rec.Name); err != nil {
		return nil, err
	}
	return &kms.RotateKeyResponse{Key: v.describe()}, nil
}

// UpdateKeyDescription replaces the description of a key that is not pending deletion.
func (t *transit) UpdateKeyDescription(ctx context.Context, req *kms.UpdateKeyDescriptionRequest) (*kms.UpdateKeyDescriptionResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	v, err := t.change(ctx, req.KeyID, func(_ view, rec *keyRecord) (bool, error) {
		changed := rec.Description != req.Description
		rec.Description = req.Description
		return changed, rec.standing().MustStay()
	})
	if err != nil {
		return nil, err
	}
	return &kms.UpdateKeyDescriptionResponse{Key: v.describe()}, nil
}

// TagKey adds or replaces tags of a key that is not pending deletion. More than 50 tags in all are ErrInvalidRequest.
func (t *transit) TagKey(ctx context.Context, req *kms.TagKeyRequest) (*kms.TagKeyResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	v, err := t.change(ctx, req.KeyID, retag(func(tags map[string]string) {
		maps.Copy(tags, req.Tags)
	}))
	if err != nil {
		return nil, err
	}
	return &kms.TagKeyResponse{Key: v.describe()}, nil
}

// UntagKey removes tags of a key that is not pending deletion.
func (t *transit) UntagKey(ctx context.Context, req *kms.UntagKeyRequest) (*kms.UntagKeyResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	v, err := t.change(ctx, req.KeyID, retag(func(tags map[string]string) {
		for _, name := range req.TagKeys {
			delete(tags, name)
		}
	}))
	if err != nil {
		return nil, err
	}
	return &kms.UntagKeyResponse{Key: v.describe()}, nil
}

// retag returns the edit of a record's tags by change, which gets a map of its own.
func retag(change func(tags map[string]string)) edit {
	return func(before view, rec *keyRecord) (bool, error) {
		if err := rec.standing().MustStay(); err != nil {
			return false, err
		}
		if rec.Tags == nil {
			rec.Tags = make(map[string]string)
		}
		change(rec.Tags)
		if n := len(rec.Tags); n > maxTags {
			return false, fmt.Errorf("%w: key would have %d tags, want at most %d", kms.ErrInvalidRequest, n, maxTags)
		}
		return !maps.Equal(before.rec.Tags, rec.Tags), nil
	}
}
