package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend"
)

// decoders is all that it takes to configure the backend from a document, beside those of the library:
//
//	{"backend_type": "static", "id": "demo", "material": "base64 of 32 bytes", "default_key_id": "demo"}
func decoders() backend.Decoders {
	all := backend.Standard()
	all["static"] = decodeStaticKey
	return all
}

// decodeStaticKey reads the fields that are the backend's own. Its errors do not show the material.
func decodeStaticKey(doc json.RawMessage) (kms.BackendConfig, error) {
	var fields struct {
		ID       string `json:"id"`
		Material string `json:"material"`
	}
	decoder := json.NewDecoder(bytes.NewReader(doc))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&fields); err != nil {
		return nil, fmt.Errorf("%w: %w", kms.ErrInvalidConfig, err)
	}
	material, err := base64.StdEncoding.Strict().DecodeString(fields.Material)
	if err != nil || len(material) != 32 {
		clear(material)
		return nil, fmt.Errorf("%w: material: want base64 of 32 bytes", kms.ErrInvalidConfig)
	}
	return StaticKey{ID: fields.ID, Material: kms.NewSecret(material)}, nil
}
