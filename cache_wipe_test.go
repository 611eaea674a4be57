package kms_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

// A witness is a backend that keeps the memory of every plaintext that it has answered.
type witness struct {
	*mock.Backend
	seen [][]byte
	let  chan struct{} // until it is closed nothing is answered; nil: all is at once
}

func (w *witness) Open(context.Context) (kms.Backend, error) { return w, nil }

func (w *witness) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	resp, err := w.Backend.Decrypt(ctx, req)
	if err == nil {
		w.seen = append(w.seen, resp.Plaintext.Bytes())
	}
	if w.let != nil {
		<-w.let
	}
	return resp, err
}

func requireWiped(t *testing.T, all [][]byte) {
	t.Helper()
	require.NotEmpty(t, all)
	for i, memory := range all {
		require.Equal(t, make([]byte, len(memory)), memory, "plaintext %d", i)
	}
}

// However a data key leaves the cache, nothing of it stays in memory.
func TestADataKeyThatLeavesTheCacheIsWiped(t *testing.T) {
	const ttl = time.Minute
	for name, leave := range map[string]func(t *testing.T, m *kms.Manager) error{
		"cleared": func(_ *testing.T, m *kms.Manager) error { m.ClearCache(); return nil },
		"closed":  func(_ *testing.T, m *kms.Manager) error { return m.Close() },
		"expired": func(*testing.T, *kms.Manager) error { time.Sleep(ttl + time.Second); synctest.Wait(); return nil },
		"displaced": func(t *testing.T, m *kms.Manager) error {
			wrapped, _ := generate(t, m, "k")
			_, err := decrypt(t, m, wrapped)
			return err
		},
		"disabled": func(t *testing.T, m *kms.Manager) error {
			_, err := m.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
			return err
		},
		"deleted": func(t *testing.T, m *kms.Manager) error {
			_, err := m.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _ := newManager(t, kms.Options{AllowImmediateDeletion: true, Cache: kms.CacheOptions{MaxKeys: 1, TTL: ttl}})
				wrapped, plaintext := generate(t, m, "k")
				_, err := decrypt(t, m, wrapped)
				require.NoError(t, err)
				held := m.CachedDataKeys()
				require.Equal(t, [][]byte{plaintext}, held)
				require.NoError(t, leave(t, m))
				requireWiped(t, held)
			})
		})
	}
}

// What the backend has answered is wiped when the caller has destroyed what he was given, or was given nothing.
func TestAPlaintextIsWipedHoweverDecryptEnds(t *testing.T) {
	refuse := func(context.Context, string, string, kms.EncryptionContext) error { return errors.New("no") }
	for name, tt := range map[string]struct {
		opts kms.Options
		do   func(t *testing.T, m *kms.Manager)
		want error
	}{
		"answered":           {},
		"without a cache":    {opts: kms.Options{Cache: kms.CacheOptions{Disabled: true}}},
		"refused":            {opts: kms.Options{Authorize: refuse}, want: kms.ErrPermission},
		"refused, no cache":  {opts: kms.Options{Authorize: refuse, Cache: kms.CacheOptions{Disabled: true}}, want: kms.ErrPermission},
		"of a disabled key":  {do: disable, want: kms.ErrKeyDisabled},
		"disabled, no cache": {opts: kms.Options{Cache: kms.CacheOptions{Disabled: true}}, do: disable, want: kms.ErrKeyDisabled},
		"gone at once":       {opts: kms.Options{Cache: kms.CacheOptions{TTL: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &witness{Backend: mock.New()}
			m := kms.NewManager(w, tt.opts)
			t.Cleanup(func() { m.Close() })
			createKey(t, w.Backend, "k")
			wrapped, _ := generate(t, w.Backend, "k")
			if tt.do != nil {
				tt.do(t, m)
			}
			resp, err := m.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: wrapped})
			require.ErrorIs(t, err, tt.want)
			if err == nil {
				resp.Plaintext.Destroy()
			}
			m.ClearCache()
			requireWiped(t, w.seen)
		})
	}
}

func disable(t *testing.T, m *kms.Manager) {
	_, err := m.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
}

// The answer of the backend comes when the only caller has left.
func TestAPlaintextThatNobodyWaitsForIsWiped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &witness{Backend: mock.New(), let: make(chan struct{})}
		m := kms.NewManager(w, kms.Options{})
		createKey(t, w.Backend, "k")
		wrapped, _ := generate(t, w.Backend, "k")
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := m.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: wrapped})
			left <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-left, context.Canceled)
		close(w.let)
		require.NoError(t, m.Close())
		synctest.Wait()
		requireWiped(t, w.seen)
	})
}

// What a former backend has opened, to be wrapped anew, is wiped, whether it can be wrapped or not.
func TestAPlaintextThatIsWrappedAnewIsWiped(t *testing.T) {
	for _, tt := range []struct {
		target     string
		fail, want error
	}{
		{target: "k"},
		{target: "", want: kms.ErrInvalidRequest},
		{target: "k", fail: kms.ErrPermission, want: kms.ErrPermission},
	} {
		first, w := mock.New(), &witness{Backend: mock.New()}
		createKey(t, first, "k")
		createKey(t, w.Backend, "old")
		wrapped, _ := generate(t, w.Backend, "old")
		m, err := kms.Open(t.Context(), kms.Config{Backend: first, Former: []kms.BackendConfig{w}})
		require.NoError(t, err)
		t.Cleanup(func() { m.Close() })
		if tt.fail != nil {
			first.FailNext("Encrypt", tt.fail)
		}
		resp, err := m.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{KeyID: tt.target, Items: []kms.RewrapItem{{Ciphertext: wrapped}}})
		require.NoError(t, err)
		require.ErrorIs(t, resp.Items[0].Err, tt.want)
		requireWiped(t, w.seen)
	}
}
