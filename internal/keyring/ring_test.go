package keyring_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOpenRefuses(t *testing.T) {
	good := testRoot()
	for name, open := range map[string]func() (*keyring.Ring, error){
		"no store": func() (*keyring.Ring, error) { return keyring.Open(nil, good, keyring.Options{}) },
		"root version is 0": func() (*keyring.Ring, error) {
			return keyring.Open(newStore(), keyring.Root{Key: good.Key}, keyring.Options{})
		},
		"31 bytes": func() (*keyring.Ring, error) {
			return keyring.Open(newStore(), keyring.Root{Version: 1, Key: good.Key[:31]}, keyring.Options{})
		},
		"all zero": func() (*keyring.Ring, error) {
			return keyring.Open(newStore(), keyring.Root{Version: 1, Key: make([]byte, 32)}, keyring.Options{})
		},
		"-1 slots": func() (*keyring.Ring, error) { return keyring.Open(newStore(), good, keyring.Options{Slots: -1}) },
		"-1 records": func() (*keyring.Ring, error) {
			return keyring.Open(newStore(), good, keyring.Options{Records: -1})
		},
	} {
		ring, err := open()
		require.Nil(t, ring, name)
		require.ErrorIs(t, err, kms.ErrInvalidConfig, name)
		require.ErrorContains(t, err, name)
	}
}

func TestLockedMemoryWorks(t *testing.T) {
	ring, err := keyring.Open(newStore(), testRoot(), keyring.Options{Memory: secret.Locked})
	require.NoError(t, err)
	createKey(t, ring, "k")
	require.NoError(t, decrypt(t, ring, encrypt(t, ring, "k", nil), nil))
	require.NoError(t, ring.Close())
}

func TestTheCallerMayWipeTheRootKeyAfterOpen(t *testing.T) {
	store := newStore()
	root := testRoot()
	ring, err := keyring.Open(store, root, keyring.Options{Memory: secret.Plain})
	require.NoError(t, err)
	clear(root.Key)
	createKey(t, ring, "k")
	require.NoError(t, decrypt(t, openRing(t, store), encrypt(t, ring, "k", nil), nil))
}

func TestTheRootVersionIsPartOfTheRecord(t *testing.T) {
	store := newStore()
	createKey(t, openRing(t, store), "k")
	root := testRoot()
	root.Version = 2
	ring, err := keyring.Open(store, root, keyring.Options{Memory: secret.Plain})
	require.NoError(t, err)
	require.ErrorIs(t, describeErr(t, ring, "k"), kms.ErrKeyMaterial)
	createKey(t, ring, "new")
	require.Contains(t, recordText(t, store.raw("new")), `"root":2`)
}

// A slowStore lets Stamp wait until it is told to go on.
type slowStore struct {
	*memStore
	wait chan struct{}
}

func (s *slowStore) Stamp(ctx context.Context) (uint64, bool, error) {
	<-s.wait
	return s.memStore.Stamp(ctx)
}

func TestCloseWaitsForCallsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{newStore(), make(chan struct{})}
		ring := openRing(t, store)
		createKey(t, ring, "k")
		var described error
		closed := false
		go func() { described = describeErr(t, ring, "k") }()
		synctest.Wait()
		go func() {
			ring.Close()
			closed = true
		}()
		synctest.Wait()
		require.False(t, closed)
		require.Zero(t, store.closed)
		require.ErrorIs(t, ring.HealthCheck(t.Context()), kms.ErrClosed, "nothing new begins meanwhile")
		close(store.wait)
		synctest.Wait()
		require.True(t, closed)
		require.NoError(t, described)
		require.ErrorIs(t, ring.Close(), kms.ErrClosed)
		require.Equal(t, 1, store.closed)
		require.ErrorIs(t, keyring.ArenaErr(ring), secret.ErrClosed)
	})
}

func TestCloseAnswersTheStoresError(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	store.fault = func(string) error { return kms.ErrUnavailable }
	require.ErrorIs(t, ring.HealthCheck(t.Context()), kms.ErrUnavailable)
	require.ErrorIs(t, ring.Close(), kms.ErrUnavailable)
	require.ErrorIs(t, ring.Close(), kms.ErrClosed)
}

func TestARandomKeyIDIsAUUID(t *testing.T) {
	ring := openRing(t, newStore())
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := make(map[string]bool)
	for range 200 {
		id := createKey(t, ring, "").ID
		require.Regexp(t, form, id)
		require.False(t, seen[id])
		seen[id] = true
	}
}

func TestAllZeroMaterialIsRefused(t *testing.T) {
	ring := openRing(t, newStore())
	material := make([]byte, 32)
	_, err := ring.ImportKey(t.Context(), &kms.ImportKeyRequest{Material: kms.NewSecret(material)})
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
	for i := range material {
		clear(material)
		material[i] = 0x80
		_, err := ring.ImportKey(t.Context(), &kms.ImportKeyRequest{Material: kms.NewSecret(material)})
		require.NoError(t, err)
	}
}

func TestImportedMaterialIsWhatWraps(t *testing.T) {
	one, two := openRing(t, newStore()), openRing(t, newStore())
	material := kms.NewSecret([]byte(strings.Repeat("0123456789abcdef", 2)))
	for _, ring := range []*keyring.Ring{one, two} {
		_, err := ring.ImportKey(t.Context(), &kms.ImportKeyRequest{KeyID: "k", Material: material})
		require.NoError(t, err)
	}
	require.NoError(t, decrypt(t, two, encrypt(t, one, "k", nil), nil))
}

func TestTimesAreWholeSecondsOfUTC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1700 * time.Millisecond)
		ring := openRing(t, newStore())
		key := createKey(t, ring, "k")
		require.Equal(t, time.Date(2000, 1, 1, 0, 0, 1, 0, time.UTC), key.CreatedAt)
		require.True(t, key.RotatedAt.IsZero())
		time.Sleep(time.Hour)
		key = rotateKey(t, ring, "k")
		require.Equal(t, time.Date(2000, 1, 1, 1, 0, 1, 0, time.UTC), key.RotatedAt)
		last, err := ring.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
		require.NoError(t, err)
		require.Equal(t, kms.KeyEnabled, last.Key.State)
		require.Equal(t, time.Date(2000, 1, 1, 1, 0, 1, 0, time.UTC), last.Key.DeletionDate)
	})
}

func TestARewrapToAKeyThatCannotWrapFailsAtOnce(t *testing.T) {
	ring := openRing(t, newStore())
	createKey(t, ring, "k")
	createKey(t, ring, "disabled")
	items := []kms.RewrapItem{{Ciphertext: encrypt(t, ring, "k", nil)}}
	_, err := ring.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "disabled"})
	require.NoError(t, err)
	_, err = ring.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{KeyID: "none", Items: items})
	require.ErrorIs(t, err, kms.ErrKeyNotFound)
	_, err = ring.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{KeyID: "disabled", Items: items})
	require.ErrorIs(t, err, kms.ErrKeyDisabled)
}

func TestACallWhoseContextIsDoneAsksTheStoreNothing(t *testing.T) {
	store, ring, blob := faultyRing(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	store.calls = 0
	for name, call := range ringCalls() {
		require.Equal(t, context.Canceled, call(ctx, ring, blob), name)
	}
	require.Zero(t, store.calls)
}

func TestAnIDOutsideTheGrammarNeverReachesTheStore(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	ctx := t.Context()
	for _, id := range []string{"..", "../k", "a/b", ".k", "-k", "\u00e9", strings.Repeat("k", 129)} {
		for name, call := range map[string]func() error{
			"create":   func() error { _, err := ring.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id}); return err },
			"describe": func() error { return describeErr(t, ring, id) },
			"generate": func() error { _, err := ring.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: id}); return err },
			"rotate":   func() error { _, err := ring.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: id}); return err },
			"delete":   func() error { _, err := ring.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id}); return err },
		} {
			require.ErrorIs(t, call(), kms.ErrInvalidRequest, name)
		}
	}
	require.Zero(t, store.calls)
}

func TestARewrapStopsWhenItsContextIsDone(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	blob := encrypt(t, ring, "k", nil)
	ctx, cancel := context.WithCancel(t.Context())
	stamps := 0
	store.fault = func(op string) error {
		if stamps++; stamps == 2 {
			cancel()
		}
		return nil
	}
	items := make([]kms.RewrapItem, 100)
	for i := range items {
		items[i] = kms.RewrapItem{Ciphertext: blob}
	}
	resp, err := ring.RewrapDataKeys(ctx, &kms.RewrapDataKeysRequest{Items: items})
	require.Equal(t, context.Canceled, err)
	require.Nil(t, resp)
	require.Less(t, stamps, 5)
}

func TestNothingElseCanStandBehindErrDecrypt(t *testing.T) {
	ring := openRing(t, newStore())
	createKey(t, ring, "k")
	blob := encrypt(t, ring, "k", kms.EncryptionContext{"user": "anna"})
	err := decrypt(t, ring, blob, kms.EncryptionContext{"user": "bert"})
	require.Equal(t, kms.ErrDecrypt, err)
	require.Equal(t, "decryption failed", err.Error())
}
