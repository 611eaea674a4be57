package kms_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

func TestAProbeMakesAndOpensADataKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceConfigured)
		s.service.Probe = kms.ProbeOptions{Interval: time.Minute, Jitter: -1, KeyID: "k"}
		require.Zero(t, s.service.Status().Probe)
		require.NoError(t, start(t, s))
		synctest.Wait()
		require.Equal(t, kms.ProbeStatus{At: time.Now()}, s.service.Status().Probe)
		require.Equal(t, 1, s.backend.Calls("GenerateDataKey"))
		require.Equal(t, 1, s.backend.Calls("Decrypt"), "no cache answers")

		pass(10 * time.Minute)
		require.Equal(t, 11, s.backend.Calls("Decrypt"))
		require.NoError(t, stop(t, s))
		pass(10 * time.Minute)
		require.Equal(t, 11, s.backend.Calls("Decrypt"), "it stops with the service")
	})
}

func TestAProbeThatFailsIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceConfigured)
		s.service.Probe = kms.ProbeOptions{Interval: time.Minute, Jitter: -1, KeyID: "k"}
		require.NoError(t, start(t, s))
		synctest.Wait()
		s.backend.FailNext("GenerateDataKey", errDown)
		s.backend.FailNext("GenerateDataKey", nil)
		s.backend.FailNext("Decrypt", errDown)
		pass(time.Minute)
		require.ErrorIs(t, s.service.Status().Probe.Err, errDown)
		require.Equal(t, 1, s.service.Status().Probe.Failures)
		require.Equal(t, kms.ServiceRunning, s.service.Status().State)
		pass(time.Minute)
		require.Equal(t, 2, s.service.Status().Probe.Failures)
		pass(time.Minute)
		require.NoError(t, s.service.Status().Probe.Err)
		require.Zero(t, s.service.Status().Probe.Failures)
	})
}

func TestWhatAProbeTries(t *testing.T) {
	lying := lyingBackend{mock.New()}
	createKey(t, lying, "k")
	empty := emptyBackend{mock.New()}
	createKey(t, empty, "k")
	tests := []struct {
		name  string
		cfg   kms.Config
		probe kms.ProbeOptions
		err   error
	}{
		{"no key: only the health", kms.Config{Backend: mock.New()}, kms.ProbeOptions{}, nil},
		{"a default key that is missing", kms.Config{Backend: mock.New(), Options: kms.Options{DefaultKeyID: "k"}}, kms.ProbeOptions{}, kms.ErrKeyNotFound},
		{"a key that is missing", kms.Config{Backend: mock.New()}, kms.ProbeOptions{KeyID: "k"}, kms.ErrKeyNotFound},
		{"a data key that is none", kms.Config{Backend: empty}, kms.ProbeOptions{KeyID: "k"}, kms.ErrKeyMaterial},
		{"a data key that comes back as another", kms.Config{Backend: lying}, kms.ProbeOptions{KeyID: "k"}, kms.ErrKeyMaterial},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			service := kms.ServiceManager{Probe: tt.probe}
			require.ErrorIs(t, service.ProbeKey(t.Context()), kms.ErrNotConfigured)
			require.NoError(t, service.Reconfigure(t.Context(), tt.cfg))
			defer service.Stop(t.Context())
			require.ErrorIs(t, service.ProbeKey(t.Context()), tt.err)
		})
	}
}

// lyingBackend answers to Decrypt what nobody has encrypted.
type lyingBackend struct{ *mock.Backend }

func (b lyingBackend) Open(context.Context) (kms.Backend, error) { return b, nil }

func (b lyingBackend) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	resp, err := b.Backend.Decrypt(ctx, req)
	if err == nil {
		resp.Plaintext.Bytes()[0] ^= 1
	}
	return resp, err
}

// emptyBackend makes data keys of no bytes, and opens them.
type emptyBackend struct{ *mock.Backend }

func (b emptyBackend) Open(context.Context) (kms.Backend, error) { return b, nil }

func (b emptyBackend) GenerateDataKey(_ context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	return &kms.GenerateDataKeyResponse{KeyID: req.KeyID, KeyVersion: 1, Plaintext: kms.NewSecret(nil), Ciphertext: []byte("x")}, nil
}

func (b emptyBackend) Decrypt(_ context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	return &kms.DecryptResponse{KeyID: req.KeyID, KeyVersion: 1, Plaintext: kms.NewSecret(nil)}, nil
}

func TestAProbeIsBoundedByItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceConfigured)
		s.service.Probe = kms.ProbeOptions{KeyID: "k", Timeout: time.Second}
		require.NoError(t, start(t, s))
		s.backend.Delay("Decrypt", time.Hour)
		began := time.Now()
		require.ErrorIs(t, s.service.ProbeKey(t.Context()), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestStopEndsAWorkerUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceConfigured)
		s.service.Probe = kms.ProbeOptions{Interval: time.Minute, Jitter: -1, KeyID: "k"}
		s.backend.Delay("GenerateDataKey", 20*time.Second)
		require.NoError(t, start(t, s))
		synctest.Wait()
		began := time.Now()
		require.NoError(t, stop(t, s))
		require.Equal(t, began, time.Now(), "its call is cancelled")
		require.Zero(t, s.service.Status().Probe, "that is no failure")
		require.NoError(t, start(t, s))
	})
}

func TestAStopThatGivesUpLeavesNoWorkerForTheNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceConfigured)
		release := make(chan struct{})
		probes := 0
		s.service.Probe = kms.ProbeOptions{Interval: time.Minute, Jitter: -1, KeyID: "k"}
		s.service.Hooks.Authorize = func(ctx context.Context, _, _ string, _ kms.EncryptionContext) error {
			if kms.PrincipalOf(ctx) == kms.PrincipalProbe {
				if probes++; probes == 1 {
					<-release // a hook that does not obey its context
				}
			}
			return nil
		}
		require.NoError(t, start(t, s))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.service.Stop(ctx), context.DeadlineExceeded)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.service.Start(ctx), context.DeadlineExceeded)
		close(release)
		require.NoError(t, start(t, s))
		synctest.Wait()
		require.NoError(t, s.service.Status().Probe.Err)
		require.False(t, s.service.Status().Probe.At.IsZero(), "it probes again")
	})
}

func TestJitterSpreadsTheIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceConfigured)
		var at []time.Time
		s.service.Probe = kms.ProbeOptions{Interval: time.Hour}
		s.service.Hooks.Observer = func(_ context.Context, op kms.Operation) {
			if op.Op == "HealthCheck" {
				at = append(at, time.Now())
			}
		}
		require.NoError(t, start(t, s))
		pass(100 * time.Hour)
		require.NoError(t, stop(t, s))
		waits := make(map[time.Duration]bool)
		for i := 1; i < len(at); i++ {
			wait := at[i].Sub(at[i-1])
			require.GreaterOrEqual(t, wait, time.Hour)
			require.Less(t, wait, time.Hour+6*time.Minute)
			waits[wait] = true
		}
		require.Greater(t, len(waits), 50)
	})
}
