package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/erase"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/secret"
)

// kv2 is engine KV2: a keyring whose records, and whose root key, are entries of a KV engine. Who can read those has every master key.
type kv2 struct {
	*keyring.Ring
	store *kvStore
}

// RemoveExpiredKeys also destroys what is left of keys whose deletion was interrupted.
func (e *kv2) RemoveExpiredKeys(ctx context.Context, now time.Time) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := e.store.finishDeletions(ctx); err != nil {
		return nil, err
	}
	return e.Ring.RemoveExpiredKeys(ctx, now)
}

// openKV2 opens the keyring, and makes its root key where there is neither one nor a record.
func openKV2(ctx context.Context, c *client, cfg Config) (*kv2, error) {
	store := &kvStore{kv: &kv{client: c, mount: cfg.KVMount, prefix: cfg.KeyPrefix}}
	var root []byte
	var err error
	erase.After(func() { root, err = store.openRoot(ctx) })
	if err != nil {
		return nil, err
	}
	defer clear(root)
	ring, err := openRing(store, root, cfg.Logger)
	if err != nil {
		return nil, err
	}
	if err := keyring.CheckRoot(ctx, ring); err != nil {
		return nil, errors.Join(err, ring.Close())
	}
	return &kv2{ring, store}, nil
}

// openRing opens a Ring with its keys in locked memory, where there is any. The root key has come here through ordinary memory, in an answer of
// Vault's, so that ordinary memory is no reason to refuse.
func openRing(store keyring.Store, root []byte, logger *slog.Logger) (*keyring.Ring, error) {
	key := keyring.Root{Version: rootVersion, Key: root}
	ring, err := keyring.Open(store, key, keyring.Options{Memory: secret.Locked})
	if errors.Is(err, secret.ErrLock) {
		logger.Warn("vault: no memory can be locked: master keys may be written to swap", "err", err)
		ring, err = keyring.Open(store, key, keyring.Options{Memory: secret.Plain})
	}
	return ring, err
}

// A storedRoot is the entry of the root key.
type storedRoot struct {
	Format int    `json:"format"`
	Key    []byte `json:"key"` // 32 random bytes, in base64
}

const (
	rootName    = "root"
	rootFormat  = 1
	rootVersion = 1
	rootSize    = 32
)

// openRoot returns the root key, which the caller wipes.
func (s *kvStore) openRoot(ctx context.Context) ([]byte, error) {
	root, err := s.readRoot(ctx)
	if root != nil || err != nil {
		return root, err
	}
	ids, err := s.ids(ctx)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return s.makeRoot(ctx)
	}
	// Another process may have made both between the two requests.
	root, err = s.readRoot(ctx)
	if root == nil && err == nil {
		err = fmt.Errorf("%w: the root key is missing beside records of keys", kms.ErrKeyMaterial)
	}
	return root, err
}

// readRoot returns the root key, or nil where there was never one.
func (s *kvStore) readRoot(ctx context.Context) ([]byte, error) {
	e, err := s.kv.read(ctx, rootName)
	if err != nil || e.version == 0 {
		return nil, err
	}
	defer clear(e.data)
	if e.lost() {
		return nil, fmt.Errorf("%w: the root key was deleted or destroyed in Vault", kms.ErrKeyMaterial)
	}
	return parseRoot(e.data)
}

// parseRoot reads the entry of the root key. The error holds nothing of it.
func parseRoot(data []byte) ([]byte, error) {
	var stored storedRoot
	if err := decodeStrictly(data, &stored); err != nil {
		return nil, fmt.Errorf("%w: the entry of the root key is not what was written", kms.ErrKeyMaterial)
	}
	if stored.Format != rootFormat || len(stored.Key) != rootSize || allZero(stored.Key) {
		return nil, fmt.Errorf("%w: the root key has format %d and %d bytes, want %d and %d, not all zero",
			kms.ErrKeyMaterial, stored.Format, len(stored.Key), rootFormat, rootSize)
	}
	return stored.Key, nil
}

// makeRoot stores a new root key. Of several processes the first one wins, and all have its root key.
func (s *kvStore) makeRoot(ctx context.Context) ([]byte, error) {
	key := make([]byte, rootSize)
	rand.Read(key)
	err := s.kv.write(ctx, rootName, 0, storedRoot{Format: rootFormat, Key: key})
	if err == nil {
		return key, nil
	}
	clear(key)
	if !errors.Is(err, errConflict) {
		return nil, err
	}
	root, err := s.readRoot(ctx)
	if root == nil && err == nil {
		err = errAnswer("has no root key, and refuses one")
	}
	return root, err
}

// allZero reports whether key material is nothing but zero bytes, in constant time.
func allZero(material []byte) bool {
	var or byte
	for _, b := range material {
		or |= b
	}
	return or == 0
}
