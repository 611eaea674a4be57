package kms_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/mock"
)

func TestAConfigurationIsStoredBeforeItIsPublished(t *testing.T) {
	backend := mock.New()
	var stored []kms.Config
	var service kms.ServiceManager
	service.Persist = func(_ context.Context, cfg kms.Config) error {
		running, err := service.Config()
		require.False(t, err == nil && running.DefaultKeyID == cfg.DefaultKeyID, "not published yet")
		stored = append(stored, cfg)
		return nil
	}
	service.Hooks.Authorize = func(context.Context, string, string, kms.EncryptionContext) error { return nil }
	defer service.Stop(t.Context())
	require.NoError(t, service.Reconfigure(t.Context(), kms.Config{Backend: backend}))
	require.NoError(t, service.Reconfigure(t.Context(), kms.Config{Backend: backend, Options: kms.Options{DefaultKeyID: "k"}}))
	require.Len(t, stored, 2)
	require.Equal(t, "k", stored[1].DefaultKeyID)
	require.Nil(t, stored[1].Authorize, "hooks are no configuration")

	backend.FailNext("HealthCheck", errDown)
	require.ErrorIs(t, service.Reconfigure(t.Context(), kms.Config{Backend: backend}), errDown)
	require.Len(t, stored, 2, "what does not work is not stored")

	require.NoError(t, service.Restart(t.Context()))
	require.NoError(t, service.Stop(t.Context()))
	require.NoError(t, service.Start(t.Context()))
	require.NoError(t, service.Apply(t.Context(), kms.Change{Config: kms.Config{Backend: backend}, Stored: true}))
	require.NoError(t, service.Stop(t.Context()))
	require.NoError(t, service.Configure(kms.Config{Backend: backend}))
	require.Len(t, stored, 2, "what is stored already is not stored again")

	held := kms.Config{Backend: backend, Options: kms.Options{DefaultKeyID: "held"}}
	require.NoError(t, service.Apply(t.Context(), kms.Change{Config: held, Hold: true}))
	require.Len(t, stored, 3)
}

func TestWhatIsNotStoredIsNotPublished(t *testing.T) {
	for _, hold := range []bool{false, true} {
		s := newService(t, kms.ServiceStopped)
		s.service.Persist = func(context.Context, kms.Config) error { return errDown }
		before := s.service.Status()
		err := s.service.Apply(t.Context(), kms.Change{Config: kms.Config{Backend: s.backend, Options: kms.Options{DefaultKeyID: "x"}}, Hold: hold})
		require.ErrorIs(t, err, errDown)
		after := s.service.Status()
		require.ErrorIs(t, after.Err, errDown)
		after.Err = nil
		require.Equal(t, before, after)
		require.Equal(t, s.backend.Calls("Open"), s.backend.Calls("Close"), "the candidate is closed")
	}
}

func TestAConfigurationThatNeverRanOrWasStoredMayBeReplacedByAny(t *testing.T) {
	a, b := mock.New(), mock.New()
	var service kms.ServiceManager
	require.NoError(t, service.Apply(t.Context(), kms.Change{Config: kms.Config{Backend: a}, Hold: true}))
	require.NoError(t, service.Apply(t.Context(), kms.Change{Config: kms.Config{Backend: b}, Hold: true}), "a typing error is mended")
	require.NoError(t, service.Start(t.Context()))
	defer service.Stop(t.Context())
	require.ErrorIs(t, service.Reconfigure(t.Context(), kms.Config{Backend: a}), kms.ErrInvalidConfig)

	// One that is forced and never runs has no objects.
	require.NoError(t, service.Stop(t.Context()))
	require.NoError(t, service.Apply(t.Context(), kms.Change{Config: kms.Config{Backend: a}, Hold: true, Force: true}))
	require.NoError(t, service.Reconfigure(t.Context(), kms.Config{Backend: b}))
}

func TestHooksAreGivenToConfigurationsThatHaveNone(t *testing.T) {
	refuse := func(context.Context, string, string, kms.EncryptionContext) error { return errDown }
	var ops []string
	s := newService(t, kms.ServiceStopped)
	s.service.Hooks = kms.Hooks{
		Authorize: refuse,
		Observer: func(_ context.Context, op kms.Operation) {
			ops = append(ops, op.Op+" "+op.Kind.String()+" "+op.Backend)
		},
	}
	require.ErrorIs(t, use(t, s), kms.ErrNotRunning)
	require.NoError(t, start(t, s), "the health of a candidate is not a matter of authorization")
	require.ErrorIs(t, use(t, s), kms.ErrPermission)
	require.Equal(t, []string{"GenerateDataKey State mock", "Start Unknown mock", "GenerateDataKey Backend mock"}, ops)

	allow := func(context.Context, string, string, kms.EncryptionContext) error { return nil }
	require.NoError(t, s.service.Reconfigure(t.Context(), kms.Config{Backend: s.backend, Options: kms.Options{Authorize: allow}}))
	require.NoError(t, use(t, s), "a configuration's own goes first")
	require.NoError(t, restart(t, s))
	cfg, err := s.service.Config()
	require.NoError(t, err)
	require.Nil(t, cfg.Observer, "the configuration is the one that was given")
}

func TestALoggerOfTheHooksIsWrittenTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		s := newService(t, kms.ServiceStopped)
		s.service.Hooks.Logger = slog.New(slog.NewTextHandler(&out, nil))
		require.NoError(t, start(t, s))
		s.backend.FailNext("GenerateDataKey", kms.ErrUnavailable)
		require.NoError(t, use(t, s))
		require.Contains(t, out.String(), "kms: backend attempt failed")
	})
}

func TestTheConfigurationIsTheOneThatWasGiven(t *testing.T) {
	var service kms.ServiceManager
	_, err := service.Config()
	require.ErrorIs(t, err, kms.ErrNotConfigured)
	require.NoError(t, service.Configure(kms.Config{Backend: mock.New(), Options: kms.Options{DefaultKeyID: "a"}}))
	require.ErrorIs(t, service.Configure(kms.Config{Backend: mock.New(), Options: kms.Options{Timeout: -1}}), kms.ErrInvalidConfig)
	cfg, err := service.Config()
	require.NoError(t, err)
	require.Equal(t, "a", cfg.DefaultKeyID)
}

func TestStatusSaysSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceRunning)
		began := time.Now()
		time.Sleep(time.Hour)
		require.ErrorIs(t, reconfigureDown(t, s), errDown)
		status := s.service.Status()
		require.Equal(t, began, status.Since, "it runs since then")
		require.Equal(t, "mock", status.BackendType)
		require.ErrorIs(t, status.Err, errDown)
		require.NoError(t, restart(t, s))
		require.Equal(t, time.Now(), s.service.Status().Since)
		require.NoError(t, s.service.Status().Err, "the last change did not fail")
	})
}

func TestStatusCountsCachesAndTheConnection(t *testing.T) {
	s := newService(t, kms.ServiceRunning)
	wrapped, _ := generate(t, s.service, "k")
	for range 3 {
		_, err := decrypt(t, s.service, wrapped)
		require.NoError(t, err)
	}
	require.Equal(t, uint64(2), s.service.Status().Cache.DataKeys.Hits)
	s.service.ClearCache()
	require.Zero(t, s.service.Status().Cache.DataKeys.Entries)
	require.Zero(t, s.service.Status().Backend)

	require.NoError(t, s.service.Apply(t.Context(), kms.Change{Config: kms.Config{Backend: countingConfig{mock.New()}}, Force: true}))
	require.Equal(t, kms.BackendStats{Breaker: kms.BreakerOpen, Trips: 7, InFlight: 1}, s.service.Status().Backend)
}

type countingConfig struct{ *mock.Backend }

func (c countingConfig) Open(ctx context.Context) (kms.Backend, error) {
	b, err := c.Backend.Open(ctx)
	return countingBackend{b}, err
}

type countingBackend struct{ kms.Backend }

func (countingBackend) Stats() kms.BackendStats {
	return kms.BackendStats{Breaker: kms.BreakerOpen, Trips: 7, InFlight: 1}
}

func TestFingerprintsTellConfigurationsApart(t *testing.T) {
	at := func(dir string) local.Config {
		return local.Config{Dir: dir, RootKey: kms.NewSecret([]byte(strings.Repeat("r", 32)))}
	}
	base := kms.Config{Backend: at("/keys")}
	other := at("/keys")
	other.RootKey = kms.NewSecret([]byte(strings.Repeat("s", 32)))
	same := map[string]kms.Config{
		"the same":                base,
		"another secret":          {Backend: other},
		"defaults in words":       {Backend: at("/keys"), Options: kms.Options{Timeout: 30 * time.Second, RetryAttempts: 3, Cache: kms.CacheOptions{MaxKeys: 1000, TTL: 5 * time.Minute}}},
		"a logger and observer":   {Backend: at("/keys"), Options: kms.Options{Logger: slog.Default(), Observer: func(context.Context, kms.Operation) {}}},
		"another spelling of dir": {Backend: at("/keys/")},
	}
	for name, cfg := range same {
		require.Equal(t, base.Fingerprint(), cfg.Fingerprint(), name)
	}
	require.Len(t, base.Fingerprint(), 64)

	authorize := func(context.Context, string, string, kms.EncryptionContext) error { return nil }
	seen := map[string]string{base.Fingerprint(): "the base"}
	for name, cfg := range map[string]kms.Config{
		"nothing":              {},
		"another directory":    {Backend: at("/other")},
		"another kind of root": {Backend: local.Config{Dir: "/keys", Passphrase: kms.NewSecret([]byte("p"))}},
		"another setting":      {Backend: local.Config{Dir: "/keys", RootKey: other.RootKey, AllowUnlockedMemory: true}},
		"another type":         {Backend: mock.New()},
		"a former backend":     {Backend: at("/keys"), Former: []kms.BackendConfig{at("/keys")}},
		"two former backends":  {Backend: at("/keys"), Former: []kms.BackendConfig{at("/keys"), at("/other")}},
		"in another order":     {Backend: at("/keys"), Former: []kms.BackendConfig{at("/other"), at("/keys")}},
		"a default key":        {Backend: at("/keys"), Options: kms.Options{DefaultKeyID: "k"}},
		"a timeout":            {Backend: at("/keys"), Options: kms.Options{Timeout: time.Second}},
		"attempts":             {Backend: at("/keys"), Options: kms.Options{RetryAttempts: -1}},
		"no cache":             {Backend: at("/keys"), Options: kms.Options{Cache: kms.CacheOptions{Disabled: true}}},
		"a large cache":        {Backend: at("/keys"), Options: kms.Options{Cache: kms.CacheOptions{MaxKeys: 2000}}},
		"a short cache":        {Backend: at("/keys"), Options: kms.Options{Cache: kms.CacheOptions{TTL: time.Second}}},
		"immediate deletion":   {Backend: at("/keys"), Options: kms.Options{AllowImmediateDeletion: true}},
		"disabled keys":        {Backend: at("/keys"), Options: kms.Options{DecryptWithDisabledKeys: true}},
		"authorization":        {Backend: at("/keys"), Options: kms.Options{Authorize: authorize}},
	} {
		require.Empty(t, seen[cfg.Fingerprint()], name)
		seen[cfg.Fingerprint()] = name
	}
}

func TestStatusHasTheFingerprintOfWhatRuns(t *testing.T) {
	s := newService(t, kms.ServiceNotConfigured)
	require.Empty(t, s.service.Status().Fingerprint)
	require.NoError(t, configure(t, s))
	require.Equal(t, kms.Config{Backend: s.backend}.Fingerprint(), s.service.Status().Fingerprint)
	require.NoError(t, reconfigure(t, s))
	require.NotEqual(t, kms.Config{Backend: s.backend}.Fingerprint(), s.service.Status().Fingerprint)
}

// describedConfig is a mock that says which one it is.
type describedConfig struct {
	*mock.Backend
	identity string
	secrets  []byte // makes the value one that == cannot compare
}

func (c describedConfig) Identity() string            { return c.identity }
func (c describedConfig) Settings() map[string]string { return nil }

func TestBackendsAreToldApartByTheirIdentity(t *testing.T) {
	type uncomparable struct {
		*mock.Backend
		_ []byte
	}
	b := mock.New()
	tests := []struct {
		name     string
		from, to kms.BackendConfig
		same     bool
	}{
		{"one identity", describedConfig{b, "a", nil}, describedConfig{mock.New(), "a", nil}, true},
		{"two identities", describedConfig{b, "a", nil}, describedConfig{b, "b", nil}, false},
		{"an equal value", b, b, true},
		{"another value", b, mock.New(), false},
		{"values that cannot be compared", uncomparable{Backend: b}, uncomparable{Backend: b}, false},
		{"one that does not say", describedConfig{b, "a", nil}, b, false},
		{"another type with the same identity", describedConfig{b, "/keys", nil}, local.Config{Dir: "/keys", Passphrase: kms.NewSecret([]byte("p"))}, false},
		{"another type of backend", b, local.Config{Dir: t.TempDir(), Passphrase: kms.NewSecret([]byte("p"))}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var service kms.ServiceManager
			require.NoError(t, service.Configure(kms.Config{Backend: tt.from}))
			err := service.Configure(kms.Config{Backend: tt.to})
			if tt.same {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, kms.ErrInvalidConfig)
			require.NoError(t, service.Apply(t.Context(), kms.Change{Config: kms.Config{Backend: tt.to}, Hold: true, Force: true}))
		})
	}
}

// A ServiceManager stands where a Manager does, for bucket keys too.
func TestObjectsShareDataKeysThroughAServiceManager(t *testing.T) {
	s := newService(t, kms.ServiceRunning)
	svc := encryption.NewService(s.service, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: time.Hour}})
	write := func(name string) {
		t.Helper()
		body, err := svc.EncryptStream(t.Context(), encryption.ObjectID{Bucket: "b", Key: name},
			&encryption.Request{Mode: encryption.SSEKMS, KeyID: "k", BucketKey: true}, strings.NewReader("x"))
		require.NoError(t, err)
		_, err = body.WriteTo(new(strings.Builder))
		require.NoError(t, err)
	}
	write("one")
	write("two")
	require.Equal(t, 1, s.backend.Calls("GenerateDataKey"))
	require.NoError(t, restart(t, s))
	write("three")
	require.Equal(t, 2, s.backend.Calls("GenerateDataKey"), "another generation may mean another key by the id")
}

func TestWorkersWithImpossibleOptionsKeepTheServiceFromStarting(t *testing.T) {
	tests := map[string]func(*kms.ServiceManager){
		"sweep without state":   func(s *kms.ServiceManager) { s.Sweep.Interval = time.Hour },
		"negative sweep":        func(s *kms.ServiceManager) { s.Sweep.Interval = -1 },
		"rotation without age":  func(s *kms.ServiceManager) { s.Rotation.Interval = time.Hour },
		"negative rotation":     func(s *kms.ServiceManager) { s.Rotation.Interval = -1 },
		"negative rotation age": func(s *kms.ServiceManager) { s.Rotation.RotateAfter = -1 },
		"negative probe":        func(s *kms.ServiceManager) { s.Probe.Interval = -1 },
		"negative timeout":      func(s *kms.ServiceManager) { s.Probe.Timeout = -1 },
	}
	for name, set := range tests {
		t.Run(name, func(t *testing.T) {
			s := newService(t, kms.ServiceConfigured)
			set(s.service)
			require.ErrorIs(t, start(t, s), kms.ErrInvalidConfig)
			require.ErrorIs(t, reconfigure(t, s), kms.ErrInvalidConfig)
			require.ErrorIs(t, s.service.Status().Err, kms.ErrInvalidConfig)
			require.Zero(t, s.backend.Calls("Open"))
		})
	}
}

func TestStatusSaysWhichChangeFailed(t *testing.T) {
	tests := []struct {
		from kms.ServiceState
		fail func(*testing.T, *serviceSetting) error
		op   string
	}{
		{kms.ServiceConfigured, startDown, "Start"},
		{kms.ServiceConfigured, restartDown, "Restart"},
		{kms.ServiceRunning, restartDown, "Restart"},
		{kms.ServiceRunning, reconfigureDown, "Reconfigure"},
		{kms.ServiceStopped, configureNothing, "Configure"},
	}
	for _, tt := range tests {
		t.Run(tt.op+" from "+string(tt.from), func(t *testing.T) {
			s := newService(t, tt.from)
			err := tt.fail(t, s)
			e, ok := errors.AsType[*kms.Error](s.service.Status().Err)
			require.True(t, ok)
			require.Equal(t, tt.op, e.Op)
			require.Equal(t, err.Error(), e.Error(), "it is the error that was returned")
		})
	}
}
