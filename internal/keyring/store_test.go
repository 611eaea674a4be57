package keyring_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/secret"
)

// A memStore is a Store in memory whose records a test can change behind the Ring's back.
type memStore struct {
	mu         sync.Mutex
	records    map[string][]byte
	generation uint64
	stamp      uint64
	unstable   bool
	calls      int
	gets       int
	writes     int
	closed     int

	fault   func(op string) error // asked before each call
	mutated func() error          // asked once a change is stored
	again   bool                  // Mutate calls change twice, as after a lost race
}

func newStore() *memStore { return &memStore{records: make(map[string][]byte)} }

func (s *memStore) failure(ctx context.Context, op string) error {
	s.calls++
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.fault == nil {
		return nil
	}
	return s.fault(op)
}

func (s *memStore) Stamp(ctx context.Context) (uint64, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stamp, !s.unstable, s.failure(ctx, "Stamp")
}

func (s *memStore) Get(ctx context.Context, id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	if err := s.failure(ctx, "Get"); err != nil {
		return nil, err
	}
	raw, ok := s.records[id]
	if !ok {
		return nil, kms.ErrKeyNotFound
	}
	return bytes.Clone(raw), nil
}

func (s *memStore) List(ctx context.Context, after string, n int) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failure(ctx, "List"); err != nil {
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(s.records))
	i, found := slices.BinarySearch(ids, after)
	if found {
		i++
	}
	return ids[i:min(len(ids), i+n)], nil
}

func (s *memStore) Mutate(ctx context.Context, id string, change func([]byte, uint64) ([]byte, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failure(ctx, "Mutate"); err != nil {
		return err
	}
	s.generation++
	if s.again {
		if _, err := change(bytes.Clone(s.records[id]), s.generation); err != nil {
			return err
		}
		s.generation++
	}
	raw, err := change(bytes.Clone(s.records[id]), s.generation)
	if err != nil {
		return err
	}
	if err := s.failure(ctx, "store"); err != nil {
		return err
	}
	s.writes++
	s.set(id, raw)
	if s.mutated != nil {
		return s.mutated()
	}
	return nil
}

func (s *memStore) HealthCheck(ctx context.Context) error { return s.failure(ctx, "HealthCheck") }

func (s *memStore) Close() error {
	s.closed++
	return s.failure(context.Background(), "Close")
}

func (s *memStore) set(id string, raw []byte) {
	s.stamp++
	if raw == nil {
		delete(s.records, id)
	} else {
		s.records[id] = raw
	}
}

// put replaces a stored record as somebody else would who can write to the store.
func (s *memStore) put(id string, raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(id, bytes.Clone(raw))
}

func (s *memStore) raw(id string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.records[id])
}

// testRoot returns a root key that is the same in every test.
func testRoot() keyring.Root {
	return keyring.Root{Version: 1, Key: bytes.Repeat([]byte{0x5a}, 32)}
}

func openRing(t testing.TB, store keyring.Store) *keyring.Ring {
	t.Helper()
	return openSlots(t, store, 0)
}

func openSlots(t testing.TB, store keyring.Store, slots int) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Open(store, testRoot(), keyring.Options{Memory: secret.Plain, Slots: slots, Records: slots})
	require.NoError(t, err)
	t.Cleanup(func() { ring.Close() })
	return ring
}

func createKey(t testing.TB, ring *keyring.Ring, id string) kms.Key {
	t.Helper()
	resp, err := ring.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
	require.NoError(t, err)
	return resp.Key
}

func rotateKey(t testing.TB, ring *keyring.Ring, id string) kms.Key {
	t.Helper()
	resp, err := ring.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: id})
	require.NoError(t, err)
	return resp.Key
}

func describeKey(t testing.TB, ring *keyring.Ring, id string) kms.Key {
	t.Helper()
	resp, err := ring.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: id})
	require.NoError(t, err)
	return resp.Key
}

// encrypt wraps a fixed text.
func encrypt(t testing.TB, ring *keyring.Ring, id string, ec kms.EncryptionContext) []byte {
	t.Helper()
	resp, err := ring.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: id, Plaintext: []byte("a small secret"), Context: ec})
	require.NoError(t, err)
	return resp.Ciphertext
}

// decrypt returns the error of opening what encrypt wrapped, and checks the text.
func decrypt(t testing.TB, ring *keyring.Ring, blob []byte, ec kms.EncryptionContext) error {
	t.Helper()
	resp, err := ring.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob, Context: ec})
	if err != nil {
		require.Nil(t, resp)
		return err
	}
	require.Equal(t, "a small secret", string(resp.Plaintext.Bytes()))
	return nil
}
