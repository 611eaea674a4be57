package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
)

// dataKeyAnswer is a data key, but for its plaintext.
type dataKeyAnswer struct {
	Success    bool   `json:"success"`
	Message    string `json:"message"`
	KeyID      string `json:"key_id"`
	KeyVersion uint32 `json:"key_version"`
	Ciphertext []byte `json:"ciphertext_blob"`
}

func (c *call) generateDataKey() (job, error) {
	var req kms.GenerateDataKeyRequest
	err := c.decode(strictjson.Fields{
		"key_id": c.keyIDField(),
		"key_spec": strictjson.Into(&req.Spec, func(value []byte) (kms.KeySpec, error) {
			text, err := strictjson.Text(value)
			return kms.KeySpec(text), err
		}),
		"encryption_context": strictjson.Into(&req.Context, encryptionContext),
		"without_plaintext":  strictjson.Into(&req.WithoutPlaintext, strictjson.Bool),
	})
	req.KeyID = c.KeyID
	return func(ctx context.Context) ([]byte, error) {
		if !req.WithoutPlaintext && !c.opts.PlaintextDataKeys {
			return nil, fmt.Errorf("%w: data keys are not answered in the clear here, ask for one with without_plaintext", kms.ErrPermission)
		}
		resp, err := c.service.GenerateDataKey(ctx, &req)
		if err != nil {
			return nil, err
		}
		defer resp.Plaintext.Destroy()
		c.KeyID = resp.KeyID
		answer, err := json.Marshal(dataKeyAnswer{true, "a data key", resp.KeyID, resp.KeyVersion, resp.Ciphertext})
		if err != nil || resp.Plaintext == nil {
			return answer, err
		}
		return withPlaintext(answer, resp.Plaintext), nil
	}, err
}

// withPlaintext adds the plaintext to an answer. It makes no copy but the one that is sent and wiped.
func withPlaintext(answer []byte, plaintext *kms.Secret) []byte {
	const name, end = `,"plaintext_key":"`, `"}`
	size := base64.StdEncoding.EncodedLen(plaintext.Len())
	full := slices.Grow(answer[:len(answer)-1], len(name)+size+len(end))
	full = append(full, name...)
	base64.StdEncoding.Encode(full[len(full):len(full)+size], plaintext.Bytes())
	return append(full[:len(full)+size], end...)
}

// rewrapAnswer has one result for each item, in the request's order.
type rewrapAnswer struct {
	Success bool           `json:"success"` // of the call; each item has an outcome of its own
	Message string         `json:"message"`
	Items   []rewrapResult `json:"items"`
}

type rewrapResult struct {
	Ciphertext       []byte     `json:"ciphertext_blob,omitempty"`
	KeyID            string     `json:"key_id,omitempty"`
	KeyVersion       uint32     `json:"key_version,omitempty"`
	SourceKeyID      string     `json:"source_key_id,omitempty"`
	SourceKeyVersion uint32     `json:"source_key_version,omitempty"`
	Current          bool       `json:"current"`
	Error            *errorBody `json:"error,omitempty"`
}

func (c *call) rewrapDataKeys() (job, error) {
	var req kms.RewrapDataKeysRequest
	err := c.decode(strictjson.Fields{"key_id": c.keyIDField(), "items": strictjson.Into(&req.Items, list(rewrapItem))})
	if err == nil && len(req.Items) == 0 {
		err = missing("items")
	}
	req.KeyID = c.KeyID
	return func(ctx context.Context) ([]byte, error) {
		resp, err := c.service.RewrapDataKeys(ctx, &req)
		if err != nil {
			return nil, err
		}
		answer := rewrapAnswer{Success: true, Message: "each item has an outcome of its own", Items: []rewrapResult{}}
		for _, item := range resp.Items {
			answer.Items = append(answer.Items, rewrapResult{
				item.Ciphertext, item.KeyID, item.KeyVersion, item.SourceKeyID, item.SourceKeyVersion, item.Current, errorOf(item.Err),
			})
		}
		return json.Marshal(answer)
	}, err
}

// rewrapItem reads one item. It keeps its context unless it is given a new one.
func rewrapItem(value []byte) (kms.RewrapItem, error) {
	var item kms.RewrapItem
	var to *kms.EncryptionContext
	err := strictjson.Fields{
		"ciphertext_blob":    strictjson.Into(&item.Ciphertext, strictjson.Base64),
		"encryption_context": strictjson.Into(&item.From, encryptionContext),
		"new_encryption_context": func(value []byte) error {
			ec, err := encryptionContext(value)
			to = &ec
			return err
		},
	}.Decode(value)
	item.To = item.From
	if to != nil {
		item.To = *to
	}
	return item, err
}
