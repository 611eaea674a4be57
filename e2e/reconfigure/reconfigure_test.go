// Package reconfigure moves a service, and its keys, between a key directory and a real Vault.
package reconfigure

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/internal/sample"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// users is how many goroutines use the service, without a pause.
const users = 4

func TestAThousandMovesBetweenADirectoryAndVaultFailNoCall(t *testing.T) {
	mounts := testenv.NewMounts(t)
	directory := testenv.Local(t).Backend
	transit, kv2 := mounts.Config(vault.Transit), mounts.Fresh(t).Config(vault.KV2)
	backends := []kms.BackendConfig{directory, transit, kv2}
	for _, config := range backends {
		b, err := config.Open(t.Context())
		require.NoError(t, err)
		_, err = b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
		require.NoError(t, err)
		require.NoError(t, b.Close())
	}
	refused := transit
	refused.Auth = vault.TokenAuth{Token: kms.NewSecret([]byte("of-nobody"))}

	service := &kms.ServiceManager{}
	require.NoError(t, service.Reconfigure(t.Context(), on(backends, 0)))
	ctx, cancel := context.WithCancel(t.Context())
	var calls atomic.Int64
	var running sync.WaitGroup
	failed := make(chan error, users)
	for range users {
		running.Go(func() {
			if err := use(ctx, service, &calls); err != nil {
				failed <- err
			}
		})
	}
	const changes = 1000
	for i := range changes {
		before := service.Status()
		if i%4 == 3 {
			candidate := on(backends, 0)
			candidate.Backend, candidate.Former = refused, backends
			require.ErrorIs(t, service.Reconfigure(t.Context(), candidate), kms.ErrPermission)
			after := service.Status()
			require.Equal(t, before.Generation, after.Generation, "a bad candidate is never published")
			require.Equal(t, before.BackendType, after.BackendType)
			continue
		}
		require.NoError(t, service.Reconfigure(t.Context(), on(backends, i%len(backends))))
		require.Equal(t, before.Generation+1, service.Status().Generation)
	}
	cancel()
	running.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
	require.NoError(t, service.Stop(t.Context()))
	require.Zero(t, service.Status().Draining)
	t.Logf("%d changes, %d calls, none failed", changes, calls.Load())
}

// on returns the configuration that works on one of the backends, and reads what the others wrapped.
func on(backends []kms.BackendConfig, i int) kms.Config {
	cfg := kms.Config{Backend: backends[i], Options: kms.Options{DefaultKeyID: "k"}}
	for j, other := range backends {
		if j != i {
			cfg.Former = append(cfg.Former, other)
		}
	}
	return cfg
}

// use wraps and opens data keys until ctx ends: each also once more later, when another backend may serve.
func use(ctx context.Context, service *kms.ServiceManager, calls *atomic.Int64) error {
	var earlier *sample.DataKey
	for ctx.Err() == nil {
		// The calls themselves are not cut off: none may fail.
		made, err := sample.New(context.Background(), service, "k", nil)
		if err != nil {
			return err
		}
		if err := made.Open(context.Background(), service); err != nil {
			return err
		}
		calls.Add(2)
		if earlier != nil {
			if err := earlier.Open(context.Background(), service); err != nil {
				return err
			}
			calls.Add(1)
		}
		earlier = &made
	}
	return nil
}
