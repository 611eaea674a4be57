package keyring_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

// A stored record is hostile input: whoever can write to the store makes it. Behind a right seal stands
// only somebody who has the root key, but even that must not bring the process down.
func FuzzRecord(f *testing.F) {
	store := newStore()
	ring := openRing(f, store)
	createKey(f, ring, "k")
	good := store.raw("k")
	text := recordText(f, good)
	f.Add(good)
	f.Add([]byte(text))
	f.Add([]byte(withVersions(f, text, "k", 3)))
	f.Add([]byte(strings.Replace(text, `"generation":`, `"generation":1844674407370955161`, 1)))
	f.Add([]byte(strings.Replace(text, `"Enabled"`, `"PendingDeletion","deletion":"2000-01-01T00:00:00Z"`, 1)))
	f.Add([]byte(`{"record":,"seal":"` + string(bytes.Repeat([]byte("A"), 96)) + "\"}\n"))
	f.Add([]byte(`{"versions":[{},{},{},{}]}`))
	f.Add([]byte(`{"tags":{"":""}}`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 16<<10 {
			return
		}
		if _, err := keyring.RecordGeneration(raw); err != nil {
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
		}
		// A ring remembers the generations that it has seen, and would refuse whatever comes after a high one.
		store := newStore()
		ring := openRing(t, store)
		store.put("k", raw)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := describeErr(t, ring, "k")
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
		if err != nil {
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
		}
		store.put("k", sealRecord(t, string(raw)))
		if err := describeErr(t, ring, "k"); err != nil {
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
			return
		}
		key := describeKey(t, ring, "k")
		require.Equal(t, "k", key.ID)
		require.NotZero(t, key.Version)
		require.Contains(t, []kms.KeyState{kms.KeyEnabled, kms.KeyDisabled, kms.KeyPendingDeletion}, key.State)
		require.Equal(t, key.State == kms.KeyPendingDeletion, !key.DeletionDate.IsZero())
	})
}
