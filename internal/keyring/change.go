package keyring

import (
	"context"
	"fmt"
	"maps"

	"github.com/objectkms/kms"
)

// maxTags is how many tags a key has at most.
const maxTags = 50

// EnableKey makes a Disabled key Enabled. On an Enabled key it writes nothing.
func (r *Ring) EnableKey(ctx context.Context, req *kms.EnableKeyRequest) (*kms.EnableKeyResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	rec, _, err := r.mutate(ctx, req.KeyID, setState(kms.KeyEnabled))
	if err != nil {
		return nil, err
	}
	return &kms.EnableKeyResponse{Key: rec.key()}, nil
}

// DisableKey makes an Enabled key Disabled. On a Disabled key it writes nothing.
func (r *Ring) DisableKey(ctx context.Context, req *kms.DisableKeyRequest) (*kms.DisableKeyResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	rec, _, err := r.mutate(ctx, req.KeyID, setState(kms.KeyDisabled))
	if err != nil {
		return nil, err
	}
	return &kms.DisableKeyResponse{Key: rec.key()}, nil
}

func setState(state kms.KeyState) edit {
	return func(rec *record) (outcome, error) {
		if err := rec.standing().MustStay(); err != nil {
			return keep, err
		}
		if rec.State == state {
			return keep, nil
		}
		rec.State = state
		return write, nil
	}
}

// RotateKey gives an Enabled key a new version of random material. A key has at most 4,000
// versions; one more is ErrInvalidRequest.
func (r *Ring) RotateKey(ctx context.Context, req *kms.RotateKeyRequest) (*kms.RotateKeyResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	rec, _, err := r.mutate(ctx, req.KeyID, r.rotate)
	if err != nil {
		return nil, err
	}
	return &kms.RotateKeyResponse{Key: rec.key()}, nil
}

func (r *Ring) rotate(rec *record) (outcome, error) {
	if err := rec.standing().MustBeEnabled(); err != nil {
		return keep, err
	}
	if n := len(rec.Versions); n >= maxVersions {
		return keep, fmt.Errorf("%w: key has %d versions, and %d is the most", kms.ErrInvalidRequest, n, maxVersions)
	}
	material := randomMaterial()
	defer clear(material)
	next, err := r.keys.newVersion(rec.ID, rec.newest().Version+1, material)
	if err != nil {
		return keep, err
	}
	rec.Versions = append(rec.Versions, next)
	return write, nil
}

// UpdateKeyDescription replaces the description of a key that is not pending deletion.
func (r *Ring) UpdateKeyDescription(ctx context.Context, req *kms.UpdateKeyDescriptionRequest) (*kms.UpdateKeyDescriptionResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	rec, _, err := r.mutate(ctx, req.KeyID, func(rec *record) (outcome, error) {
		if err := rec.standing().MustStay(); err != nil {
			return keep, err
		}
		if rec.Description == req.Description {
			return keep, nil
		}
		rec.Description = req.Description
		return write, nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.UpdateKeyDescriptionResponse{Key: rec.key()}, nil
}

// TagKey adds or replaces tags of a key that is not pending deletion. More than 50 tags in all
// are ErrInvalidRequest.
func (r *Ring) TagKey(ctx context.Context, req *kms.TagKeyRequest) (*kms.TagKeyResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	rec, _, err := r.mutate(ctx, req.KeyID, retag(func(tags map[string]string) {
		maps.Copy(tags, req.Tags)
	}))
	if err != nil {
		return nil, err
	}
	return &kms.TagKeyResponse{Key: rec.key()}, nil
}

// UntagKey removes tags of a key that is not pending deletion.
func (r *Ring) UntagKey(ctx context.Context, req *kms.UntagKeyRequest) (*kms.UntagKeyResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	rec, _, err := r.mutate(ctx, req.KeyID, retag(func(tags map[string]string) {
		for _, name := range req.TagKeys {
			delete(tags, name)
		}
	}))
	if err != nil {
		return nil, err
	}
	return &kms.UntagKeyResponse{Key: rec.key()}, nil
}

// retag returns the edit of a record's tags by change, which gets a map of its own.
func retag(change func(tags map[string]string)) edit {
	return func(rec *record) (outcome, error) {
		if err := rec.standing().MustStay(); err != nil {
			return keep, err
		}
		tags := make(map[string]string)
		maps.Copy(tags, rec.Tags)
		change(tags)
		if n := len(tags); n > maxTags {
			return keep, fmt.Errorf("%w: key would have %d tags, want at most %d", kms.ErrInvalidRequest, n, maxTags)
		}
		if maps.Equal(tags, rec.Tags) {
			return keep, nil
		}
		rec.Tags = tags
		return write, nil
	}
}
