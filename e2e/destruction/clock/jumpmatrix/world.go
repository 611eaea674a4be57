// Package jumpmatrix holds the deletion of keys against jumps of the wall clock, for any backend. It is a package so that
// the tests of more than one backend can run it; the library must be compiled with jumpclock.
package jumpmatrix

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/destruction/clock/jumpclock"
)

const (
	day    = 24 * time.Hour
	window = 7 // days
)

// A World is a service that sweeps every hour, over keys and a state that outlive it. It lives in a bubble of synctest.
type World struct {
	*kms.ServiceManager
	config kms.Config
	ahead  time.Duration

	mu    sync.Mutex
	state kms.SweepState
}

// In runs a test in a bubble, with a service over the backend that open configures.
func In(t *testing.T, open func(t *testing.T) kms.BackendConfig, test func(t *testing.T, w *World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		jumpclock.Set(0)
		defer jumpclock.Set(0)
		w := &World{config: kms.Config{Backend: open(t), Options: kms.Options{DecryptWithDisabledKeys: true}}}
		w.Restart(t)
		defer func() { require.NoError(t, w.Stop(context.WithoutCancel(t.Context()))) }()
		test(t, w)
	})
}

// Restart ends the service, and starts another over the same keys, as a new process does.
func (w *World) Restart(t *testing.T) {
	t.Helper()
	if w.ServiceManager != nil {
		require.NoError(t, w.Stop(t.Context()))
	}
	w.ServiceManager = &kms.ServiceManager{Sweep: kms.SweepOptions{Interval: time.Hour, Jitter: -1, Load: w.load, Save: w.save}}
	require.NoError(t, w.Reconfigure(t.Context(), w.config))
	synctest.Wait()
}

func (w *World) load(context.Context) (kms.SweepState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state, nil
}

func (w *World) save(_ context.Context, state kms.SweepState) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = state
	return nil
}

// Jump moves the wall clock, from where it is.
func (w *World) Jump(d time.Duration) {
	w.ahead += d
	jumpclock.Set(w.ahead)
}

// PutRight gives the wall clock the right time.
func (w *World) PutRight() { w.Jump(-w.ahead) }

// Pass lets time pass, and what is due then happen.
func Pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *World) create(t *testing.T, id string) {
	t.Helper()
	_, err := w.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
	require.NoError(t, err)
}

// schedule lets a key go in a week, and returns the date.
func (w *World) schedule(t *testing.T, id string) time.Time {
	t.Helper()
	resp, err := w.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, PendingWindowDays: window})
	require.NoError(t, err)
	return resp.Key.DeletionDate
}

func (w *World) encrypt(t *testing.T, id string) []byte {
	t.Helper()
	resp, err := w.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: id, Plaintext: []byte("of " + id)})
	require.NoError(t, err)
	return resp.Ciphertext
}

// rescue cancels the deletion of a key, and makes sure that it is whole.
func (w *World) rescue(t *testing.T, id string, blob []byte) {
	t.Helper()
	resp, err := w.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionRequest{KeyID: id})
	require.NoError(t, err)
	require.Equal(t, kms.KeyDisabled, resp.Key.State)
	_, err = w.EnableKey(t.Context(), &kms.EnableKeyRequest{KeyID: id})
	require.NoError(t, err)
	w.mustOpen(t, id, blob)
}

func (w *World) mustOpen(t *testing.T, id string, blob []byte) {
	t.Helper()
	opened, err := w.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob})
	require.NoError(t, err)
	defer opened.Plaintext.Destroy()
	require.Equal(t, "of "+id, string(opened.Plaintext.Bytes()))
}

// keys returns the ids of all keys.
func (w *World) keys(t *testing.T) []string {
	t.Helper()
	list, err := w.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	require.Empty(t, list.Damaged)
	var ids []string
	for _, key := range list.Keys {
		ids = append(ids, key.ID)
	}
	return ids
}

func (w *World) has(t *testing.T, id string) bool {
	t.Helper()
	return slices.Contains(w.keys(t), id)
}
