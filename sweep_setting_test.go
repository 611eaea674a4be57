package kms_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

const day = 24 * time.Hour

// A sweepSetting is a service that sweeps every hour, with a wall clock that can be set and a state that outlives it.
type sweepSetting struct {
	serviceSetting
	mu         sync.Mutex // guards what the workers see
	state      kms.SweepState
	ahead      time.Duration // of the wall clock
	saveErr    error
	loadErr    error
	referenced func(context.Context, kms.Key) (kms.References, error)
	observer   kms.Observer
}

// set changes what the workers see.
func (s *sweepSetting) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *sweepSetting) load(context.Context) (kms.SweepState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.loadErr
}

func (s *sweepSetting) save(_ context.Context, state kms.SweepState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saveErr == nil {
		s.state = state
	}
	return s.saveErr
}

func (s *sweepSetting) highWater() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.HighWater
}

func (s *sweepSetting) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.ahead)
}

func (s *sweepSetting) askReferences(ctx context.Context, key kms.Key) (kms.References, error) {
	s.mu.Lock()
	referenced := s.referenced
	s.mu.Unlock()
	if referenced == nil {
		return kms.References{Complete: true}, nil
	}
	return referenced(ctx, key)
}

func (s *sweepSetting) observe(ctx context.Context, op kms.Operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.observer != nil {
		s.observer(ctx, op)
	}
}

// sweeping runs a test in a bubble with a service that sweeps.
func sweeping(t *testing.T, test func(t *testing.T, s *sweepSetting)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &sweepSetting{serviceSetting: serviceSetting{backend: mock.New()}}
		s.restartProcess(t)
		defer func() { require.NoError(t, s.service.Stop(context.Background())) }()
		test(t, s)
	})
}

// restartProcess starts another service over the same keys and state, as a new process does.
func (s *sweepSetting) restartProcess(t *testing.T) {
	t.Helper()
	if s.service != nil {
		require.NoError(t, s.service.Stop(t.Context()))
	}
	s.service = &kms.ServiceManager{
		Hooks: kms.Hooks{Observer: s.observe},
		Sweep: kms.SweepOptions{Interval: time.Hour, Jitter: -1, Load: s.load, Save: s.save, Referenced: s.askReferences},
	}
	s.service.SetWallClock(s.now)
	require.NoError(t, s.service.Reconfigure(t.Context(), kms.Config{Backend: s.backend}))
	synctest.Wait()
}

// schedule makes a key that may go in seven days.
func (s *sweepSetting) schedule(t *testing.T, id string) {
	t.Helper()
	createKey(t, s.service, id)
	s.delete(t, id)
}

func (s *sweepSetting) delete(t *testing.T, id string) {
	t.Helper()
	_, err := s.service.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, PendingWindowDays: 7})
	require.NoError(t, err)
}

func (s *sweepSetting) cancel(t *testing.T, id string) {
	t.Helper()
	_, err := s.service.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionRequest{KeyID: id})
	require.NoError(t, err)
}

// pass lets time pass, and the sweeps that are due then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// keys returns the ids of all keys.
func (s *sweepSetting) keys(t *testing.T) []string {
	t.Helper()
	list, err := s.backend.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	var ids []string
	for _, key := range list.Keys {
		ids = append(ids, key.ID)
	}
	return ids
}

func (s *sweepSetting) status() kms.SweepStatus { return s.service.Status().Sweep }
