package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
)

// keyAnswer is the answer of what makes or changes a key, or describes it.
type keyAnswer struct {
	Success  bool        `json:"success"`
	Message  string      `json:"message"`
	KeyID    string      `json:"key_id"`
	Metadata keyMetadata `json:"key_metadata"`
}

// keyMetadata is a kms.Key.
type keyMetadata struct {
	KeyID        string            `json:"key_id"`
	Description  string            `json:"description"`
	State        kms.KeyState      `json:"key_state"`
	Usage        kms.KeyUsage      `json:"key_usage"`
	Origin       kms.Origin        `json:"origin"`
	Version      uint32            `json:"version"`
	Tags         map[string]string `json:"tags"`
	CreatedAt    time.Time         `json:"creation_date"`
	RotatedAt    time.Time         `json:"rotation_date,omitzero"`
	DeletionDate time.Time         `json:"deletion_date,omitzero"`
	NativeRewrap bool              `json:"native_rewrap"`
}

func metadataOf(key kms.Key) keyMetadata {
	tags := key.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	return keyMetadata{
		KeyID: key.ID, Description: key.Description, State: key.State, Usage: key.Usage, Origin: key.Origin, Version: key.Version, Tags: tags,
		CreatedAt: key.CreatedAt, RotatedAt: key.RotatedAt, DeletionDate: key.DeletionDate, NativeRewrap: key.NativeRewrap,
	}
}

func answerKey(message string, key kms.Key) ([]byte, error) {
	return json.Marshal(keyAnswer{true, message, key.ID, metadataOf(key)})
}

// newKeyFields are the fields of a key that is made or imported. Its id may be left out.
func (c *call) newKeyFields(req *kms.CreateKeyRequest) strictjson.Fields {
	name := func(value []byte) error {
		if c.KeyID != "" {
			return errors.New("given with another name of the same field, key_name or key_id")
		}
		return c.keyIDField()(value)
	}
	return strictjson.Fields{
		"key_id":      name,
		"key_name":    name,
		"description": strictjson.Into(&req.Description, strictjson.Text),
		"key_usage": strictjson.Into(&req.Usage, func(value []byte) (kms.KeyUsage, error) {
			text, err := strictjson.Text(value)
			return kms.KeyUsage(text), err
		}),
		"tags": strictjson.Into(&req.Tags, texts),
	}
}

func (c *call) createKey() (job, error) {
	var req kms.CreateKeyRequest
	if err := c.decode(c.newKeyFields(&req)); err != nil {
		return nil, err
	}
	req.KeyID = c.KeyID
	return func(ctx context.Context) ([]byte, error) {
		resp, err := c.service.CreateKey(ctx, &req)
		if err != nil {
			return nil, err
		}
		c.KeyID = resp.Key.ID
		return answerKey("the key is made", resp.Key)
	}, nil
}

func (c *call) importKey() (job, error) {
	var req kms.CreateKeyRequest
	fields := c.newKeyFields(&req)
	fields["material"] = func(value []byte) error {
		material, err := strictjson.Base64(value)
		c.secret = kms.NewSecret(material)
		return err
	}
	if err := c.decode(fields); err != nil {
		return nil, err
	}
	if c.secret.Len() == 0 {
		return nil, missing("material")
	}
	return func(ctx context.Context) ([]byte, error) {
		resp, err := c.service.ImportKey(ctx, &kms.ImportKeyRequest{
			KeyID: c.KeyID, Description: req.Description, Usage: req.Usage, Tags: req.Tags, Material: c.secret,
		})
		if err != nil {
			return nil, err
		}
		c.KeyID = resp.Key.ID
		return answerKey("the key is imported", resp.Key)
	}, nil
}

// listAnswer is one page of keys.
type listAnswer struct {
	Success    bool          `json:"success"`
	Message    string        `json:"message"`
	Keys       []keyMetadata `json:"keys"`
	Truncated  bool          `json:"truncated"`
	NextMarker *string       `json:"next_marker"` // null at the end
	Unreadable []string      `json:"unreadable_key_ids"`
}

func (c *call) listKeys() (job, error) {
	query, err := c.query("limit", "marker", "state")
	if err != nil {
		return nil, err
	}
	req := kms.ListKeysRequest{Marker: query["marker"], State: kms.KeyState(query["state"])}
	if text := query["limit"]; text != "" {
		if req.Limit, err = strconv.Atoi(text); err != nil || req.Limit < 1 {
			return nil, fmt.Errorf("%w: limit: want a whole number from 1", kms.ErrInvalidRequest)
		}
	}
	return func(ctx context.Context) ([]byte, error) {
		resp, err := c.service.ListKeys(ctx, &req)
		if err != nil {
			return nil, err
		}
		answer := listAnswer{Success: true, Message: "a page of keys", Keys: []keyMetadata{}, Truncated: resp.Truncated, Unreadable: some(resp.Damaged)}
		if resp.NextMarker != "" {
			answer.NextMarker = &resp.NextMarker
		}
		for _, key := range resp.Keys {
			answer.Keys = append(answer.Keys, metadataOf(key))
		}
		return json.Marshal(answer)
	}, nil
}

func (c *call) describeKey() (job, error) {
	c.KeyID = c.request.PathValue("key_id")
	if _, err := c.query(); err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]byte, error) {
		resp, err := c.service.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: c.KeyID})
		if err != nil {
			return nil, err
		}
		return answerKey("the key", resp.Key)
	}, nil
}

// deleteKey takes the id from the query where there is no body, since some proxies drop the bodies of DELETE.
func (c *call) deleteKey() (job, error) {
	query, err := c.query("keyId")
	if err != nil {
		return nil, err
	}
	var req kms.DeleteKeyRequest
	if c.KeyID = query["keyId"]; c.KeyID == "" {
		err = c.decodeKey(strictjson.Fields{
			"pending_window_in_days": number(&req.PendingWindowDays, 1000),
			"force_immediate":        strictjson.Into(&req.Immediate, strictjson.Bool),
			"confirm_key_id":         strictjson.Into(&req.ConfirmKeyID, strictjson.Text),
		})
	} else if len(c.body) > 0 {
		err = fmt.Errorf("%w: keyId: given with a body, want one of them", kms.ErrInvalidRequest)
	}
	req.KeyID, c.Force = c.KeyID, req.Immediate
	return func(ctx context.Context) ([]byte, error) {
		resp, err := c.service.DeleteKey(ctx, &req)
		if err != nil {
			return nil, err
		}
		if req.Immediate {
			return answerKey("the key is deleted", resp.Key)
		}
		return answerKey("the key will be deleted", resp.Key)
	}, err
}
