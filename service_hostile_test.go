package kms_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/mock"
)

// sickBackend panics when it is asked for its health.
type sickBackend struct{ *mock.Backend }

func (b sickBackend) Open(ctx context.Context) (kms.Backend, error) {
	_, err := b.Backend.Open(ctx)
	return b, err
}

func (sickBackend) HealthCheck(context.Context) error { panic("health") }

func TestACandidateIsClosedWhereAHookPanics(t *testing.T) {
	tests := []struct {
		name   string
		change func(*serviceSetting) kms.BackendConfig
	}{
		{"while it is stored", func(s *serviceSetting) kms.BackendConfig {
			s.service.Persist = func(context.Context, kms.Config) error { panic("hook") }
			return s.backend
		}},
		{"while its health is checked", func(s *serviceSetting) kms.BackendConfig { return sickBackend{s.backend} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t, kms.ServiceRunning)
			sink := &records{}
			s.service.Hooks.Audit.Sink = sink
			backend := tt.change(s)
			require.Panics(t, func() {
				s.service.Apply(t.Context(), kms.Change{Config: kms.Config{Backend: backend}, Force: true})
			})
			require.Equal(t, 2, s.backend.Calls("Open"))
			require.Equal(t, 1, s.backend.Calls("Close"), "the candidate is closed, and what runs is not")
			require.Equal(t, "Reconfigure", sink.last(t).Op)
			require.Error(t, sink.last(t).Err)
			require.NoError(t, use(t, s))
			require.Equal(t, uint64(1), s.service.Status().Generation)
			require.NoError(t, restart(t, s), "the next change has its turn")
		})
	}
}

func TestAStopWhoseContextHasEndedStopsTheService(t *testing.T) {
	s := newService(t, kms.ServiceRunning)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.service.Stop(ctx); err != nil {
		require.ErrorIs(t, err, context.Canceled, "it may have had nothing to wait for")
	}
	require.Equal(t, kms.ServiceStopped, s.service.Status().State)
	require.ErrorIs(t, use(t, s), kms.ErrNotRunning)
	require.NoError(t, stop(t, s))
	require.Equal(t, 1, s.backend.Calls("Close"))
}

// A sweep may be asked for as soon as the service runs.
func TestTheClocksAreWatchedBeforeTheServiceRuns(t *testing.T) {
	s := newService(t, kms.ServiceConfigured)
	var running []bool
	s.service.SetWallClock(func() time.Time {
		_, err := s.service.Manager()
		running = append(running, err == nil)
		return time.Now()
	})
	require.NoError(t, start(t, s))
	require.NoError(t, restart(t, s))
	require.NoError(t, stop(t, s))
	require.NoError(t, start(t, s))
	require.Equal(t, []bool{false, false}, running)
}

func TestWhatAnAdministratorAskedForIsNotTheWorkersRequest(t *testing.T) {
	probed := make(chan context.Context, 1)
	s := newService(t, kms.ServiceConfigured)
	s.service.Probe.Interval = time.Hour
	s.service.Probe.Jitter = -1
	s.service.Hooks.Observer = func(ctx context.Context, op kms.Operation) {
		if op.Op == "HealthCheck" {
			probed <- ctx
		}
	}
	ctx := kms.WithRequestID(kms.WithPrincipal(t.Context(), "operator"), "req-1")
	require.NoError(t, s.service.Start(ctx))
	got := <-probed
	require.Equal(t, kms.PrincipalProbe, kms.PrincipalOf(got))
	require.Empty(t, kms.RequestIDOf(got))
}

func TestTheLongestIntervalIsNoShortOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceConfigured)
		s.service.Probe = kms.ProbeOptions{Interval: math.MaxInt64, Jitter: time.Hour}
		require.NoError(t, start(t, s))
		pass(10 * day)
		require.Equal(t, 2, s.backend.Calls("HealthCheck"), "of the candidate, and of one probe")
	})
}

func TestAConfigurationThatIsChangedAfterwardsChangesNothing(t *testing.T) {
	s := newService(t, kms.ServiceNotConfigured)
	former := []kms.BackendConfig{s.other}
	require.NoError(t, s.service.Reconfigure(t.Context(), kms.Config{Backend: s.backend, Former: former}))
	want := s.service.Status().Fingerprint
	former[0] = nil
	cfg, err := s.service.Config()
	require.NoError(t, err)
	require.Equal(t, []kms.BackendConfig{s.other}, cfg.Former)
	cfg.Former[0] = nil
	require.Equal(t, want, s.service.Status().Fingerprint)
	require.NoError(t, restart(t, s))
}

// Who changes a configuration in place and gives it again has moved to another backend all the same.
func TestAChangeInPlaceIsAnotherBackend(t *testing.T) {
	cfg := &local.Config{Dir: t.TempDir(), Passphrase: kms.NewSecret([]byte("p"))}
	var service kms.ServiceManager
	require.NoError(t, service.Configure(kms.Config{Backend: cfg}))
	require.NoError(t, service.Configure(kms.Config{Backend: cfg}))
	cfg.Dir = t.TempDir()
	require.ErrorIs(t, service.Configure(kms.Config{Backend: cfg}), kms.ErrInvalidConfig)
}

func TestStopSaysThatABackendDidNotClose(t *testing.T) {
	s := newService(t, kms.ServiceRunning)
	s.backend.FailNext("Close", errDown)
	require.ErrorIs(t, stop(t, s), errDown)
	require.Equal(t, kms.ServiceStopped, s.service.Status().State)
	require.NoError(t, stop(t, s), "it is gone all the same")
}
