package nodes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/internal/sample"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

const (
	churnWorkers = 4  // in each node
	churnRounds  = 30 // of each worker
)

// counts are what one node, or all of them, did to one key, and what they wrapped with it.
type counts struct {
	Rotated int
	Keys    []sample.DataKey
}

// churn rotates, disables, enables, schedules for deletion, takes back and uses one key from several goroutines.
func churn(ctx context.Context, b *vault.Backend, keyID string) (counts, error) {
	var (
		mu    sync.Mutex
		total counts
		errs  []error
		all   sync.WaitGroup
	)
	for range churnWorkers {
		all.Go(func() {
			for range churnRounds {
				one, err := churnOnce(ctx, b, keyID)
				mu.Lock()
				total.Rotated += one.Rotated
				total.Keys = append(total.Keys, one.Keys...)
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return total, errors.Join(errs...)
}

// churnOnce does one thing to the key. What the key's state does not allow is no error.
func churnOnce(ctx context.Context, b *vault.Backend, keyID string) (done counts, err error) {
	switch rand.IntN(8) {
	case 0, 1:
		if _, err = b.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: keyID}); err == nil {
			done.Rotated = 1
		}
	case 2:
		_, disableErr := b.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: keyID})
		_, err = b.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: keyID})
		err = cmp.Or(unlessRefused(disableErr), err)
	case 3:
		_, scheduleErr := b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: keyID})
		_, cancelErr := b.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: keyID})
		_, err = b.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: keyID})
		err = cmp.Or(unlessRefused(scheduleErr), unlessRefused(cancelErr), err)
	default:
		var key sample.DataKey
		if key, err = sample.New(ctx, b, keyID, nil); err == nil {
			done.Keys = append(done.Keys, key)
			err = key.Open(ctx, b)
		}
	}
	return done, unlessRefused(err)
}

// unlessRefused drops the error of what the key's state did not allow.
func unlessRefused(err error) error {
	for _, refused := range []error{kms.ErrKeyDisabled, kms.ErrKeyPendingDeletion, kms.ErrInvalidRequest} {
		if errors.Is(err, refused) {
			return nil
		}
	}
	return err
}

// Two backends here and a third in another process change the same keys at the same time. Every rotation that was answered with success is there
// afterwards, and everything that was wrapped meanwhile opens.
func TestNodesThatChangeTheSameKeyLoseNoVersion(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		m := testenv.NewMounts(t)
		one, two, three := open(t, m.Config(engine)), open(t, m.Config(engine)), startNode(t, m, engine)
		for i := range 2 {
			id := fmt.Sprint("key-", i)
			_, err := one.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
			require.NoError(t, err)
			total := churnTogether(t, id,
				func() (counts, error) { return churn(t.Context(), one, id) },
				func() (counts, error) { return churn(t.Context(), two, id) },
				func() (counts, error) {
					a, err := three.do(order{Do: "churn", KeyID: id})
					return a.Counts, err
				})
			last := open(t, m.Config(engine))
			described, err := last.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: id})
			require.NoError(t, err)
			require.EqualValues(t, 1+total.Rotated, described.Key.Version, "rotations were lost, or made twice")
			require.NotZero(t, total.Rotated)
			require.NotEmpty(t, total.Keys)
			for _, key := range total.Keys {
				require.NoError(t, key.Open(t.Context(), last))
			}
			t.Logf("%d rotations, %d data keys", total.Rotated, len(total.Keys))
		}
	})
}

func churnTogether(t *testing.T, id string, nodes ...func() (counts, error)) (total counts) {
	t.Helper()
	var (
		mu  sync.Mutex
		all sync.WaitGroup
	)
	for _, node := range nodes {
		all.Go(func() {
			done, err := node()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("%s: %v", id, err)
			}
			total.Rotated += done.Rotated
			total.Keys = append(total.Keys, done.Keys...)
		})
	}
	all.Wait()
	return total
}

// Two backends create and delete the same key at once. Of all who create it one wins each time, and what is left is what the answers say.
func TestNodesThatCreateAndDeleteTheSameKeyAgree(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		m := testenv.NewMounts(t)
		var all sync.WaitGroup
		var mu sync.Mutex
		made := 0
		for _, b := range []*vault.Backend{open(t, m.Config(engine)), open(t, m.Config(engine))} {
			for range churnWorkers {
				all.Go(func() {
					for range churnRounds {
						n, err := createOrDelete(t.Context(), b, "key")
						mu.Lock()
						made += n
						mu.Unlock()
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		all.Wait()
		list, err := open(t, m.Config(engine)).ListKeys(t.Context(), &kms.ListKeysRequest{})
		require.NoError(t, err)
		require.Empty(t, list.Damaged)
		// Several may be told of one deletion, since whoever finds one half done finishes it. Of one creation only one is told.
		require.LessOrEqual(t, made, len(list.Keys), "creations without the deletions")
	})
}

// createOrDelete answers 1 for a key made and -1 for one deleted. Both may find that another was first.
func createOrDelete(ctx context.Context, b *vault.Backend, id string) (made int, err error) {
	switch rand.IntN(3) {
	case 0:
		_, err = b.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id})
		made = 1
	case 1:
		_, err = b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})
		made = -1
	default:
		var key sample.DataKey
		if key, err = sample.New(ctx, b, id, nil); err == nil {
			err = key.Open(ctx, b)
		}
		if errors.Is(err, kms.ErrDecrypt) { // the key was deleted and made again in between
			err = nil
		}
	}
	switch {
	case errors.Is(err, kms.ErrKeyExists), errors.Is(err, kms.ErrKeyNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return made, nil
}

// What another node did to a key that is known here is seen within seconds: the period is the engine's own.
func TestADisabledKeyIsRefusedByOtherNodesSoon(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		m := testenv.NewMounts(t)
		one, two := open(t, m.Config(engine)), open(t, m.Config(engine))
		_, err := one.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
		require.NoError(t, err)
		_, err = sample.New(t.Context(), two, "k", nil)
		require.NoError(t, err)
		_, err = one.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
		require.NoError(t, err)
		_, err = sample.New(t.Context(), one, "k", nil)
		require.ErrorIs(t, err, kms.ErrKeyDisabled, "the node that did it sees it at once")
		require.Eventually(t, func() bool {
			_, err := sample.New(t.Context(), two, "k", nil)
			return errors.Is(err, kms.ErrKeyDisabled)
		}, 20*time.Second, 50*time.Millisecond)
	})
}
