package kms_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

// brokenConfig is a configuration of a backend that fails as it says.
type brokenConfig struct{ validate, open error }

func (c brokenConfig) BackendType() string                       { return "broken" }
func (c brokenConfig) Validate() error                           { return c.validate }
func (c brokenConfig) Open(context.Context) (kms.Backend, error) { return nil, c.open }

// watchedConfig opens a backend that counts how often it is closed.
type watchedConfig struct {
	*mock.Backend
	closed *int
	fail   error
}

func (c watchedConfig) Open(context.Context) (kms.Backend, error) { return c, nil }

func (c watchedConfig) Close() error {
	*c.closed++
	return c.fail
}

func TestOpenRefusesWhatIsInvalid(t *testing.T) {
	good := mock.New()
	tests := []struct {
		name string
		cfg  kms.Config
	}{
		{"no backend", kms.Config{}},
		{"a backend that is invalid", kms.Config{Backend: brokenConfig{validate: fmt.Errorf("%w: x", kms.ErrInvalidConfig)}}},
		{"a former backend that is nil", kms.Config{Backend: good, Former: []kms.BackendConfig{nil}}},
		{"a former backend that is invalid", kms.Config{Backend: good, Former: []kms.BackendConfig{brokenConfig{validate: kms.ErrInvalidConfig}}}},
		{"a negative timeout", kms.Config{Backend: good, Options: kms.Options{Timeout: -1}}},
		{"a cache of negative size", kms.Config{Backend: good, Options: kms.Options{Cache: kms.CacheOptions{MaxKeys: -1}}}},
		{"a cache of negative TTL", kms.Config{Backend: good, Options: kms.Options{Cache: kms.CacheOptions{TTL: -1}}}},
		{"a default key with a control character", kms.Config{Backend: good, Options: kms.Options{DefaultKeyID: "\n"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := kms.Open(t.Context(), tt.cfg)
			require.ErrorIs(t, err, kms.ErrInvalidConfig)
			require.Equal(t, kms.KindConfiguration, kms.KindOf(err))
		})
	}
}

func TestOpenSaysWhatFailed(t *testing.T) {
	_, err := kms.Open(t.Context(), kms.Config{Backend: brokenConfig{open: kms.ErrUnavailable}})
	require.ErrorIs(t, err, kms.ErrUnavailable)
	e, ok := errors.AsType[*kms.Error](err)
	require.True(t, ok)
	require.Equal(t, "Open", e.Op)
}

func TestOpenClosesWhatItOpenedWhenItFails(t *testing.T) {
	var first, former int
	_, err := kms.Open(t.Context(), kms.Config{
		Backend: watchedConfig{mock.New(), &first, nil},
		Former:  []kms.BackendConfig{watchedConfig{mock.New(), &former, nil}, brokenConfig{open: kms.ErrKeyMaterial}},
	})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	require.Equal(t, 1, first)
	require.Equal(t, 1, former)
}

func TestCloseClosesEveryBackendOnceAndSaysWhatFailed(t *testing.T) {
	var first, former int
	failure := errors.New("close failed")
	m, err := kms.Open(t.Context(), kms.Config{
		Backend: watchedConfig{mock.New(), &first, failure},
		Former:  []kms.BackendConfig{watchedConfig{mock.New(), &former, nil}},
	})
	require.NoError(t, err)
	require.ErrorIs(t, m.Close(), failure)
	require.NoError(t, m.Close())
	require.Equal(t, 1, first)
	require.Equal(t, 1, former)
}

// namedConfig opens a backend that does not know its own type.
type namedConfig struct{ *mock.Backend }

func (namedConfig) BackendType() string                       { return "named" }
func (namedConfig) Open(context.Context) (kms.Backend, error) { return bare{mock.New()}, nil }

func TestTheObserverSeesTheTypeThatTheConfigurationSays(t *testing.T) {
	var seen string
	m, err := kms.Open(t.Context(), kms.Config{Backend: namedConfig{mock.New()}, Options: kms.Options{
		Observer: func(_ context.Context, op kms.Operation) { seen = op.Backend },
	}})
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	require.NoError(t, m.HealthCheck(t.Context()))
	require.Equal(t, "named", seen)
}

// openWithFormer returns a Manager over a new backend and a former one that had a key "old", and
// what the former one wrapped.
func openWithFormer(t *testing.T, opts kms.Options) (m *kms.Manager, first, former *mock.Backend, wrapped, plaintext []byte) {
	t.Helper()
	first, former = mock.New(), mock.New()
	createKey(t, former, "old")
	wrapped, plaintext = generate(t, former, "old")
	m, err := kms.Open(t.Context(), kms.Config{Backend: first, Former: []kms.BackendConfig{former}, Options: opts})
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	return m, first, former, wrapped, plaintext
}

func TestWhatAFormerBackendWrappedStaysReadable(t *testing.T) {
	m, first, former, wrapped, plaintext := openWithFormer(t, kms.Options{})
	for range 2 {
		got, err := decrypt(t, m, wrapped)
		require.NoError(t, err)
		require.Equal(t, plaintext, got)
	}
	require.Equal(t, 1, former.Calls("Decrypt"))
	before := first.Calls("CreateKey") + former.Calls("CreateKey")
	_, err := m.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "old"})
	require.ErrorIs(t, err, kms.ErrKeyNotFound, "a former backend makes nothing new")
	require.Equal(t, before, first.Calls("CreateKey")+former.Calls("CreateKey"))
	require.Zero(t, former.Calls("HealthCheck"))
}

func TestAFormerKeyOfTheSameNameIsReadable(t *testing.T) {
	m, _, _, wrapped, plaintext := openWithFormer(t, kms.Options{})
	createKey(t, m, "old")
	got, err := decrypt(t, m, wrapped)
	require.NoError(t, err)
	require.Equal(t, plaintext, got)
}

func TestTheStateOfAFormerKeyCounts(t *testing.T) {
	m, _, former, wrapped, _ := openWithFormer(t, kms.Options{})
	createKey(t, m, "old") // of the same name, and enabled
	_, err := former.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "old"})
	require.NoError(t, err)
	_, err = decrypt(t, m, wrapped)
	require.ErrorIs(t, err, kms.ErrKeyDisabled)
}

func TestWhatNoBackendOpensHasTheErrorOfTheFirst(t *testing.T) {
	m, _, _, wrapped, _ := openWithFormer(t, kms.Options{})
	wrapped[len(wrapped)-1] ^= 1
	_, err := decrypt(t, m, wrapped)
	require.ErrorIs(t, err, kms.ErrKeyNotFound)
}

func TestAnOutageOfTheFirstBackendIsNotHidden(t *testing.T) {
	m, first, former, wrapped, _ := openWithFormer(t, kms.Options{RetryAttempts: -1})
	first.FailNext("Decrypt", unavailable(1))
	_, err := decrypt(t, m, wrapped)
	require.ErrorIs(t, err, kms.ErrUnavailable)
	former.FailNext("Decrypt", unavailable(2))
	_, err = decrypt(t, m, wrapped)
	require.ErrorIs(t, err, kms.ErrUnavailable, "the former backend might have opened it")
}

func TestRewrapMovesADataKeyFromAFormerBackend(t *testing.T) {
	m, _, former, wrapped, plaintext := openWithFormer(t, kms.Options{})
	createKey(t, m, "new")
	to := kms.EncryptionContext{"to": "here"}
	item := kms.RewrapItem{Ciphertext: wrapped, To: to}
	bad := kms.RewrapItem{Ciphertext: wrapped, From: to, To: to}
	resp, err := m.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{KeyID: "new", Items: []kms.RewrapItem{item, bad, {}}})
	require.NoError(t, err)
	require.NoError(t, resp.Items[0].Err)
	require.Equal(t, "new", resp.Items[0].KeyID)
	require.Equal(t, "old", resp.Items[0].SourceKeyID)
	require.Equal(t, uint32(1), resp.Items[0].SourceKeyVersion)
	require.ErrorIs(t, resp.Items[1].Err, kms.ErrKeyNotFound, "the first backend's error, where none opens the item")
	require.Nil(t, resp.Items[1].Ciphertext)
	require.ErrorIs(t, resp.Items[2].Err, kms.ErrInvalidRequest)
	require.NoError(t, former.Close())
	got, err := m.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: resp.Items[0].Ciphertext, Context: to})
	require.NoError(t, err)
	require.Equal(t, plaintext, got.Plaintext.Bytes())
}

func TestRewrapFromAFormerBackendNeedsATarget(t *testing.T) {
	m, _, _, wrapped, _ := openWithFormer(t, kms.Options{})
	resp, err := m.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{Items: []kms.RewrapItem{{Ciphertext: wrapped}}})
	require.NoError(t, err)
	require.ErrorIs(t, resp.Items[0].Err, kms.ErrInvalidRequest)
	resp, err = m.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{KeyID: "missing", Items: []kms.RewrapItem{{Ciphertext: wrapped}}})
	if err == nil {
		err = resp.Items[0].Err
	}
	require.ErrorIs(t, err, kms.ErrKeyNotFound)
}

func TestRewrapIsAuthorizedForEveryItem(t *testing.T) {
	deny := false
	m, _ := newManager(t, kms.Options{Authorize: func(_ context.Context, op, keyID string, ec kms.EncryptionContext) error {
		if deny && op == "RewrapDataKeys" && ec["tenant"] == "b" {
			return errors.New("denied")
		}
		return nil
	}})
	a, b := kms.EncryptionContext{"tenant": "a"}, kms.EncryptionContext{"tenant": "b"}
	ofA, err := m.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k", Context: a})
	require.NoError(t, err)
	ofB, err := m.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k", Context: b})
	require.NoError(t, err)
	deny = true
	resp, err := m.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{KeyID: "k", Items: []kms.RewrapItem{
		{Ciphertext: ofA.Ciphertext, From: a, To: a}, {Ciphertext: ofB.Ciphertext, From: b, To: a}, {Ciphertext: ofA.Ciphertext, From: a, To: b},
	}})
	require.NoError(t, err)
	require.NoError(t, resp.Items[0].Err)
	for _, denied := range resp.Items[1:] {
		require.ErrorIs(t, denied.Err, kms.ErrPermission)
		require.Nil(t, denied.Ciphertext)
	}
}

func TestRewrapOfADisabledSourceIsRefused(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		m, _ := newManager(t, kms.Options{DecryptWithDisabledKeys: allowed})
		createKey(t, m, "target")
		wrapped, _ := generate(t, m, "k")
		require.NoError(t, mutations(m)["DisableKey"](t.Context()))
		resp, err := m.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{KeyID: "target", Items: []kms.RewrapItem{{Ciphertext: wrapped}}})
		require.NoError(t, err)
		if allowed {
			require.NoError(t, resp.Items[0].Err)
			continue
		}
		require.ErrorIs(t, resp.Items[0].Err, kms.ErrKeyDisabled)
	}
}

// forgetful is a rewrapper that answers fewer results than it was asked for.
type forgetful struct{ *mock.Backend }

func (forgetful) RewrapDataKeys(context.Context, *kms.RewrapDataKeysRequest) (*kms.RewrapDataKeysResponse, error) {
	return &kms.RewrapDataKeysResponse{}, nil
}

func TestARewrapWithoutAllResultsIsAnError(t *testing.T) {
	m := kms.NewManager(forgetful{mock.New()}, kms.Options{})
	_, err := m.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{Items: make([]kms.RewrapItem, 2)})
	require.Error(t, err)
}

func TestOptionsThatMeanNothingCountAsZero(t *testing.T) {
	m := kms.NewManager(mock.New(), kms.Options{Timeout: -time.Second, Cache: kms.CacheOptions{MaxKeys: -1, TTL: -1}})
	createKey(t, m, "k")
	wrapped, _ := generate(t, m, "k")
	_, err := decrypt(t, m, wrapped)
	require.NoError(t, err)
	require.Equal(t, 1, m.CacheStats().DataKeys.Entries)
}
