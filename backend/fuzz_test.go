package backend_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend"
	"github.com/objectkms/kms/vault"
)

func seeds() []string {
	return []string{
		`{"backend_type":"local","key_dir":"/k","passphrase":"hush-hush","former":[{"backend_type":"local","key_dir":"/k","master_key":"` + key() + `"}]}`,
		`{"backend_type":"vault","address":"https://v:1","auth_method":{"AppRole":{"role_id":"r","secret_id":"s"}},"skip_tls_verify":true,"timeout_seconds":30}`,
		`{"backend_type":"vault-kv2","engine":"kv2","address":"https://v:1","auth_method":{"token":"t"},"former":[],"file_permissions":"0600"}`,
		` { "a" : [ 1 , {"b":"]}"} , "\"\\" ] , "\u0061b" : -1.5e+3 , "c":null, "d":{},"e":[],"f":"\ud83d\ude00\b\f\n\r\t\/" } `,
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"\ud800":1}`, `{}`, `[]`, `null`, `""`, `{"a":{"a":{"a":{}}}}`,
	}
}

// A character takes up to six times as many bytes in a document that is written as in one that is read: one of more bytes than this may become too long.
const certainlyWritten = 1 << 17

// requireRoundTrip checks that a configuration that came in so many bytes can be written and read again. It reports whether that was not too long.
func requireRoundTrip(t *testing.T, cfg kms.Config, size int) bool {
	t.Helper()
	written, err := backend.MarshalConfig(cfg)
	if err != nil && size > certainlyWritten {
		requireInvalid(t, err, "the document has")
		return false
	}
	require.NoError(t, err)
	again, err := backend.ParseConfig(written.Bytes())
	require.NoError(t, err)
	defer backend.Destroy(again)
	requireSame(t, cfg, again)
	return true
}

// Whatever comes, a document is a configuration that can be written and read again, or ErrInvalidConfig.
func FuzzParseConfig(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		before := bytes.Clone(doc)
		cfg, err := backend.ParseConfig(doc)
		require.Equal(t, before, doc)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrInvalidConfig)
			require.Equal(t, kms.Config{}, cfg)
			return
		}
		require.NoError(t, cfg.Validate())
		if !requireRoundTrip(t, cfg, len(doc)) {
			return
		}
		merged, err := backend.Merge(cfg, []byte(`{}`))
		require.NoError(t, err)
		requireSame(t, cfg, merged)
	})
}

func FuzzMerge(f *testing.F) {
	for _, seed := range append(seeds(), `{"engine":"kv2"}`, `{"passphrase":"x"}`, `{"key_dir":"/other"}`, `{"retry_attempts":9}`) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, patch []byte) {
		for _, running := range []kms.Config{runningLocal(), runningVault(), {}} {
			cfg, err := backend.Merge(running, patch)
			if err != nil {
				require.ErrorIs(t, err, kms.ErrInvalidConfig)
				require.Equal(t, kms.Config{}, cfg)
			} else {
				require.NoError(t, cfg.Validate())
			}
			backend.Destroy(cfg)
			if running.Backend != nil {
				require.NoError(t, running.Validate(), "the secrets that run are still there")
			}
		}
	})
}

// A request says of a document what ParseConfig says of it, and shows no secret of it.
func FuzzConfigureRequest(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed))
	}
	// Passphrases that the request shows whatever the passphrase is.
	f.Add([]byte(`{"backend_type":"local","key_dir":"abcdefghijklmnopqrst","passphrase":"\u0061bcdefghijklmnopqrst"}`))
	f.Add([]byte(`{"backend_type":"local","passphrase":"backend_type\":\"local"}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		want, wantErr := backend.ParseConfig(doc)
		defer backend.Destroy(want)
		var req backend.ConfigureRequest
		if err := req.UnmarshalJSON(doc); err != nil {
			require.ErrorIs(t, err, kms.ErrInvalidConfig)
			require.Error(t, wantErr)
			require.Equal(t, backend.ConfigureRequest{}, req)
			return
		}
		defer req.Destroy()
		shown, err := json.Marshal(req)
		require.NoError(t, err)
		shownOfOthers, err := json.Marshal(withOtherSecrets(req))
		require.NoError(t, err)
		require.Equal(t, string(shownOfOthers), string(shown))
		got, err := req.Config()
		defer backend.Destroy(got)
		if len(doc) > certainlyWritten && wantErr == nil {
			require.True(t, err == nil || errors.Is(err, kms.ErrInvalidConfig), err)
			return
		}
		require.Equal(t, wantErr == nil, err == nil, "got %v, want %v", err, wantErr)
		if err != nil {
			require.ErrorIs(t, err, kms.ErrInvalidConfig)
			return
		}
		requireSame(t, want, got)
	})
}

// withOtherSecrets returns a request that says the same, but for its secrets.
func withOtherSecrets(r backend.ConfigureRequest) backend.ConfigureRequest {
	other := func(s *kms.Secret) *kms.Secret {
		if s == nil {
			return nil
		}
		return secretOf("another secret")
	}
	r.MasterKey, r.Passphrase = other(r.MasterKey), other(r.Passphrase)
	switch auth := r.AuthMethod.(type) {
	case vault.TokenAuth:
		auth.Token = other(auth.Token)
		r.AuthMethod = auth
	case vault.AppRoleAuth:
		auth.SecretID = other(auth.SecretID)
		r.AuthMethod = auth
	}
	r.Former = slices.Clone(r.Former)
	for i := range r.Former {
		r.Former[i] = withOtherSecrets(r.Former[i])
	}
	return r
}

// Whatever the variables hold, they are a configuration that can be written and read again, or none.
func FuzzConfigFromEnv(f *testing.F) {
	for _, lines := range []string{
		"", "BACKEND=local", "BACKEND=local\nLOCAL_KEY_DIR=/k\nLOCAL_PASSPHRASE=hush-hush", "BACKEND=local\nKEY_DIR=/k\nLOCAL_MASTER_KEY=" + key(),
		"BACKEND=vault\nVAULT_ADDRESS=https://v:1\nVAULT_TOKEN=t\nTIMEOUT_SECS=30\nENABLE_CACHE=false\nMAX_CACHED_KEYS=9",
		"BACKEND=vault-kv2\nVAULT_ADDRESS=https://v:1\nVAULT_APPROLE_ROLE_ID=r\nVAULT_APPROLE_SECRET_ID=s\nVAULT_SKIP_TLS_VERIFY=true",
		"BACKEND=vault\nVAULT_ADDRESS=https://v:1\nVAULT_TOKEN=t\nVAULT_CERT_NAME=c", "RETRY_ATTEMPTS=010", "ENABLE_CACHE=yes", "DEFAULT_KEY_ID=\"", "BACKEND=\xff",
	} {
		f.Add(lines)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		setenv(t)
		for line := range strings.Lines(lines) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			if strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ2_") != "" || strings.HasSuffix(name, "_FILE") || strings.Contains(value, "\x00") {
				continue // no variable, or a file to be read
			}
			t.Setenv("KMS_"+name, value)
		}
		cfg, err := backend.ConfigFromEnv()
		if err != nil {
			require.True(t, errors.Is(err, kms.ErrInvalidConfig) || errors.Is(err, kms.ErrNotConfigured), err)
			require.Equal(t, kms.Config{}, cfg)
			return
		}
		defer backend.Destroy(cfg)
		require.NoError(t, cfg.Validate())
		requireRoundTrip(t, cfg, len(lines))
	})
}

// A buffer that was too small holds nothing afterwards.
func TestTheWriterWipesWhatItLeaves(t *testing.T) {
	small := make([]byte, 0, 16)
	out := backend.WriteSecrets(small, []byte("hush-hush"), []byte("hush-hush"))
	require.Equal(t, "{hush-hushhush-hush", string(out))
	require.Equal(t, make([]byte, 16), small[:16])
}
