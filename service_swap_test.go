package kms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/mock"
)

// A storm is a ServiceManager that is used by many while its configuration changes.
type storm struct {
	service *kms.ServiceManager
	calls   atomic.Int64
	through chan struct{} // somebody got through while the test waits for it
	failed  chan error
}

func newStorm() *storm {
	return &storm{service: &kms.ServiceManager{}, through: make(chan struct{}), failed: make(chan error, users)}
}

// users is how many goroutines use the service, without a pause.
const users = 4

// roundTrips uses the service until ctx ends.
func (s *storm) roundTrips(ctx context.Context, first []byte) {
	for ctx.Err() == nil {
		made, err := s.service.GenerateDataKey(context.Background(), &kms.GenerateDataKeyRequest{KeyID: "k"})
		if err == nil {
			err = s.decrypts(made.Ciphertext, made.Plaintext.Bytes())
		}
		if err == nil {
			err = s.decrypts(first, nil)
		}
		if err != nil {
			s.failed <- err
			return
		}
		s.calls.Add(3)
		select {
		case s.through <- struct{}{}:
		default:
		}
	}
}

func (s *storm) decrypts(wrapped, want []byte) error {
	opened, err := s.service.Decrypt(context.Background(), &kms.DecryptRequest{Ciphertext: wrapped})
	if err == nil && want != nil && !bytes.Equal(opened.Plaintext.Bytes(), want) {
		return errors.New("another data key was answered")
	}
	return err
}

// run changes the configuration so many times while the service is used, and checks each change.
func (s *storm) run(t *testing.T, changes int, first []byte, change func(i int) (good bool, err error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range users {
		running.Go(func() { s.roundTrips(ctx, first) })
	}
	for i := range changes {
		before := s.service.Status()
		good, err := change(i)
		after := s.service.Status()
		require.Equal(t, kms.ServiceRunning, after.State)
		if good {
			require.NoError(t, err)
			require.NoError(t, after.Err)
			require.Equal(t, before.Generation+1, after.Generation)
		} else {
			require.Error(t, err)
			require.Error(t, after.Err)
			require.Equal(t, before.Generation, after.Generation, "what is bad is not published")
			require.Equal(t, before.Fingerprint, after.Fingerprint)
		}
		select {
		case <-s.through:
		case err := <-s.failed:
			require.NoError(t, err)
		}
	}
	cancel()
	running.Wait()
	require.Empty(t, s.failed)
	require.Greater(t, s.calls.Load(), int64(changes))
	require.NoError(t, s.service.Stop(t.Context()))
	require.Zero(t, s.service.Status().Draining)
}

func storms(t *testing.T) int {
	if testing.Short() {
		return 100
	}
	return 1000
}

func TestNoCallFailsWhileMocksAreReconfigured(t *testing.T) {
	a, b, bad := mock.New(), mock.New(), mock.New()
	createKey(t, a, "k")
	createKey(t, b, "k")
	first, _ := generate(t, a, "k")
	s := newStorm()
	require.NoError(t, s.service.Reconfigure(t.Context(), kms.Config{Backend: a}))
	opened := 1
	on := []*mock.Backend{a, b}
	s.run(t, storms(t), first, func(i int) (bool, error) {
		next, former := on[i/5%2], on[(i/5+1)%2]
		cfg := kms.Config{Backend: next, Former: []kms.BackendConfig{former}, Options: kms.Options{Timeout: time.Hour + time.Duration(i)}}
		switch i % 5 {
		case 0:
			cfg.Backend, cfg.Former = bad, []kms.BackendConfig{a, b}
			bad.FailNext("Open", errDown)
		case 1:
			cfg.Backend, cfg.Former = bad, []kms.BackendConfig{a, b}
			bad.FailNext("HealthCheck", errDown)
		case 2:
			cfg.Backend, cfg.Former = bad, nil // orphans
		case 3:
			cfg.Timeout = -1
		default:
			opened++
			return true, s.service.Reconfigure(t.Context(), cfg)
		}
		return false, s.service.Reconfigure(t.Context(), cfg)
	})
	require.Zero(t, bad.Calls("GenerateDataKey")+bad.Calls("Decrypt"), "what is bad is not published")
	require.Equal(t, a.Calls("Open"), a.Calls("Close"), "nothing stays open")
	require.Equal(t, b.Calls("Open"), b.Calls("Close"), "nothing stays open")
	require.Equal(t, uint64(opened), s.service.Status().Generation)
}

func TestNoCallFailsWhileADirectoryIsReconfigured(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("package local does not work there")
	}
	dir := filepath.Join(t.TempDir(), "keys")
	config := func(fill string, opts kms.Options) kms.Config {
		key := kms.NewSecret(bytes.Repeat([]byte(fill), 32))
		return kms.Config{Backend: local.Config{Dir: dir, RootKey: key, AllowUnlockedMemory: true}, Options: opts}
	}
	s := newStorm()
	require.NoError(t, s.service.Reconfigure(t.Context(), config("r", kms.Options{})))
	createKey(t, s.service, "k")
	first, _ := generate(t, s.service, "k")
	s.run(t, storms(t), first, func(i int) (bool, error) {
		if i%2 == 0 { // another root key: the identity is the same, and Open finds out
			return false, s.service.Reconfigure(t.Context(), config("w", kms.Options{}))
		}
		return true, s.service.Reconfigure(t.Context(), config("r", kms.Options{Timeout: time.Hour + time.Duration(i)}))
	})
}

func TestACallEndsWhereItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceRunning)
		old, err := s.service.Manager()
		require.NoError(t, err)
		s.backend.Delay("GenerateDataKey", 10*time.Second)
		ended := make(chan error)
		go func() { ended <- use(t, s) }()
		synctest.Wait()

		require.NoError(t, reconfigureOtherAndFormer(t, s))
		require.Equal(t, 1, s.service.Status().Draining)
		createKey(t, s.service, "k")
		require.NoError(t, use(t, s), "new calls do not wait for the old Manager")
		require.Equal(t, 1, s.other.Calls("GenerateDataKey"))
		require.NoError(t, old.HealthCheck(t.Context()), "the old one is open while it is used")

		require.NoError(t, <-ended)
		synctest.Wait()
		require.Zero(t, s.service.Status().Draining)
		require.ErrorIs(t, old.HealthCheck(t.Context()), kms.ErrClosed)
		require.Equal(t, 1, s.other.Calls("GenerateDataKey"))
	})
}

func TestStopWaitsForCallsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceRunning)
		s.backend.Delay("GenerateDataKey", 10*time.Second)
		ended := make(chan error, 1)
		go func() { ended <- use(t, s) }()
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.service.Stop(ctx), context.DeadlineExceeded)
		require.Equal(t, kms.ServiceStopped, s.service.Status().State, "nothing new comes in")
		require.ErrorIs(t, use(t, s), kms.ErrNotRunning)
		require.Empty(t, ended)

		require.NoError(t, s.service.Stop(t.Context()))
		require.NoError(t, <-ended)
		require.Equal(t, 1, s.backend.Calls("Close"))
	})
}

func TestACallThatPanicsKeepsNothingOpen(t *testing.T) {
	s := newService(t, kms.ServiceStopped)
	require.NoError(t, s.service.Reconfigure(t.Context(), kms.Config{Backend: s.backend, Options: kms.Options{
		Authorize: func(context.Context, string, string, kms.EncryptionContext) error { panic("hook") },
	}}))
	require.Panics(t, func() { use(t, s) })
	require.NoError(t, s.service.Stop(t.Context()))
}

func TestChangesGoOneAfterAnotherAndObeyTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceConfigured)
		s.backend.Delay("Open", time.Minute)
		started := make(chan error)
		go func() { started <- s.service.Start(context.Background()) }()
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.service.Reconfigure(ctx, kms.Config{Backend: s.backend}), context.DeadlineExceeded)
		require.ErrorIs(t, s.service.Start(ctx), context.DeadlineExceeded)
		require.NoError(t, s.service.Status().Err, "who waits in vain leaves nothing behind")
		require.Equal(t, kms.ServiceConfigured, s.service.Status().State)
		require.NoError(t, <-started)
		require.Equal(t, uint64(1), s.service.Status().Generation)
	})
}

func TestConcurrentChangesAndCalls(t *testing.T) {
	s := newService(t, kms.ServiceRunning)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			switch i % 8 {
			case 0:
				s.service.Stop(t.Context())
			case 1:
				s.service.Start(t.Context())
			case 2:
				s.service.Restart(t.Context())
			case 3:
				s.service.Configure(kms.Config{Backend: s.backend})
			case 4:
				s.service.Status()
				s.service.ClearCache()
				s.service.KeysMade()
				s.service.Capabilities()
			default:
				err := use(t, s)
				if err != nil && !errors.Is(err, kms.ErrNotRunning) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, s.service.Stop(t.Context()))
	require.Equal(t, s.backend.Calls("Open"), s.backend.Calls("Close"))
}

func TestKeysMadeNeverRepeatsOrFalls(t *testing.T) {
	s := newService(t, kms.ServiceConfigured)
	last := s.service.KeysMade()
	rises := func(why string) {
		t.Helper()
		now := s.service.KeysMade()
		require.Greater(t, now, last, why)
		last = now
	}
	require.NoError(t, start(t, s))
	rises("another generation")
	createKey(t, s.service, "made")
	rises("a key was made")
	require.NoError(t, restart(t, s))
	rises("another generation")
	require.NoError(t, stop(t, s))
	rises("none runs")
	require.NoError(t, start(t, s))
	rises("another generation")
}

func ExampleServiceManager() {
	ctx := context.Background()
	var keys kms.ServiceManager // one line in main, given on as &keys
	defer keys.Stop(ctx)

	old := mock.New()
	fmt.Println(keys.HealthCheck(ctx))
	fmt.Println(keys.Reconfigure(ctx, kms.Config{Backend: old}), keys.Status().State, keys.Status().Generation)

	fmt.Println(keys.Reconfigure(ctx, kms.Config{Backend: mock.New()}))
	fmt.Println(keys.Reconfigure(ctx, kms.Config{Backend: mock.New(), Former: []kms.BackendConfig{old}}), keys.Status().Generation)
	// Output:
	// kms: HealthCheck: service is not configured
	// <nil> Running 1
	// kms: Reconfigure: invalid configuration: objects are under another mock backend, which is not among the former ones: they would be unreadable
	// <nil> 2
}
