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
		got, _ := s.lease()
		leased <- got
	}()
	for range 100 {
		runtime.Gosched()
	}
	s.serving.Store(next)
	got := <-leased
	require.Same(t, next, got)
	got.leases.leave()

	s.serving.Store(nil)
	s.state = ServiceStopped
	_, err := s.lease()
	require.ErrorIs(t, err, ErrNotRunning)
}
