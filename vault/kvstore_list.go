package vault

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/objectkms/kms"
)

// List returns the ids of keys. Vault lists those of deleted keys too, for ever, so each record is looked at. One that cannot be read
// for what it holds is listed.
func (s *kvStore) List(ctx context.Context, after string, n int) ([]string, error) {
	ids, err := s.ids(ctx)
	if err != nil {
		return nil, err
	}
	ids = ids[firstAfter(ids, after):]
	var found []string
	for len(ids) > 0 && len(found) < n {
		page := ids[:min(len(ids), max(n-len(found), listWorkers))]
		ids = ids[len(page):]
		stands, err := s.standing(ctx, page)
		if err != nil {
			return nil, err
		}
		for i, id := range page {
			if stands[i] {
				found = append(found, id)
			}
		}
	}
	return found[:min(len(found), n)], nil
}

// standing says of each id whether a key stands under it.
func (s *kvStore) standing(ctx context.Context, ids []string) ([]bool, error) {
	stands := make([]bool, len(ids))
	return stands, inParallel(len(ids), func(i int) error {
		_, err := s.Get(ctx, ids[i])
		stands[i] = err == nil || errors.Is(err, kms.ErrKeyMaterial)
		if stands[i] || errors.Is(err, kms.ErrKeyNotFound) {
			return nil
		}
		return err
	})
}

// ids returns all ids that records were ever stored under, sorted.
func (s *kvStore) ids(ctx context.Context) ([]string, error) { return s.kv.ids(ctx) }

// ids returns the ids among the names of the records. What others have put beside them is passed over.
func (k *kv) ids(ctx context.Context) ([]string, error) {
	names, err := k.list(ctx, "keys")
	return slices.DeleteFunc(names, isNoID), err
}

func isNoID(name string) bool { return kms.ValidateKeyID(name) != nil }

// firstAfter returns the index of the first of the sorted ids that is greater than after.
func firstAfter(ids []string, after string) int {
	i, found := slices.BinarySearch(ids, after)
	if found {
		i++
	}
	return i
}

// inParallel runs do for 0 to n-1, a few at a time, and returns the first error, after which no more are begun.
func inParallel(n int, do func(i int) error) error {
	var (
		mu    sync.Mutex
		next  int
		first error
		wg    sync.WaitGroup
	)
	take := func() (i int, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= n && first == nil
	}
	for range min(n, listWorkers) {
		wg.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				if err := do(i); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}
