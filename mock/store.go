package mock

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/objectkms/kms"
)

// A store keeps sealed records in memory. It implements the keyring's Store, and is safe for
// concurrent use. Its calls are short and therefore look at ctx only when they begin.
type store struct {
	mu         sync.Mutex
	generation uint64
	records    map[string][]byte
}

func newStore() *store { return &store{records: make(map[string][]byte)} }

// Stamp answers the generation, which is stable since changes are made under the lock.
func (s *store) Stamp(ctx context.Context) (stamp uint64, stable bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation, true, ctx.Err()
}

func (s *store) Get(ctx context.Context, id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, ok := s.records[id]
	if !ok {
		return nil, fmt.Errorf("%w: %s", kms.ErrKeyNotFound, id)
	}
	return bytes.Clone(raw), ctx.Err()
}

func (s *store) List(ctx context.Context, after string, n int) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id := range maps.Keys(s.records) {
		if id > after {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids[:min(n, len(ids))], ctx.Err()
}

func (s *store) Mutate(ctx context.Context, id string, change func(old []byte, generation uint64) ([]byte, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	raw, err := change(bytes.Clone(s.records[id]), s.generation+1)
	if err != nil {
		return err
	}
	s.generation++
	if raw == nil {
		delete(s.records, id)
	} else {
		s.records[id] = raw
	}
	return nil
}

func (s *store) HealthCheck(ctx context.Context) error { return ctx.Err() }

// Close does nothing: the records outlive a backend.
func (s *store) Close() error { return nil }
