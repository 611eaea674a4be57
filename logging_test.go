package kms_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

// loggingConfig opens a backend and says so to its logger.
type loggingConfig struct {
	*mock.Backend
	name   string
	logger *slog.Logger
}

var _ kms.LoggingConfig = loggingConfig{}

func (c loggingConfig) WithLogger(logger *slog.Logger) kms.BackendConfig {
	if logger == nil {
		panic("asked without a logger")
	}
	if c.logger == nil {
		c.logger = logger
	}
	return c
}

func (c loggingConfig) Open(ctx context.Context) (kms.Backend, error) {
	if c.logger != nil {
		c.logger.Warn("unsafe", "name", c.name)
	}
	return c.Backend.Open(ctx)
}

// logTo returns a logger whose lines are in out, without their time.
func logTo(out *strings.Builder) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestConfigurationsAreGivenTheLoggerOfTheOptions(t *testing.T) {
	var own, options strings.Builder
	plain := loggingConfig{mock.New(), "plain", nil}
	silent := loggingConfig{mock.New(), "own", logTo(&own)}
	tests := []struct {
		name         string
		cfg          kms.Config
		options, own string
	}{
		{"the backend", kms.Config{Backend: plain, Options: kms.Options{Logger: logTo(&options)}}, "level=WARN msg=unsafe name=plain\n", ""},
		{"a pointer", kms.Config{Backend: &plain, Options: kms.Options{Logger: logTo(&options)}}, "level=WARN msg=unsafe name=plain\n", ""},
		{"one with its own", kms.Config{Backend: silent, Options: kms.Options{Logger: logTo(&options)}}, "", "level=WARN msg=unsafe name=own\n"},
		{"former ones", kms.Config{
			Backend: mock.New(), Former: []kms.BackendConfig{mock.New(), silent, plain}, Options: kms.Options{Logger: logTo(&options)},
		}, "level=WARN msg=unsafe name=plain\n", "level=WARN msg=unsafe name=own\n"},
		{"options without one", kms.Config{Backend: plain, Former: []kms.BackendConfig{silent}}, "", "level=WARN msg=unsafe name=own\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			own.Reset()
			options.Reset()
			m, err := kms.Open(t.Context(), tt.cfg)
			require.NoError(t, err)
			require.NoError(t, m.Close())
			require.Equal(t, tt.options, options.String())
			require.Equal(t, tt.own, own.String())
			require.Nil(t, plain.logger, "what was handed in stays as it is")
		})
	}
}

// wrappedConfig is a configuration inside of another one, whose methods it has.
type wrappedConfig struct {
	loggingConfig
	opened *int
}

func (c wrappedConfig) Open(ctx context.Context) (kms.Backend, error) {
	*c.opened++
	return c.Backend.Open(ctx)
}

// losingConfig has nothing to answer.
type losingConfig struct{ wrappedConfig }

func (losingConfig) WithLogger(*slog.Logger) kms.BackendConfig { return nil }

func TestAnotherConfigurationThanTheOneThatWasGivenIsNotOpened(t *testing.T) {
	var opened int
	var out strings.Builder
	wrapped := wrappedConfig{loggingConfig{mock.New(), "inside", nil}, &opened}
	for i, cfg := range []kms.BackendConfig{wrapped, &wrapped, losingConfig{wrapped}} {
		m, err := kms.Open(t.Context(), kms.Config{Backend: cfg, Options: kms.Options{Logger: logTo(&out)}})
		require.NoError(t, err)
		require.NoError(t, m.Close())
		require.Equal(t, i+1, opened)
	}
	require.Empty(t, out.String(), "the one inside was not opened")
}

func TestTheLoggerOfTheHooksIsInNoConfigurationThatIsKept(t *testing.T) {
	var out strings.Builder
	var stored []kms.Config
	given := kms.Config{Backend: loggingConfig{mock.New(), "first", nil}, Former: []kms.BackendConfig{loggingConfig{mock.New(), "former", nil}}}
	service := kms.ServiceManager{
		Hooks:   kms.Hooks{Logger: logTo(&out)},
		Persist: func(_ context.Context, cfg kms.Config) error { stored = append(stored, cfg); return nil },
	}
	defer service.Stop(context.WithoutCancel(t.Context()))
	require.NoError(t, service.Reconfigure(t.Context(), given))
	const both = "level=WARN msg=unsafe name=first\nlevel=WARN msg=unsafe name=former\n"
	require.Equal(t, both, out.String())
	require.NoError(t, service.Restart(t.Context()))
	require.Equal(t, both+both, out.String())

	kept, err := service.Config()
	require.NoError(t, err)
	require.Equal(t, given, kept)
	require.Equal(t, []kms.Config{given}, stored)
	require.Equal(t, given.Fingerprint(), service.Status().Fingerprint)
	require.NoError(t, service.Reconfigure(t.Context(), given), "it is the same backend")
}
