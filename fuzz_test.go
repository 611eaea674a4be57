package kms_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

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

// Whatever a client calls himself and his keys, an operation is one line of the log, and it is the same whatever the value of its context is, but for the HMAC.
func FuzzAuditLine(f *testing.F) {
	f.Add("anna", "req-1", "key", "album", "hunter2hunter2")
	f.Add("a\nb", "\x1b[2J", "k\r\n{}", "\xff", "a value\nof two lines")
	f.Add("\u2028", `"}`, "", "", "")
	// Values that the line has whatever the value is.
	f.Add("anna", "req-1", "key", "album", `anna","request_id":"req-1`)
	f.Add("\x00\x00", "", "key", "album", `u0000\u00`)
	f.Add("", "", "key", "album", `"attempts":1`)
	f.Add("", "", "key", "album", strings.Repeat("v", 9000))
	f.Add("", "", "key", "album", "\xff\xff\xff\xff\xff\xff\xff\xff\x00")
	var out bytes.Buffer
	audit := kms.AuditOptions{Sink: kms.AuditTo(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: withoutTimes}))), Key: auditKey("k")}
	m := kms.NewManager(mock.New(), kms.Options{Audit: audit})
	f.Cleanup(func() { m.Close() })
	f.Fuzz(func(t *testing.T, principal, requestID, keyID, name, value string) {
		ctx := kms.WithRequestID(kms.WithPrincipal(t.Context(), principal), requestID)
		// log returns the line of an operation up to the HMAC, which ends it.
		log := func(value string) (string, error) {
			out.Reset()
			ec := kms.EncryptionContext{name: value}
			_, err := m.Encrypt(ctx, &kms.EncryptRequest{KeyID: keyID, Plaintext: []byte("p"), Context: ec})
			require.Error(t, err, "there is no key")
			require.NotEqual(t, kms.KindUnknown, kms.KindOf(err))
			end := `:"` + audit.HashContext(ec)[name] + `"}}` + "\n"
			text, ended := strings.CutSuffix(out.String(), end)
			require.True(t, ended)
			require.NotContains(t, text, "\n")
			var line map[string]any
			require.NoError(t, json.Unmarshal([]byte(text+end), &line))
			require.Equal(t, "Encrypt", line["op"])
			if principal != "" {
				require.Equal(t, string([]rune(principal)), line["principal"], "each wrong byte is replaced")
			}
			return text, err
		}
		text, err := log(value)
		other, otherErr := log(another(value))
		require.Equal(t, other, text)
		require.EqualError(t, err, otherErr.Error())
	})
}

// withoutTimes leaves out what is never the same.
func withoutTimes(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == "audit_time" || a.Key == "duration") {
		return slog.Attr{}
	}
	return a
}

// another returns another text of the same length that is UTF-8 only if the given one is.
func another(text string) string {
	fill := "x"
	if !utf8.ValidString(text) {
		fill = "\xfe"
	}
	return strings.Repeat(fill, len(text))
}
