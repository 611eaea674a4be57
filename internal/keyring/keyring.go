// Package keyring keeps versioned master keys in a store and wraps data keys with them.
//
// A store holds one sealed record for each key: the record's fields, the material of every
// version sealed under the root key, and a seal over the record's exact bytes. Nothing of a record is believed before its
// seal is opened. Whatever else a store does with the records, such as hiding them from others, is no part of their safety,
// except that a record that was replaced must not be put back: within one process that is seen, by generation.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/secret"
)

// A Store keeps the sealed record of each key by its id. It is safe for concurrent use. It is linearizable: what Get and List
// answer is at least as new as all that had ended before they were called.
type Store interface {
	// Stamp returns a number that differs from every earlier one once any record has changed. A Ring uses what it has read under a stamp as
	// long as that stands. A Store that would have to ask another machine may see the changes of other processes late instead, by a time
	// that it documents; its own it sees at once.
	// stable is false while a change is under way: then nothing that is read may be remembered.
	Stamp(ctx context.Context) (stamp uint64, stable bool, err error)
	// Get returns the stored record, which the receiver may keep, or ErrKeyNotFound. A record that
	// the store can tell to be damaged is ErrKeyMaterial, and beside ErrPermission where it is refused for its owner or mode. One that is
	// there and cannot be read is ErrUnreadable.
	Get(ctx context.Context, id string) ([]byte, error)
	// List returns the sorted ids greater than after: the first n of them, or all where there are fewer.
	List(ctx context.Context, after string, n int) ([]string, error)
	// Mutate runs change with the stored record (nil: none) and a generation greater than any
	// earlier one of the id. What change returns is stored, durably, before Mutate returns; nil deletes
	// the record. An error of change is returned as it is and changes nothing. A compare-and-set store may call
	// change again. The id of a deleted record keeps its count.
	Mutate(ctx context.Context, id string, change func(old []byte, generation uint64) ([]byte, error)) error
	// HealthCheck returns nil if the store can work now.
	HealthCheck(ctx context.Context) error
	// Close releases the store. It is called once, after all other calls have ended.
	Close() error
}

// ErrUnreadable is of one record, beside ErrUnavailable: it is there, and the medium does not give it back, at least now. It may be a good
// one: it hides no other record, and nothing takes its place.
var ErrUnreadable = errors.New("record cannot be read")

// Root is the key that seals the records, with its version, which is 1 or more.
type Root struct {
	Version uint32
	Key     []byte // 32 uniformly random bytes
}

// Options are the optional settings of a Ring. The zero value is right for most.
type Options struct {
	// Memory says where opened keys live.
	Memory secret.Policy
	// Slots bounds how many keys are kept open, the root key included. 0 means 512.
	Slots int
	// Records bounds how many records are kept decoded. One of more than 4 KiB counts as several, so that all of them
	// take about 4 KiB for each of these at most. 0 means 4,096.
	Records int
}

const (
	defaultSlots   = 512
	defaultRecords = 4096
)

// A Ring is a set of master keys in one store. It implements [kms.Backend] and every optional
// interface of a backend, and is safe for concurrent use.
type Ring struct {
	store       Store
	rootVersion uint32
	keys        openKeys
	records     *lru[string, cachedRecord]
	seen        Generations

	closing  context.Context // ends with Close, for calls that wait for the store
	endWaits context.CancelFunc
	calls    sync.WaitGroup
	mu       sync.RWMutex
	closed   bool
}

var (
	_ kms.Backend           = (*Ring)(nil)
	_ kms.KeyStateChanger   = (*Ring)(nil)
	_ kms.KeyRotator        = (*Ring)(nil)
	_ kms.KeyImporter       = (*Ring)(nil)
	_ kms.KeyUpdater        = (*Ring)(nil)
	_ kms.DataKeyRewrapper  = (*Ring)(nil)
	_ kms.ExpiredKeyRemover = (*Ring)(nil)
	_ kms.KeyBundler        = (*Ring)(nil)
)

// Open returns the Ring over a store. The root key is copied, and the caller wipes its own. The
// Ring takes the store over and closes it, but not where Open fails. Errors wrap ErrInvalidConfig, or are those of the
// memory that the keys are kept in.
func Open(store Store, root Root, opts Options) (*Ring, error) {
	if opts.Slots == 0 {
		opts.Slots = defaultSlots
	}
	if opts.Records == 0 {
		opts.Records = defaultRecords
	}
	switch {
	case store == nil:
		return nil, fmt.Errorf("%w: no store", kms.ErrInvalidConfig)
	case root.Version == 0:
		return nil, fmt.Errorf("%w: root version is 0, want 1 or more", kms.ErrInvalidConfig)
	case len(root.Key) != cobblestone.KeySize:
		return nil, fmt.Errorf("%w: root key has %d bytes, want %d", kms.ErrInvalidConfig, len(root.Key), cobblestone.KeySize)
	case allZero(root.Key):
		return nil, fmt.Errorf("%w: root key is all zero", kms.ErrInvalidConfig)
	case opts.Slots < 1:
		return nil, fmt.Errorf("%w: %d slots, want 1 or more", kms.ErrInvalidConfig, opts.Slots)
	case opts.Records < 1:
		return nil, fmt.Errorf("%w: %d records, want 1 or more", kms.ErrInvalidConfig, opts.Records)
	}
	r := &Ring{store: store, rootVersion: root.Version, records: newLRU[string, cachedRecord](opts.Records)}
	if err := r.keys.open(root.Key, opts); err != nil {
		return nil, err
	}
	r.closing, r.endWaits = context.WithCancel(context.Background())
	r.closing.Done() // is made here, and so belongs to the bubble of synctest that the Ring does
	return r, nil
}

// HealthCheck answers nil when the store can work now.
func (r *Ring) HealthCheck(ctx context.Context) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.calls.Done()
	return r.untilClosed(ctx, r.store.HealthCheck)
}

// enter begins a call. Where it returns nil, r.calls.Done ends the call.
func (r *Ring) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return kms.ErrClosed
	}
	r.calls.Add(1)
	return nil
}

// begin is enter for a call with a request, which it validates.
func (r *Ring) begin(ctx context.Context, req interface{ Validate() error }) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	if err := req.Validate(); err != nil {
		r.calls.Done()
		return err
	}
	return nil
}
