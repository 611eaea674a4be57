package vault_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

// dieAfter lets n requests pass and answers none after them, as when the process or the server dies. lost says whether the one after them is still done,
// and only its answer lost. It returns whether there was a request too many.
func (f *fakeVault) dieAfter(n int, lost bool) (died func() bool) {
	var mu sync.Mutex
	asked := 0
	down := func(method, path string, body []byte) (int, string) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		if asked <= n {
			return 0, ""
		}
		if asked == n+1 && lost {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.route(method, path, body)
		}
		return 503, `{"errors":["no answer"]}`
	}
	f.set(down, nil)
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		return asked > n
	}
}

// everyInterruption runs a mutation that dies after 0, 1, 2 and more requests until it does not die, and check after each.
func everyInterruption(t *testing.T, engine vault.Engine, prepare, mutate func(b *vault.Backend) error, check func(t *testing.T, f *fakeVault, b *vault.Backend, err error)) {
	for _, lost := range []bool{false, true} {
		for n := 0; ; n++ {
			require.Less(t, n, 50)
			f := newFakeVault()
			require.NoError(t, prepare(f.open(t, engine)))
			b := f.open(t, engine)
			died := f.dieAfter(n, lost)
			err := mutate(b)
			f.set(nil, nil)
			t.Run(fmt.Sprintf("after %d, lost %t", n, lost), func(t *testing.T) {
				if err != nil {
					require.ErrorIs(t, err, kms.ErrUnavailable)
				}
				check(t, f, f.open(t, engine), err)
			})
			if !died() {
				require.Greater(t, n, 3)
				break
			}
		}
	}
}

func bothEngines(t *testing.T, run func(t *testing.T, engine vault.Engine)) {
	for _, engine := range []vault.Engine{vault.Transit, vault.KV2} {
		t.Run(vault.Config{Engine: engine}.BackendType(), func(t *testing.T) { run(t, engine) })
	}
}

func nothing(*vault.Backend) error { return nil }

func TestACreationThatDiesLeavesTheIDFreeOrAKey(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		create := func(b *vault.Backend) error {
			_, err := b.CreateKey(context.Background(), &kms.CreateKeyRequest{KeyID: "k", Description: "first"})
			return err
		}
		everyInterruption(t, engine, nothing, create, func(t *testing.T, f *fakeVault, b *vault.Backend, died error) {
			_, described := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
			err := create(b)
			if described == nil {
				require.ErrorIs(t, err, kms.ErrKeyExists)
			} else {
				require.ErrorIs(t, described, kms.ErrKeyNotFound)
				require.Error(t, died)
				require.NoError(t, err)
			}
			require.NoError(t, decrypt(t, b, encrypt(t, b, "k", nil), nil))
		})
	})
}

func TestAnImportThatDiesLeavesTheIDFreeOrAKey(t *testing.T) {
	importKey := func(b *vault.Backend) error {
		_, err := b.ImportKey(context.Background(), &kms.ImportKeyRequest{KeyID: "k", Material: kms.NewSecret(randomBytes(32))})
		return err
	}
	everyInterruption(t, vault.Transit, nothing, importKey, func(t *testing.T, f *fakeVault, b *vault.Backend, died error) {
		if _, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"}); err != nil {
			require.Error(t, died)
			require.NoError(t, importKey(b))
		}
		require.Equal(t, kms.OriginExternal, describeKey(t, b, "k").Origin)
		require.NoError(t, decrypt(t, b, encrypt(t, b, "k", nil), nil))
	})
}

func TestADeletionThatDiesIsFinished(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		var wrapped []byte
		prepare := func(b *vault.Backend) error {
			createKey(t, b, "k")
			wrapped = encrypt(t, b, "k", nil)
			_, err := b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
			return err
		}
		remove := func(b *vault.Backend) error {
			_, err := b.DeleteKey(context.Background(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
			return err
		}
		everyInterruption(t, engine, prepare, remove, func(t *testing.T, f *fakeVault, b *vault.Backend, died error) {
			if _, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"}); err == nil {
				require.Error(t, died)
				require.NoError(t, decrypt(t, b, wrapped, nil), "a key stands, or it is gone")
				return
			}
			removed, err := b.RemoveExpiredKeys(t.Context(), time.Now())
			require.NoError(t, err)
			require.Empty(t, removed)
			requireNoTrace(t, f)
			require.ErrorIs(t, decrypt(t, b, wrapped, nil), kms.ErrKeyNotFound)
			require.Equal(t, uint32(1), createKey(t, b, "k").Version)
			require.ErrorIs(t, decrypt(t, b, wrapped, nil), kms.ErrDecrypt)
		})
	})
}

// requireNoTrace checks that nothing of any key's material is left.
func requireNoTrace(t *testing.T, f *fakeVault) {
	t.Helper()
	require.Empty(t, f.names())
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, versions := range f.entries {
		for i, v := range versions {
			require.NotContains(t, string(v.data), "sealed", "version %d of %s", i+1, name)
		}
	}
}

func TestADeletionThatDiedIsFinishedByWhoeverComesNext(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		f := newFakeVault()
		b := f.open(t, engine)
		createKey(t, b, "k")
		f.set(func(method, path string, _ []byte) (int, string) {
			if method == "DELETE" || strings.Contains(path, "/destroy/") {
				return 503, `{"errors":[]}`
			}
			return 0, ""
		}, nil)
		_, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
		require.ErrorIs(t, err, kms.ErrUnavailable)
		_, err = b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
		require.ErrorIs(t, err, kms.ErrKeyNotFound)
		_, err = b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
		require.ErrorIs(t, err, kms.ErrUnavailable, "no key is made while material of the former one is left")
		f.set(nil, nil)
		createKey(t, b, "k")
		if engine == vault.Transit {
			require.Len(t, f.names(), 1)
			require.NotEqual(t, "k", f.names()[0])
		}
		removeKey(t, b, "k")
		requireNoTrace(t, f)
	})
}

func TestARemovalThatDiedGoesOn(t *testing.T) {
	for name, goOn := range map[string]func(b *vault.Backend) error{
		"by another call": func(b *vault.Backend) error {
			_, err := b.DeleteKey(context.Background(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
			return err
		},
		"by a sweep": func(b *vault.Backend) error {
			_, err := b.RemoveExpiredKeys(context.Background(), time.Now())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeVault()
			b := f.open(t, vault.Transit)
			createKey(t, b, "k")
			f.set(func(method, _ string, _ []byte) (int, string) {
				if method == "DELETE" {
					return 503, `{"errors":[]}`
				}
				return 0, ""
			}, nil)
			_, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
			require.ErrorIs(t, err, kms.ErrUnavailable)
			f.set(nil, nil)
			f.keys["k"].Deletable = false // as in a backup from before
			require.NoError(t, goOn(b))
			requireNoTrace(t, f)
		})
	}
}

func TestAPolicyThatForbidsDeletionLeavesTheKey(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.Transit)
	createKey(t, b, "k")
	f.set(func(_, path string, _ []byte) (int, string) {
		if path == "transit/keys/k/config" {
			return 403, `{"errors":["permission denied"]}`
		}
		return 0, ""
	}, nil)
	_, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
	require.ErrorIs(t, err, kms.ErrPermission)
	require.Equal(t, kms.KeyEnabled, describeKey(t, b, "k").State)
}
