package vault_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

const workers = 8

// onNodes runs do at once in several goroutines, one half of them on each of two backends that share the server, and returns what they return.
func onNodes(t *testing.T, f *fakeVault, engine vault.Engine, do func(b *vault.Backend, worker int) error) []error {
	t.Helper()
	nodes := []*vault.Backend{f.open(t, engine), f.open(t, engine)}
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() { errs[worker] = do(nodes[worker%2], worker) })
	}
	wg.Wait()
	return errs
}

func TestOfManyCreatorsOnManyNodesOneWins(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		f := newFakeVault()
		for round := range 4 {
			var mu sync.Mutex
			var winners []string
			errs := onNodes(t, f, engine, func(b *vault.Backend, worker int) error {
				resp, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k", Description: fmt.Sprint(worker)})
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					winners = append(winners, resp.Key.Description)
				}
				return err
			})
			for _, err := range errs {
				if err != nil {
					require.ErrorIs(t, err, kms.ErrKeyExists)
				}
			}
			b := f.open(t, engine)
			require.Len(t, winners, 1, "round %d", round)
			require.Equal(t, winners[0], describeKey(t, b, "k").Description)
			require.NoError(t, decrypt(t, b, encrypt(t, b, "k", nil), nil))
			removeKey(t, b, "k")
		}
	})
}

// A key that another node removes between the answer about its record and that about its Transit key is gone, and not damaged.
func TestAKeyThatIsRemovedWhileItIsLookedAtIsNotDamaged(t *testing.T) {
	for _, again := range []bool{false, true} {
		f := newFakeVault()
		b, other := f.open(t, vault.Transit), f.open(t, vault.Transit)
		createKey(t, b, "k")
		var once sync.Once
		f.set(func(method, path string, _ []byte) (int, string) {
			if method == "GET" && strings.HasPrefix(path, "transit/keys/") {
				once.Do(func() {
					f.set(nil, nil)
					removeKey(t, other, "k")
					if again {
						createKey(t, other, "k")
					}
				})
			}
			return 0, ""
		}, nil)
		_, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
		if again {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, kms.ErrKeyNotFound)
		}
	}
}

// A key that another node is making is none yet, and none of somebody else's either: its maker may still lose the id.
func TestAKeyThatIsBeingMadeIsNotThereYet(t *testing.T) {
	f := newFakeVault()
	b, other := f.open(t, vault.Transit), f.open(t, vault.Transit)
	var once sync.Once
	var died error
	f.set(func(method, path string, _ []byte) (int, string) {
		if method == "GET" && path == "transit/keys/k" {
			once.Do(func() {
				f.dieAfter(3, true) // the record is read, no Transit key is found, the record is written, and the Transit key is made
				_, died = other.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
				f.set(nil, nil)
			})
		}
		return 0, ""
	}, nil)
	_, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyNotFound)
	require.ErrorIs(t, died, kms.ErrUnavailable)
	require.Equal(t, []string{"k"}, f.names())
}

// The history of a key that another node has made meanwhile is no sign of a loss.
func TestAKeyThatIsMadeMeanwhileIsNotLost(t *testing.T) {
	f := newFakeVault()
	b, other := f.open(t, vault.KV2), f.open(t, vault.KV2)
	var once sync.Once
	var made error
	f.set(func(method, path string, _ []byte) (int, string) {
		if method == "LIST" && path == "secret/metadata/objectkms/history/k" {
			once.Do(func() {
				f.set(nil, nil)
				_, made = other.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
			})
		}
		return 0, ""
	}, nil)
	_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyExists)
	require.NoError(t, made)
}

func TestNoRotationIsLostBetweenNodes(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		f := newFakeVault()
		createKey(t, f.open(t, engine), "k")
		blobs := make([][]byte, workers)
		errs := onNodes(t, f, engine, func(b *vault.Backend, worker int) error {
			for round := range 3 {
				if _, err := b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"}); err != nil {
					return err
				}
				if _, err := b.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "k", Tags: map[string]string{fmt.Sprint(worker, round): ""}}); err != nil {
					return err
				}
			}
			resp, err := b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "k", Plaintext: []byte(secretText)})
			if err == nil {
				blobs[worker] = resp.Ciphertext
			}
			return err
		})
		require.NoError(t, errors.Join(errs...))
		b := f.open(t, engine)
		require.Equal(t, uint32(1+3*workers), describeKey(t, b, "k").Version)
		require.Len(t, describeKey(t, b, "k").Tags, 3*workers)
		for _, blob := range blobs {
			require.NoError(t, decrypt(t, b, blob, nil))
		}
	})
}

// Whatever happens to a key at once on two nodes, one order of it explains the end.
func TestChangesAndDeletionsOnTwoNodes(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		f := newFakeVault()
		for range 10 {
			createKey(t, f.open(t, engine), "k")
			errs := onNodes(t, f, engine, func(b *vault.Backend, worker int) (err error) {
				switch worker / 2 {
				case 0:
					_, err = b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
				case 1:
					_, err = b.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
				case 2:
					_, err = b.EnableKey(t.Context(), &kms.EnableKeyRequest{KeyID: "k"})
				case 3:
					_, err = b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
				}
				return err
			})
			require.True(t, errs[6] == nil || errs[7] == nil)
			for _, err := range errs {
				if err != nil && !errors.Is(err, kms.ErrKeyNotFound) {
					require.ErrorIs(t, err, kms.ErrKeyDisabled)
				}
			}
			_, err := f.open(t, engine).DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
			require.ErrorIs(t, err, kms.ErrKeyNotFound)
			requireNoTrace(t, f)
		}
	})
}

func TestACancellationOnOneNodeWinsOrLosesAgainstARemovalOnTheOther(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		f := newFakeVault()
		for range 20 {
			b := f.open(t, engine)
			createKey(t, b, "k")
			resp, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k"})
			require.NoError(t, err)
			var mu sync.Mutex
			var removed []string
			errs := onNodes(t, f, engine, func(b *vault.Backend, worker int) error {
				if worker%2 == 0 {
					_, err := b.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionRequest{KeyID: "k"})
					return err
				}
				ids, err := b.RemoveExpiredKeys(t.Context(), resp.Key.DeletionDate)
				mu.Lock()
				defer mu.Unlock()
				removed = append(removed, ids...)
				return err
			})
			cancelled := 0
			for worker, err := range errs {
				switch {
				case worker%2 == 1:
					require.NoError(t, err)
				case err == nil:
					cancelled++
				}
			}
			require.Equal(t, 1, cancelled+len(removed))
			if cancelled == 1 {
				require.Equal(t, kms.KeyDisabled, describeKey(t, b, "k").State)
				removeKey(t, b, "k")
			}
		}
	})
}
