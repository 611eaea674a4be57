package admin

import (
	"context"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
)

// changeKey is a call that names a key, changes it and answers how it is now.
func (c *call) changeKey(message string, fields strictjson.Fields, change func(ctx context.Context) (kms.Key, error)) (job, error) {
	err := c.decodeKey(fields)
	return func(ctx context.Context) ([]byte, error) {
		key, err := change(ctx)
		if err != nil {
			return nil, err
		}
		return answerKey(message, key)
	}, err
}

func (c *call) cancelKeyDeletion() (job, error) {
	return c.changeKey("the key stays, and is disabled", strictjson.Fields{}, func(ctx context.Context) (kms.Key, error) {
		resp, err := c.service.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: c.KeyID})
		if err != nil {
			return kms.Key{}, err
		}
		return resp.Key, nil
	})
}

func (c *call) enableKey() (job, error) {
	return c.changeKey("the key is enabled", strictjson.Fields{}, func(ctx context.Context) (kms.Key, error) {
		resp, err := c.service.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: c.KeyID})
		if err != nil {
			return kms.Key{}, err
		}
		return resp.Key, nil
	})
}

func (c *call) disableKey() (job, error) {
	return c.changeKey("the key is disabled", strictjson.Fields{}, func(ctx context.Context) (kms.Key, error) {
		resp, err := c.service.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: c.KeyID})
		if err != nil {
			return kms.Key{}, err
		}
		return resp.Key, nil
	})
}

func (c *call) rotateKey() (job, error) {
	return c.changeKey("the key has a new version", strictjson.Fields{}, func(ctx context.Context) (kms.Key, error) {
		resp, err := c.service.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: c.KeyID})
		if err != nil {
			return kms.Key{}, err
		}
		return resp.Key, nil
	})
}

// updateKeyDescription demands the new description: an empty one is said, not left out.
func (c *call) updateKeyDescription() (job, error) {
	var description *string
	run, err := c.changeKey("the key has a new description", strictjson.Fields{
		"description": func(value []byte) error {
			text, err := strictjson.Text(value)
			description = &text
			return err
		},
	}, func(ctx context.Context) (kms.Key, error) {
		resp, err := c.service.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionRequest{KeyID: c.KeyID, Description: *description})
		if err != nil {
			return kms.Key{}, err
		}
		return resp.Key, nil
	})
	if err == nil && description == nil {
		return nil, missing("description")
	}
	return run, err
}

func (c *call) tagKey() (job, error) {
	req := new(kms.TagKeyRequest)
	return c.changeKey("the key is tagged", strictjson.Fields{"tags": strictjson.Into(&req.Tags, texts)}, func(ctx context.Context) (kms.Key, error) {
		req.KeyID = c.KeyID
		resp, err := c.service.TagKey(ctx, req)
		if err != nil {
			return kms.Key{}, err
		}
		return resp.Key, nil
	})
}

func (c *call) untagKey() (job, error) {
	req := new(kms.UntagKeyRequest)
	fields := strictjson.Fields{"tag_keys": strictjson.Into(&req.TagKeys, list(strictjson.Text))}
	return c.changeKey("the tags are gone", fields, func(ctx context.Context) (kms.Key, error) {
		req.KeyID = c.KeyID
		resp, err := c.service.UntagKey(ctx, req)
		if err != nil {
			return kms.Key{}, err
		}
		return resp.Key, nil
	})
}
