package vault_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

// fakeConfig opens a backend over a fakeVault.
type fakeConfig struct {
	vault.Config
	open func() (*vault.Backend, error)
}

func (c fakeConfig) Validate() error                           { return nil }
func (c fakeConfig) Open(context.Context) (kms.Backend, error) { return c.open() }

func TestTheStatusOfAServiceShowsTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeVault()
		service := &kms.ServiceManager{}
		cfg := fakeConfig{open: func() (*vault.Backend, error) { return f.tryOpen(t, vault.Transit) }}
		require.NoError(t, service.Configure(kms.Config{Backend: cfg}))
		require.NoError(t, service.Start(t.Context()))
		defer func() { require.NoError(t, service.Stop(context.WithoutCancel(t.Context()))) }()
		require.Equal(t, kms.BackendStats{Breaker: kms.BreakerClosed}, service.Status().Backend)

		f.set(func(string, string, []byte) (int, string) { return 503, `{"errors":["Vault is sealed"]}` }, nil)
		for range 10 {
			_, err := service.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
			require.ErrorIs(t, err, kms.ErrUnavailable)
		}
		require.Equal(t, kms.BackendStats{Breaker: kms.BreakerOpen, Trips: 1}, service.Status().Backend)

		f.set(nil, nil)
		require.NoError(t, service.HealthCheck(t.Context()))
		require.Equal(t, kms.BackendStats{Breaker: kms.BreakerClosed, Trips: 1}, service.Status().Backend)
	})
}
