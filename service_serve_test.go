package kms

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// Between the look at the pointer and the lease a Manager may be replaced.
func TestALeaseThatComesTooLateIsOneOfTheNextManager(t *testing.T) {
	var s ServiceManager
	old, next := &served{}, &served{}
	old.leases.close()
	s.serving.Store(old)
	leased := make(chan *served)
	go func() {
		got, p, _ := s.lease()
		got.leases.leave(p)
		leased <- got
	}()
	for range 100 {
		runtime.Gosched()
	}
	s.serving.Store(next)
	got := <-leased
	require.Same(t, next, got)

	s.serving.Store(nil)
	s.state = ServiceStopped
	_, _, err := s.lease()
	require.ErrorIs(t, err, ErrNotRunning)
}

// The number of a service that does not run is above those of all generations so far, and below those of the next.
func TestKeysMadeDoesNotFallWhereAServiceIsStartedMeanwhile(t *testing.T) {
	var s ServiceManager
	made := make(chan uint64)
	s.mu.Lock()
	go func() { made <- s.KeysMade() }()
	for range 100 {
		runtime.Gosched()
	}
	s.generation++
	s.serving.Store(&served{Manager: new(Manager), generation: s.generation})
	s.mu.Unlock()
	require.LessOrEqual(t, <-made, s.KeysMade())
}
