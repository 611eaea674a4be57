package vault_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/jumpclock"
	"github.com/objectkms/kms/internal/jumpmatrix"
	"github.com/objectkms/kms/vault"
)

var (
	engines = map[string]vault.Engine{"Transit": vault.Transit, "KV2": vault.KV2}
	jumps   = []time.Duration{60 * 24 * time.Hour, -3650 * 24 * time.Hour}
)

// The server has its own clock, which does not jump.
func TestJumpsOfTheClock(t *testing.T) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			jumpmatrix.Run(t, func(t *testing.T) kms.BackendConfig {
				f := newFakeVault()
				return fakeConfig{open: func() (*vault.Backend, error) { return f.tryOpen(t, engine) }}
			})
		})
	}
}

func TestJumpsDoNotShortenAWindow(t *testing.T) {
	for name, engine := range engines {
		for _, jump := range jumps {
			t.Run(name+" "+jump.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					jumpclock.Set(0)
					defer jumpclock.Set(0)
					b := newFakeVault().open(t, engine)
					createKey(t, b, "k")
					jumpclock.Set(jump)
					resp, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", PendingWindowDays: 7})
					require.NoError(t, err)
					require.Equal(t, max(jump, 0)+7*24*time.Hour, time.Until(resp.Key.DeletionDate).Round(time.Hour))
				})
			})
		}
	}
}

// What another process does is seen after the documented time, also where the clock has been set back.
func TestJumpsDoNotKeepWhatIsRemembered(t *testing.T) {
	for _, jump := range jumps {
		t.Run(jump.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				jumpclock.Set(0)
				defer jumpclock.Set(0)
				f := newFakeVault()
				b, other := f.open(t, vault.KV2), f.open(t, vault.KV2)
				createKey(t, b, "k")
				encrypt(t, b, "k", nil)
				jumpclock.Set(jump)
				_, err := other.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
				require.NoError(t, err)
				time.Sleep(time.Minute)
				_, err = b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "k", Plaintext: []byte("x")})
				require.ErrorIs(t, err, kms.ErrKeyDisabled)
			})
		})
	}
}
