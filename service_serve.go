package kms

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// A served is a Manager that was published, with the calls that a ServiceManager has given it. It is closed only when they have ended, and
// so none of them is refused by it.
type served struct {
	*Manager
	generation uint64
	leases     gate
	gone       chan struct{} // closed when the Manager is
	err        error         // of closing it; read when gone is closed
}

// lease returns the Manager that runs, which stays open until its leases gate is left with the pass.
func (s *ServiceManager) lease() (*served, pass, error) {
	for {
		current := s.serving.Load()
		if current == nil {
			return nil, pass{}, s.refusal()
		}
		if p, ok := current.leases.enter(); ok {
			return current, p, nil
		}
		// It was replaced, which is done before its gate is closed: there is another one, or none.
	}
}

// publish puts a Manager in the place of the one that runs, which is nil for none, and sees the old one out. It is called in turn.
func (s *ServiceManager) publish(m *Manager, cfg Config) {
	keeper := placeOf(cfg.Backend)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	s.cfg, s.keeper = &cfg, keeper
	s.replace(&served{Manager: m, generation: s.generation, gone: make(chan struct{})})
	s.enter(ServiceRunning, nil)
}

// replace is called under the lock.
func (s *ServiceManager) replace(next *served) {
	old := s.serving.Swap(next)
	if old == nil {
		return
	}
	s.leaving = append(s.leaving, old)
	go s.seeOut(old)
}

// seeOut closes a Manager that was replaced, when its last call has ended.
func (s *ServiceManager) seeOut(old *served) {
	old.leases.close()
	if old.err = old.Close(); old.err != nil {
		old.opts.Logger.Warn("kms: closing what was replaced", "backend", old.backendType, "generation", old.generation, "error", old.err)
	}
	s.mu.Lock()
	s.leaving = slices.DeleteFunc(s.leaving, func(other *served) bool { return other == old })
	s.mu.Unlock()
	close(old.gone)
}

// awaitClosed waits until Managers that were replaced are closed, and returns their errors.
func awaitClosed(ctx context.Context, leaving []*served) error {
	var errs []error
	for _, old := range leaving {
		select {
		case <-old.gone:
			errs = append(errs, old.err)
		case <-ctx.Done():
			return errors.Join(append(errs, ctx.Err())...)
		}
	}
	return errors.Join(errs...)
}

// enter notes a state and the error of the change that led to it. It is called under the lock.
func (s *ServiceManager) enter(state ServiceState, err error) {
	s.state, s.since, s.err = state, time.Now(), err
}

// A turnstile lets one call at a time through, and obeys the context of those who wait. Who need not wait goes through in any case: a Stop
// comes when contexts end.
type turnstile struct {
	once sync.Once
	busy chan struct{}
}

func (t *turnstile) enter(ctx context.Context) error {
	t.once.Do(func() { t.busy = make(chan struct{}, 1) })
	select {
	case t.busy <- struct{}{}:
		return nil
	default:
	}
	select {
	case t.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *turnstile) leave() { <-t.busy }
