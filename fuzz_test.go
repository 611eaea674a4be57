package kms_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

func FuzzValidateKeyID(f *testing.F) {
	for _, id := range []string{"", "k", "a.b_c-d", ".k", "-k", "../k", "k/k", "k\x00", "größe", strings.Repeat("x", 128), strings.Repeat("x", 129)} {
		f.Add(id)
	}
	good := regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\z`)
	f.Fuzz(func(t *testing.T, id string) {
		err := kms.ValidateKeyID(id)
		require.Equal(t, good.MatchString(id), err == nil)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrInvalidRequest)
		}
	})
}

// Whatever a client calls himself and his keys, an operation is one line of the log, and no value of its context is in it.
func FuzzAuditLine(f *testing.F) {
	f.Add("anna", "req-1", "key", "album", "hunter2hunter2")
	f.Add("a\nb", "\x1b[2J", "k\r\n{}", "\xff", "a value\nof two lines")
	f.Add("\u2028", `"}`, "", "", "")
	var out bytes.Buffer
	m := kms.NewManager(mock.New(), kms.Options{Audit: kms.AuditOptions{Sink: kms.AuditTo(slog.New(slog.NewJSONHandler(&out, nil))), Key: auditKey("k")}})
	f.Cleanup(func() { m.Close() })
	f.Fuzz(func(t *testing.T, principal, requestID, keyID, name, value string) {
		out.Reset()
		ctx := kms.WithRequestID(kms.WithPrincipal(t.Context(), principal), requestID)
		_, err := m.Encrypt(ctx, &kms.EncryptRequest{KeyID: keyID, Plaintext: []byte("p"), Context: kms.EncryptionContext{name: value}})
		require.Error(t, err, "there is no key")
		require.NotEqual(t, kms.KindUnknown, kms.KindOf(err))
		text, ended := strings.CutSuffix(out.String(), "\n")
		require.True(t, ended)
		require.NotContains(t, text, "\n")
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &line))
		require.Equal(t, "Encrypt", line["op"])
		if principal != "" {
			require.Equal(t, string([]rune(principal)), line["principal"], "each wrong byte is replaced")
		}
		others := principal + requestID + keyID + name
		if len(value) >= 8 && !strings.Contains(others, value) && !strings.Contains(logged, value) && !isHex(value) {
			require.NotContains(t, text, value)
			require.NotContains(t, err.Error(), value)
		}
	})
}

// logged is what is in a line whatever was asked for, as far as a value could be part of it.
const logged = `{"time":"level":"INFO","msg":"kms: audit","audit_time":"","principal":"","request_id":"","op":"Encrypt","key_id":"","duration":,"attempts":` +
	`,"cache_hit":false,"kind":"Request","error":"kms: Encrypt : invalid request: key not found","context":{"":""}}`

func isHex(text string) bool { return strings.Trim(text, "0123456789abcdef-:.TZ") == "" }
