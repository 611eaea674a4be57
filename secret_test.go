package kms_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

const canary = "canary-0123456789-abcdefghijklmn"

// shows lists every way in which text of a value reaches people.
func shows(t *testing.T, v any) string {
	t.Helper()
	var out bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%t", "%10.3s"} {
		fmt.Fprintf(&out, format+"\n", v)
	}
	j, _ := json.Marshal(v)
	out.Write(j)
	x, _ := xml.Marshal(v)
	out.Write(x)
	options := &slog.HandlerOptions{Level: slog.LevelDebug}
	slog.New(slog.NewTextHandler(&out, options)).Info("text", "value", v)
	slog.New(slog.NewJSONHandler(&out, options)).Info("json", "value", v)
	return out.String()
}

func requireHidden(t *testing.T, secret string, v any) {
	t.Helper()
	text := shows(t, v)
	require.NotContains(t, text, secret)
	require.NotContains(t, text, fmt.Sprintf("%x", secret))
	require.NotContains(t, text, fmt.Sprintf("%X", secret))
	require.NotContains(t, text, fmt.Sprint([]byte(secret))[1:])
}

func TestASecretIsNeverShown(t *testing.T) {
	secret := kms.NewSecret([]byte(canary))
	type unexported struct {
		pointer *kms.Secret
		value   kms.Secret
	}
	requireHidden(t, canary, secret)
	requireHidden(t, canary, *secret)
	requireHidden(t, canary, []*kms.Secret{secret})
	requireHidden(t, canary, map[string]*kms.Secret{"secret": secret})
	requireHidden(t, canary, unexported{secret, *secret})
	requireHidden(t, canary, &unexported{secret, *secret})
	requireHidden(t, canary, kms.ImportKeyRequest{KeyID: "k", Material: secret})
	requireHidden(t, canary, &kms.GenerateDataKeyResponse{Plaintext: secret})
	requireHidden(t, canary, kms.DecryptResponse{Plaintext: secret})
	require.Contains(t, shows(t, secret), "[secret]")
	require.Contains(t, shows(t, canary), canary, "the search itself must be able to find it")
}

func TestDestroyWipes(t *testing.T) {
	b := []byte(canary)
	secret := kms.NewSecret(b)
	require.Equal(t, len(canary), secret.Len())
	require.Equal(t, []byte(canary), secret.Bytes())
	secret.Destroy()
	require.Equal(t, make([]byte, len(canary)), b)
	require.Zero(t, secret.Len())
	require.Nil(t, secret.Bytes())
	secret.Destroy()
}

func TestACloneLivesOnItsOwn(t *testing.T) {
	secret := kms.NewSecret([]byte(canary))
	clone := secret.Clone()
	secret.Destroy()
	require.Equal(t, []byte(canary), clone.Bytes())
}

func TestANilSecretIsEmpty(t *testing.T) {
	var secret *kms.Secret
	require.Nil(t, secret.Bytes())
	require.Zero(t, secret.Len())
	require.Nil(t, secret.Clone())
	secret.Destroy()
	var zero kms.Secret
	require.Nil(t, zero.Bytes())
	zero.Destroy()
	require.NotPanics(t, func() { shows(t, secret); shows(t, zero) })
}
