// Package outages seals, kills and restarts servers under the feet of those who use them.
package outages

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/internal/sample"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

// outageVariable is how long Vault is down for the tests that only wait, as a duration.
const outageVariable = "E2E_OUTAGE"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(outageVariable)
	if text == "" {
		return 5 * time.Second
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err, outageVariable)
	return d
}

func engines(t *testing.T, run func(t *testing.T, engine vault.Engine)) {
	for name, engine := range map[string]vault.Engine{"Transit": vault.Transit, "KV2": vault.KV2} {
		t.Run(name, func(t *testing.T) { run(t, engine) })
	}
}

func open(t *testing.T, config kms.BackendConfig) *vault.Backend {
	t.Helper()
	b, err := config.Open(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b.(*vault.Backend)
}

// makeKeys makes some master keys with two versions each, and data keys of all versions.
func makeKeys(t *testing.T, b *vault.Backend) (keys []sample.DataKey) {
	t.Helper()
	for i := range 5 {
		id := fmt.Sprint("key-", i)
		_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id, Description: "before the outage"})
		require.NoError(t, err)
		for range 2 {
			key, err := sample.New(t.Context(), b, id, kms.EncryptionContext{"n": fmt.Sprint(i)})
			require.NoError(t, err)
			keys = append(keys, key)
			_, err = b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: id})
			require.NoError(t, err)
		}
	}
	return keys
}

// requireWhole checks that no key was lost: all data keys open, and every master key can do everything.
func requireWhole(t *testing.T, b *vault.Backend, keys []sample.DataKey) {
	t.Helper()
	for _, key := range keys {
		require.NoError(t, key.Open(t.Context(), b))
	}
	list, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	require.Empty(t, list.Damaged)
	require.Len(t, list.Keys, 5)
	for _, key := range list.Keys {
		require.EqualValues(t, 3, key.Version)
		require.Equal(t, "before the outage", key.Description)
		made, err := sample.New(t.Context(), b, key.ID, nil)
		require.NoError(t, err)
		require.NoError(t, made.Open(t.Context(), b))
	}
}

// requireUnavailable checks that everything that needs the server says so, and that nothing looks like a lost key.
func requireUnavailable(t *testing.T, b *vault.Backend) {
	t.Helper()
	for range 10 { // the breaker opens meanwhile
		require.ErrorIs(t, b.HealthCheck(t.Context()), kms.ErrUnavailable)
		_, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "unknown"})
		require.ErrorIs(t, err, kms.ErrUnavailable)
		_, err = b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "new"})
		require.ErrorIs(t, err, kms.ErrUnavailable)
		_, err = b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "key-0"})
		require.ErrorIs(t, err, kms.ErrUnavailable)
		_, err = b.ListKeys(t.Context(), &kms.ListKeysRequest{})
		require.ErrorIs(t, err, kms.ErrUnavailable)
	}
}

// requireRecovery checks that the backend works again by itself, and returns after how long.
func requireRecovery(t *testing.T, b *vault.Backend) {
	t.Helper()
	start := time.Now()
	require.Eventually(t, func() bool { return b.HealthCheck(t.Context()) == nil }, 20*time.Second, 5*time.Millisecond)
	t.Logf("healthy %v after the server was", time.Since(start).Round(time.Millisecond))
}

func TestSealedAndUnsealedAgain(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		s := testenv.StartServer(t, testenv.ServerOptions{})
		b := open(t, s.Mounts(t).Config(engine))
		keys := makeKeys(t, b)
		for range 2 {
			s.Seal(t)
			requireUnavailable(t, b)
			s.Unseal(t)
			requireRecovery(t, b)
			requireWhole(t, b, keys)
		}
	})
}

func TestOpenOfASealedServer(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		s := testenv.StartServer(t, testenv.ServerOptions{})
		config := s.Mounts(t).Config(engine)
		s.Seal(t)
		_, err := config.Open(t.Context())
		require.ErrorIs(t, err, kms.ErrUnavailable)
		s.Kill()
		_, err = config.Open(t.Context())
		require.ErrorIs(t, err, kms.ErrUnavailable)
	})
}

func TestKilledAndRestarted(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		s := testenv.StartServer(t, testenv.ServerOptions{Storage: testenv.File})
		config := s.Mounts(t).Config(engine)
		b := open(t, config)
		keys := makeKeys(t, b)
		for range 2 {
			s.Kill()
			requireUnavailable(t, b)
			s.Start(t)
			requireUnavailable(t, b) // it is sealed
			s.Unseal(t)
			requireRecovery(t, b)
			requireWhole(t, b, keys)
			requireWhole(t, open(t, config), keys)
		}
	})
}

// A Backend that is closed leaves nothing behind, also when it is closed while its server is down.
func TestNoGoroutineIsLeft(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		s := testenv.StartServer(t, testenv.ServerOptions{})
		m := s.Mounts(t)
		before := goleak.IgnoreCurrent()
		for _, down := range []bool{false, true} {
			b, err := m.Config(engine).Open(t.Context())
			require.NoError(t, err)
			_, err = b.CreateKey(t.Context(), &kms.CreateKeyRequest{})
			require.NoError(t, err)
			if down {
				s.Seal(t)
				require.Error(t, b.HealthCheck(t.Context()))
			}
			require.NoError(t, b.Close())
			require.ErrorIs(t, b.HealthCheck(t.Context()), kms.ErrClosed)
			goleak.VerifyNone(t, before)
		}
	})
}
