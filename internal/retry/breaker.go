package retry

import (
	"fmt"
	"sync"
	"time"
)

// A Breaker refuses calls to something that has failed too often in a row, and lets one call through now and then to see
// whether it works again. It is safe for concurrent use.
type Breaker struct {
	failures int
	pause    time.Duration

	mu     sync.Mutex
	inRow  int
	last   error     // of the failures in a row
	probe  time.Time // while open: when the next call is let through
	opened uint64
}

// NewBreaker returns a closed Breaker that opens after so many failures in a row, and then lets one call in every pause through.
func NewBreaker(failures int, pause time.Duration) *Breaker {
	return &Breaker{failures: failures, pause: pause}
}

// Allow returns nil where a call may be made, whose outcome is then told to Succeeded or Failed, or to neither where it says
// nothing about the other side. Otherwise it returns an error with the text of the last failure, whose chain it leaves out, since that
// failure was another call's.
func (b *Breaker) Allow() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inRow < b.failures {
		return nil
	}
	now := time.Now()
	if now.Before(b.probe) {
		return fmt.Errorf("breaker is open after %d failures in a row, the last of them: %v", b.inRow, b.last)
	}
	// A probe may never report, so the next one does not wait for it.
	b.probe = now.Add(b.pause)
	return nil
}

// Succeeded closes the breaker.
func (b *Breaker) Succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inRow, b.last = 0, nil
}

// Failed counts a failure, and opens the breaker where it is one too many.
func (b *Breaker) Failed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inRow++
	b.last = err
	if b.inRow == b.failures {
		b.opened++
		b.probe = time.Now().Add(b.pause)
	}
}

// State returns whether the breaker is open now, and how often it has opened.
func (b *Breaker) State() (open bool, opened uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inRow >= b.failures, b.opened
}
