package kms_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

// A serviceSetting is a ServiceManager in one state, over a mock.
type serviceSetting struct {
	service *kms.ServiceManager
	backend *mock.Backend
	other   *mock.Backend // another one, for candidates
}

// newService returns a ServiceManager that has come to a state.
func newService(t *testing.T, state kms.ServiceState) *serviceSetting {
	t.Helper()
	s := &serviceSetting{&kms.ServiceManager{}, mock.New(), mock.New()}
	t.Cleanup(func() { require.NoError(t, s.service.Stop(context.Background())) })
	createKey(t, s.backend, "k")
	if state != kms.ServiceNotConfigured {
		require.NoError(t, s.service.Configure(kms.Config{Backend: s.backend}))
	}
	switch state {
	case kms.ServiceRunning, kms.ServiceStopped:
		require.NoError(t, s.service.Start(t.Context()))
	case kms.ServiceError:
		s.backend.FailNext("Open", errDown)
		require.ErrorIs(t, s.service.Start(t.Context()), errDown)
	}
	if state == kms.ServiceStopped {
		require.NoError(t, s.service.Stop(t.Context()))
	}
	require.Equal(t, state, s.service.Status().State)
	return s
}

var errDown = errors.New("down")

// The calls that may be made in each state.
func configure(t *testing.T, s *serviceSetting) error {
	return s.service.Configure(kms.Config{Backend: s.backend})
}

func configureNothing(t *testing.T, s *serviceSetting) error {
	return s.service.Configure(kms.Config{})
}

func configureOther(t *testing.T, s *serviceSetting) error {
	return s.service.Configure(kms.Config{Backend: s.other})
}

func configureOtherByForce(t *testing.T, s *serviceSetting) error {
	return s.service.Apply(t.Context(), kms.Change{Config: kms.Config{Backend: s.other}, Hold: true, Force: true})
}

func start(t *testing.T, s *serviceSetting) error { return s.service.Start(t.Context()) }

func startDown(t *testing.T, s *serviceSetting) error {
	s.backend.FailNext("Open", errDown)
	return start(t, s)
}

func startUnhealthy(t *testing.T, s *serviceSetting) error {
	s.backend.FailNext("HealthCheck", errDown)
	return start(t, s)
}

func restart(t *testing.T, s *serviceSetting) error { return s.service.Restart(t.Context()) }

func restartDown(t *testing.T, s *serviceSetting) error {
	s.backend.FailNext("Open", errDown)
	return restart(t, s)
}

func stop(t *testing.T, s *serviceSetting) error { return s.service.Stop(t.Context()) }

func reconfigure(t *testing.T, s *serviceSetting) error {
	return s.service.Reconfigure(t.Context(), kms.Config{Backend: s.backend, Options: kms.Options{Timeout: time.Minute}})
}

func reconfigureDown(t *testing.T, s *serviceSetting) error {
	s.backend.FailNext("Open", errDown)
	return reconfigure(t, s)
}

func reconfigureUnhealthy(t *testing.T, s *serviceSetting) error {
	s.backend.FailNext("HealthCheck", errDown)
	return reconfigure(t, s)
}

func reconfigureOther(t *testing.T, s *serviceSetting) error {
	return s.service.Reconfigure(t.Context(), kms.Config{Backend: s.other})
}

func reconfigureOtherAndFormer(t *testing.T, s *serviceSetting) error {
	return s.service.Reconfigure(t.Context(), kms.Config{Backend: s.other, Former: []kms.BackendConfig{s.backend}})
}

func reconfigureOtherByForce(t *testing.T, s *serviceSetting) error {
	return s.service.Apply(t.Context(), kms.Change{Config: kms.Config{Backend: s.other}, Force: true})
}

func use(t *testing.T, s *serviceSetting) error {
	_, err := s.service.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
	return err
}

func manager(t *testing.T, s *serviceSetting) error {
	_, err := s.service.Manager()
	return err
}

func TestEveryCallInEveryState(t *testing.T) {
	type call struct {
		name string
		do   func(*testing.T, *serviceSetting) error
	}
	type outcome struct {
		state kms.ServiceState
		err   error
	}
	const (
		none       = kms.ServiceNotConfigured
		configured = kms.ServiceConfigured
		running    = kms.ServiceRunning
		stopped    = kms.ServiceStopped
		failed     = kms.ServiceError
	)
	states := []kms.ServiceState{none, configured, running, stopped, failed}
	invalid, request := kms.ErrInvalidConfig, kms.ErrInvalidRequest
	tests := []struct {
		call
		want [5]outcome // from each of the states
	}{
		{call{"Configure", configure},
			[5]outcome{{configured, nil}, {configured, nil}, {running, request}, {configured, nil}, {configured, nil}}},
		{call{"Configure nothing", configureNothing},
			[5]outcome{{none, invalid}, {configured, invalid}, {running, invalid}, {stopped, invalid}, {failed, invalid}}},
		{call{"Configure another backend", configureOther},
			[5]outcome{{configured, nil}, {configured, invalid}, {running, invalid}, {stopped, invalid}, {failed, invalid}}},
		{call{"Configure another backend by force", configureOtherByForce},
			[5]outcome{{configured, nil}, {configured, nil}, {running, request}, {configured, nil}, {configured, nil}}},
		{call{"Start", start},
			[5]outcome{{none, kms.ErrNotConfigured}, {running, nil}, {running, nil}, {running, nil}, {running, nil}}},
		{call{"Start while the backend is down", startDown},
			[5]outcome{{none, kms.ErrNotConfigured}, {failed, errDown}, {running, nil}, {failed, errDown}, {failed, errDown}}},
		{call{"Start while the backend is not healthy", startUnhealthy},
			[5]outcome{{none, kms.ErrNotConfigured}, {failed, errDown}, {running, nil}, {failed, errDown}, {failed, errDown}}},
		{call{"Restart", restart},
			[5]outcome{{none, kms.ErrNotConfigured}, {running, nil}, {running, nil}, {running, nil}, {running, nil}}},
		{call{"Restart while the backend is down", restartDown},
			[5]outcome{{none, kms.ErrNotConfigured}, {failed, errDown}, {running, errDown}, {failed, errDown}, {failed, errDown}}},
		{call{"Stop", stop},
			[5]outcome{{none, nil}, {configured, nil}, {stopped, nil}, {stopped, nil}, {stopped, nil}}},
		{call{"Reconfigure", reconfigure},
			[5]outcome{{running, nil}, {running, nil}, {running, nil}, {running, nil}, {running, nil}}},
		{call{"Reconfigure while the backend is down", reconfigureDown},
			[5]outcome{{none, errDown}, {configured, errDown}, {running, errDown}, {stopped, errDown}, {failed, errDown}}},
		{call{"Reconfigure while the backend is not healthy", reconfigureUnhealthy},
			[5]outcome{{none, errDown}, {configured, errDown}, {running, errDown}, {stopped, errDown}, {failed, errDown}}},
		{call{"Reconfigure to another backend", reconfigureOther},
			[5]outcome{{running, nil}, {configured, invalid}, {running, invalid}, {stopped, invalid}, {failed, invalid}}},
		{call{"Reconfigure to another backend, with the former one", reconfigureOtherAndFormer},
			[5]outcome{{running, nil}, {running, nil}, {running, nil}, {running, nil}, {running, nil}}},
		{call{"Reconfigure to another backend by force", reconfigureOtherByForce},
			[5]outcome{{running, nil}, {running, nil}, {running, nil}, {running, nil}, {running, nil}}},
		{call{"GenerateDataKey", use},
			[5]outcome{{none, kms.ErrNotConfigured}, {configured, kms.ErrNotRunning}, {running, nil}, {stopped, kms.ErrNotRunning}, {failed, kms.ErrNotRunning}}},
		{call{"Manager", manager},
			[5]outcome{{none, kms.ErrNotConfigured}, {configured, kms.ErrNotRunning}, {running, nil}, {stopped, kms.ErrNotRunning}, {failed, kms.ErrNotRunning}}},
	}
	for _, tt := range tests {
		for i, from := range states {
			t.Run(tt.name+" from "+string(from), func(t *testing.T) {
				s := newService(t, from)
				err := tt.do(t, s)
				require.ErrorIs(t, err, tt.want[i].err)
				require.Equal(t, tt.want[i].state, s.service.Status().State)
				if err != nil {
					_, ok := errors.AsType[*kms.Error](err)
					require.True(t, ok, "every error is an *Error")
				}
			})
		}
	}
}
