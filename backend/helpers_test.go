package backend_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/vault"
)

// rootKey is 32 bytes, and key is their base64.
func rootKey() []byte { return bytes.Repeat([]byte{7}, 32) }

func key() string { return base64.StdEncoding.EncodeToString(rootKey()) }

func secretOf(text string) *kms.Secret { return kms.NewSecret([]byte(text)) }

func parse(t *testing.T, doc string) kms.Config {
	t.Helper()
	cfg, err := backend.ParseConfig([]byte(doc))
	require.NoError(t, err)
	return cfg
}

func localOf(t *testing.T, b kms.BackendConfig) local.Config {
	t.Helper()
	require.IsType(t, local.Config{}, b)
	return b.(local.Config)
}

func vaultOf(t *testing.T, b kms.BackendConfig) vault.Config {
	t.Helper()
	require.IsType(t, vault.Config{}, b)
	return b.(vault.Config)
}

// requireInvalid checks that an error is ErrInvalidConfig, says what it should, and shows no secret.
func requireInvalid(t *testing.T, err error, want string) {
	t.Helper()
	require.ErrorIs(t, err, kms.ErrInvalidConfig)
	require.ErrorContains(t, err, want)
	requireNoSecret(t, err.Error())
}

// Every secret in a test document holds this text, or is key().
const hush = "hush-hush"

func requireNoSecret(t *testing.T, text string) {
	t.Helper()
	require.NotContains(t, text, hush)
	require.NotContains(t, text, key())
	require.NotContains(t, text, string(rootKey()))
}

// A staticConfig is the configuration of a backend of somebody else's.
type staticConfig struct{ Name, Material string }

func (staticConfig) BackendType() string                       { return "static" }
func (staticConfig) Validate() error                           { return nil }
func (staticConfig) Open(context.Context) (kms.Backend, error) { return nil, kms.ErrUnsupported }

func withStatic() backend.Decoders {
	decoders := backend.Standard()
	decoders["static"] = func(doc json.RawMessage) (kms.BackendConfig, error) {
		var c staticConfig
		decoder := json.NewDecoder(bytes.NewReader(doc))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&c); err != nil {
			return nil, err
		}
		return c, nil
	}
	return decoders
}
