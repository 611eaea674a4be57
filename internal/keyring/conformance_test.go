package keyring_test

import (
	"strconv"
	"testing"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend/backendtest"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/secret"
)

// harness runs rings over stores in memory, each with its own root key.
func harness(slots int) backendtest.Harness {
	stores := make(map[kms.Backend]*memStore)
	roots := make(map[*memStore]keyring.Root)
	open := func(t *testing.T, store *memStore) kms.Backend {
		ring, err := keyring.Open(store, roots[store], keyring.Options{Memory: secret.Plain, Slots: slots})
		if err != nil {
			t.Fatal(err)
		}
		stores[ring] = store
		return ring
	}
	return backendtest.Harness{
		Open: func(t *testing.T) kms.Backend {
			store := newStore()
			root := testRoot()
			root.Key[0] = byte(len(roots))
			roots[store] = root
			return open(t, store)
		},
		Reopen: func(t *testing.T, b kms.Backend) kms.Backend {
			b.Close()
			return open(t, stores[b])
		},
		Damage: func(_ *testing.T, b kms.Backend, keyID string) {
			raw := stores[b].raw(keyID)
			raw[len(raw)/2] ^= 1
			stores[b].put(keyID, raw)
		},
	}
}

func TestConformance(t *testing.T) {
	backendtest.Run(t, harness(0))
}

// With one slot the root key fills the arena, and with two every version evicts another.
func TestConformanceWithFewSlots(t *testing.T) {
	for _, slots := range []int{1, 2} {
		t.Run(strconv.Itoa(slots), func(t *testing.T) { backendtest.Run(t, harness(slots)) })
	}
}
