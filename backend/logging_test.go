package backend_test

import (
	"bytes"
	"io"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/vault"
)

// Nobody listens where these documents lead to: the warning comes before the first request.
func TestSettingsThatAreUnsafeAreLogged(t *testing.T) {
	tests := map[string]struct{ fields, want string }{
		"certificates are not checked": {`"address":"https://127.0.0.1:1","skip_tls_verify":true`, "level=WARN msg=\"vault: certificates are not checked"},
		"plain HTTP":                   {`"address":"http://vault.invalid","allow_insecure":true`, "level=WARN msg=\"vault: tokens and data keys cross the network in clear"},
		"neither":                      {`"address":"https://127.0.0.1:1"`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, nil))
			cfg := parse(t, `{"backend_type":"vault","auth_method":{"Token":{"token":"`+hush+`"}},"retry_attempts":1,`+tt.fields+`}`)
			var service kms.ServiceManager
			service.Hooks.Logger = logger
			require.NoError(t, service.Configure(cfg))
			require.ErrorIs(t, service.Start(t.Context()), kms.ErrUnavailable)
			requireLogged(t, tt.want, &log)
			kept, err := service.Config()
			require.NoError(t, err)
			require.Equal(t, cfg, kept)
			require.Nil(t, vaultOf(t, kept.Backend).Logger)

			cfg.Logger = logger
			_, err = kms.Open(t.Context(), cfg)
			require.ErrorIs(t, err, kms.ErrUnavailable)
			requireLogged(t, tt.want, &log)

			cfg.Logger = nil
			_, err = kms.Open(t.Context(), cfg)
			require.ErrorIs(t, err, kms.ErrUnavailable)
			require.Empty(t, log.String())
		})
	}
}

func TestALoggerOfItsOwnStays(t *testing.T) {
	own, other := slog.New(slog.DiscardHandler), slog.New(slog.NewTextHandler(io.Discard, nil))
	for _, c := range []kms.LoggingConfig{local.Config{Logger: own}, vault.Config{Logger: own}} {
		require.Equal(t, c, c.WithLogger(other))
		require.Equal(t, c, c.WithLogger(nil))
	}
	require.Same(t, other, localOf(t, local.Config{}.WithLogger(other)).Logger)
	require.Same(t, other, vaultOf(t, vault.Config{}.WithLogger(other)).Logger)
}

// requireLogged checks what was logged, without a secret, and empties the log.
func requireLogged(t *testing.T, want string, log *bytes.Buffer) {
	t.Helper()
	if want == "" {
		require.Empty(t, log.String())
	}
	require.Contains(t, log.String(), want)
	requireNoSecret(t, log.String())
	log.Reset()
}
