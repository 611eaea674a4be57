package main

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

func TestTheBackendFromADocument(t *testing.T) {
	material := bytes.Repeat([]byte{7}, 32)
	doc := `{"backend_type":"static","id":"demo","material":"` + base64.StdEncoding.EncodeToString(material) + `","default_key_id":"demo"}`
	cfg, err := decoders().ParseConfig([]byte(doc))
	require.NoError(t, err)
	require.Equal(t, "demo", cfg.Backend.(StaticKey).ID)
	require.Equal(t, material, cfg.Backend.(StaticKey).Material.Bytes())
	require.Equal(t, "demo", cfg.DefaultKeyID)

	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte(doc), 0o600))
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, "", path))
	require.Contains(t, out.String(), `key "demo" wrapped a data key of 32 bytes`)
}

func TestDocumentsThatAreRefused(t *testing.T) {
	for _, fields := range []string{`"id":"demo"`, `"id":"demo","material":"aHVzaA=="`, `"id":"demo","material":7`, `"id":"demo","stuff":1`, `"material":"` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `"`} {
		_, err := decoders().ParseConfig([]byte(`{"backend_type":"static",` + fields + `}`))
		require.ErrorIs(t, err, kms.ErrInvalidConfig)
		require.NotContains(t, err.Error(), "aHVzaA")
	}
	var out strings.Builder
	require.ErrorIs(t, run(t.Context(), &out, "", filepath.Join(t.TempDir(), "none")), kms.ErrInvalidConfig)
}
