package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

const (
	// refresh is how old the view of a key may be that is used without asking Vault again: for so long another process's change
	// of a key may go unseen.
	refresh = 5 * time.Second

	// maxConflicts is how often a change begins again because others have changed the same key meanwhile.
	maxConflicts = 100

	// listWorkers is how many records are read at once for a list.
	listWorkers = 16
)

// A kvStore is the [keyring.Store] of engine KV2: one entry for each key, changed by compare-and-set alone.
//
// A record's generation is the KV version that it is written as. Vault counts versions, and metadata is never deleted here, so
// generations of an id rise for ever. A record read from another version was put there by somebody else.
type kvStore struct {
	kv     *kv
	stamps stamps
}

var _ keyring.Store = (*kvStore)(nil)

// A storedRecord is what an entry of a key holds: the sealed record, or that the key was deleted.
type storedRecord struct {
	Record  string `json:"record,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
	// Destroyed says that the former versions of a deleted key have been destroyed in Vault.
	Destroyed bool `json:"destroyed,omitempty"`
}

func keyName(id string) string { return "keys/" + id }

// Stamp costs no round trip: see stamps.
func (s *kvStore) Stamp(context.Context) (stamp uint64, stable bool, err error) {
	return s.stamps.current(), true, nil
}

// Get asks Vault.
func (s *kvStore) Get(ctx context.Context, id string) ([]byte, error) {
	stored, _, err := s.read(ctx, id)
	if err != nil {
		return nil, err
	}
	if stored.Record == "" {
		return nil, fmt.Errorf("%w: %s", kms.ErrKeyNotFound, id)
	}
	return []byte(stored.Record), nil
}

// read returns what is stored of a key, which is nothing where it was never made, and its KV version.
func (s *kvStore) read(ctx context.Context, id string) (storedRecord, uint64, error) {
	e, err := s.kv.read(ctx, keyName(id))
	if err != nil || e.version == 0 {
		return storedRecord{}, 0, err
	}
	if e.lost() {
		return storedRecord{}, 0, errLost(id, e.version)
	}
	stored, err := parseStored(e.data, e.version)
	if err != nil {
		return storedRecord{}, 0, fmt.Errorf("%w: record of %s: %.300s", kms.ErrKeyMaterial, id, err) // which may repeat all that was read
	}
	return stored, e.version, nil
}

// errLost is the error of a record that somebody has deleted in Vault.
func errLost(id string, version uint64) error {
	return fmt.Errorf("%w: version %d of the record of %s was deleted or destroyed in Vault", kms.ErrKeyMaterial, version, id)
}

// parseStored reads an entry, and compares the generation of a record with the version that it was read from.
func parseStored(data []byte, version uint64) (stored storedRecord, err error) {
	if err := decodeStrictly(data, &stored); err != nil {
		return storedRecord{}, err
	}
	if stored.Deleted != (stored.Record == "") || stored.Destroyed && !stored.Deleted {
		return storedRecord{}, errors.New("it is neither a record nor the mark of a deletion")
	}
	if stored.Deleted {
		return stored, nil
	}
	generation, err := keyring.RecordGeneration([]byte(stored.Record))
	if err != nil {
		return storedRecord{}, err
	}
	if generation != version {
		return storedRecord{}, fmt.Errorf("it has generation %d, but is version %d in Vault: an older record was put back", generation, version)
	}
	return stored, nil
}

// decodeStrictly decodes one JSON value that has no unknown fields.
func decodeStrictly(data []byte, out any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more follows the value")
	}
	return nil
}

// Mutate changes the record by compare-and-set, again and again until nobody else has changed it meanwhile.
func (s *kvStore) Mutate(ctx context.Context, id string, change func(old []byte, generation uint64) ([]byte, error)) error {
	// Also after an error: Vault may have done what it was asked.
	defer s.stamps.changed()
	return repeat(ctx, func() error { return s.mutateOnce(ctx, id, change) })
}

func (s *kvStore) mutateOnce(ctx context.Context, id string, change func(old []byte, generation uint64) ([]byte, error)) error {
	stored, version, err := s.read(ctx, id)
	if err != nil {
		return err
	}
	var old []byte
	if stored.Record != "" {
		old = []byte(stored.Record)
	}
	raw, err := change(old, version+1)
	if err != nil {
		return err
	}
	if !utf8.Valid(raw) {
		return errors.New("record is not text")
	}
	if err := s.prepare(ctx, id, stored, version); err != nil {
		return err
	}
	next := storedRecord{Record: string(raw), Deleted: raw == nil}
	if err := s.kv.write(ctx, keyName(id), version, next); err != nil {
		return err
	}
	if next.Deleted {
		return s.destroy(ctx, id, version+1)
	}
	// The change is made. A copy that fails here is made before the next change.
	_ = s.kv.write(ctx, historyName(id, version+1), 0, next)
	return nil
}

// repeat runs once until it meets no conflict, with a random wait between.
func repeat(ctx context.Context, once func() error) error {
	const firstWait, longestWait = 2 * time.Millisecond, 100 * time.Millisecond
	wait := firstWait
	for range maxConflicts {
		err := once()
		if !errors.Is(err, errConflict) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(wait)): // #nosec G404 -- a wait needs no secret number
		}
		wait = min(2*wait, longestWait)
	}
	return fmt.Errorf("%w: others changed the key %d times meanwhile", kms.ErrUnavailable, maxConflicts)
}

// HealthCheck is that of the client.
func (s *kvStore) HealthCheck(ctx context.Context) error { return s.kv.client.health(ctx) }

// Close ends the client's session.
func (s *kvStore) Close() error {
	s.kv.client.close()
	return nil
}

// stamps are the stamps of a store that does not see the changes of others: a new one begins with every change of its own, and when the
// current one is as old as refresh. What was read under a stamp is used until then. The zero value is ready.
type stamps struct {
	mu    sync.Mutex
	stamp uint64
	since time.Time
}

func (s *stamps) current() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.since) >= refresh {
		s.stamp, s.since = s.stamp+1, now
	}
	return s.stamp
}

func (s *stamps) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stamp, s.since = s.stamp+1, time.Now()
}
