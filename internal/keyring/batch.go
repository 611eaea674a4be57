package keyring

import "context"

// A BatchStore is a Store that can change many records at once. Where a Store is one, an import is stored as a whole or not at all;
// elsewhere this holds for each key.
type BatchStore interface {
	Store
	// Batch runs change, and then stores what it has put, durably and at once: if the process stops, at whatever moment, all of it is
	// stored or nothing. An error of change is returned as it is, and then nothing is stored.
	Batch(ctx context.Context, change func(b Batch) error) error
}

// A Batch is a change of many records, while it is put together.
type Batch interface {
	// Generation returns a number greater than any earlier generation of the store.
	Generation() uint64
	// Get returns the record as it was before the batch, nil where there is none.
	Get(id string) ([]byte, error)
	// Put stores a record, once for each id.
	Put(id string, record []byte) error
}

// A ClockStore is a Store whose generations are never less than the clock in microseconds, so that those of two such
// stores tell which record is the later one.
type ClockStore interface {
	Store
	ClockGenerations()
}

// comparable reports whether the generations of the store mean something to another one.
func (r *Ring) comparable() bool {
	_, ok := r.store.(ClockStore)
	return ok
}
