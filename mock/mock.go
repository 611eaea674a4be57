// Package mock serves unit tests with a backend in memory.
//
// Its cryptography is the real one: what it wraps opens only with the same key and encryption
// context, and is gone with the process.
package mock

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/secret"
)

// Backend is a [kms.Backend] with every optional interface, and a [kms.BackendConfig] that opens
// further ones over the same keys. It is safe for concurrent use.
//
// Faults, delays and counts belong to the keys: they are shared by all that Open returns, so that a test keeps the
// one that it got from New and gives it away as configuration. Operations are named as the methods of
// a backend are: "Decrypt", "HealthCheck", "Close", "Open".
type Backend struct {
	shared *shared
	ring   *keyring.Ring
}

// shared is what all backends over the same keys have in common.
type shared struct {
	store  *store
	root   [32]byte
	script script
}

var (
	_ kms.Backend           = (*Backend)(nil)
	_ kms.BackendConfig     = (*Backend)(nil)
	_ kms.KeyStateChanger   = (*Backend)(nil)
	_ kms.KeyRotator        = (*Backend)(nil)
	_ kms.KeyImporter       = (*Backend)(nil)
	_ kms.KeyUpdater        = (*Backend)(nil)
	_ kms.DataKeyRewrapper  = (*Backend)(nil)
	_ kms.ExpiredKeyRemover = (*Backend)(nil)
)

// New returns an open backend without keys. It holds no resource that Close would have to release.
func New() *Backend {
	s := &shared{store: newStore()}
	rand.Read(s.root[:])
	b, err := s.open()
	if err != nil {
		panic("mock: internal error: " + err.Error())
	}
	return b
}

func (s *shared) open() (*Backend, error) {
	root := keyring.Root{Version: 1, Key: s.root[:]}
	ring, err := keyring.Open(s.store, root, keyring.Options{Memory: secret.Plain})
	if err != nil {
		return nil, err
	}
	return &Backend{shared: s, ring: ring}, nil
}

// BackendType returns "mock".
func (b *Backend) BackendType() string { return "mock" }

// Validate returns nil.
func (b *Backend) Validate() error { return nil }

// Open returns another [*Backend] over the same keys, which is closed on its own. It works also
// after b is closed.
func (b *Backend) Open(ctx context.Context) (kms.Backend, error) {
	if err := b.shared.script.begin(ctx, "Open"); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return b.shared.open()
}

// Close makes later calls of this Backend fail with ErrClosed. The keys stay.
func (b *Backend) Close() error {
	if err := b.shared.script.begin(context.Background(), "Close"); err != nil {
		return err
	}
	return b.ring.Close()
}

// FailNext makes the next call of the method op fail with err, before it does anything. Called more than once, it
// queues: each call of the method takes one error, and a nil one lets the call pass.
//
// A name that no method has would make a test pass without testing anything. After such a misuse of FailNext,
// Delay or Calls every call of every method fails and says so.
func (b *Backend) FailNext(op string, err error) { b.shared.script.failNext(op, err) }

// Delay makes every call of the method op wait for d before it does anything, or until its context is done. 0 ends that.
// An unknown op is a misuse, as for FailNext.
func (b *Backend) Delay(op string, d time.Duration) { b.shared.script.delay(op, d) }

// Calls returns how often the method op was called, failed calls included. For an unknown op,
// a misuse as for FailNext, it returns -1.
func (b *Backend) Calls(op string) int { return b.shared.script.count(op) }
