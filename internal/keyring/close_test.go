package keyring_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// A lockedStore waits, as for the lock of another process, until the context of a call ends.
type lockedStore struct {
	*memStore
	locked bool
}

func (s *lockedStore) wait(ctx context.Context) error {
	if !s.locked {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *lockedStore) Get(ctx context.Context, id string) ([]byte, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.memStore.Get(ctx, id)
}

func (s *lockedStore) List(ctx context.Context, after string, n int) ([]string, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.memStore.List(ctx, after, n)
}

func (s *lockedStore) Mutate(ctx context.Context, id string, change func([]byte, uint64) ([]byte, error)) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.memStore.Mutate(ctx, id, change)
}

func (s *lockedStore) HealthCheck(ctx context.Context) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.memStore.HealthCheck(ctx)
}

func TestCloseEndsCallsThatWaitForTheStore(t *testing.T) {
	for name, call := range ringCalls() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem, _, blob := faultyRing(t)
				ring := openRing(t, &lockedStore{mem, true})
				var answer error
				done := make(chan struct{})
				go func() {
					defer close(done)
					answer = call(t.Context(), ring, blob)
				}()
				synctest.Wait()
				require.NoError(t, ring.Close())
				<-done
				require.ErrorIs(t, answer, kms.ErrClosed)
				require.Equal(t, 1, mem.closed)
			})
		})
	}
}

func TestACallEndedByItsOwnContextIsNotClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, _, blob := faultyRing(t)
		ring := openRing(t, &lockedStore{mem, true})
		for name, call := range ringCalls() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			require.ErrorIs(t, call(ctx, ring, blob), context.DeadlineExceeded, name)
			cancel()
		}
	})
}
