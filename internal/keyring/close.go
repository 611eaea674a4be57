package keyring

import (
	"context"
	"errors"

	"github.com/objectkms/kms"
)

// Close ends the calls that wait for the store, which answer ErrClosed, waits for all others, wipes the keys and
// closes the store. Later calls, also of Close, are ErrClosed.
func (r *Ring) Close() error {
	r.mu.Lock()
	closed := r.closed
	r.closed = true
	r.mu.Unlock()
	if closed {
		return kms.ErrClosed
	}
	r.endWaits()
	r.calls.Wait()
	r.keys.arena.Close()
	return r.store.Close()
}

// untilClosed runs a call of the store that may wait, with a context that Close ends too.
func (r *Ring) untilClosed(ctx context.Context, call func(ctx context.Context) error) error {
	either, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(r.closing, cancel)
	defer stop()
	err := call(either)
	if errors.Is(err, context.Canceled) && ctx.Err() == nil && r.closing.Err() != nil {
		return kms.ErrClosed
	}
	return err
}

// get, list and change are the calls of the store that may wait for another process.
func (r *Ring) get(ctx context.Context, id string) (raw []byte, err error) {
	err = r.untilClosed(ctx, func(ctx context.Context) error {
		raw, err = r.store.Get(ctx, id)
		return err
	})
	return raw, err
}

func (r *Ring) list(ctx context.Context, after string, n int) (ids []string, err error) {
	err = r.untilClosed(ctx, func(ctx context.Context) error {
		ids, err = r.store.List(ctx, after, n)
		return err
	})
	return ids, err
}

func (r *Ring) change(ctx context.Context, id string, change func(old []byte, generation uint64) ([]byte, error)) error {
	return r.untilClosed(ctx, func(ctx context.Context) error { return r.store.Mutate(ctx, id, change) })
}
