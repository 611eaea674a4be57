package kms

import (
	"sync"
	"sync/atomic"

	"github.com/objectkms/kms/internal/stripe"
)

// A gate counts the calls in flight, so that Close can refuse new ones and wait for the rest. Calls on different processors count in
// different places, and wait for nobody while the gate is open.
type gate struct {
	picker stripe.Picker
	inside stripe.Stripes[atomic.Int64]
	closed atomic.Bool

	mu    sync.Mutex    // of what happens once the gate is closed
	empty chan struct{} // made by close; closed when the last call has left
	ended bool          // empty is closed
}

// A pass is what a call leaves with.
type pass struct{ stripe int }

// enter lets a call in, unless the gate is closed.
func (g *gate) enter() (p pass, ok bool) {
	p = pass{g.picker.Pick()}
	g.inside.At(p.stripe).Add(1)
	// Whoever counted before the gate was closed is waited for.
	if g.closed.Load() {
		g.leave(p)
		return p, false
	}
	return p, true
}

// join lets in what a call that is inside has started and may leave behind, also while the gate
// is being closed.
func (g *gate) join() (p pass, ok bool) {
	if p, ok = g.enter(); ok {
		return p, true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return p, false
	}
	g.inside.At(p.stripe).Add(1)
	return p, true
}

func (g *gate) leave(p pass) {
	g.inside.At(p.stripe).Add(-1)
	if g.closed.Load() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.end()
	}
}

// isEmpty reports whether nobody is inside a closed gate. Under the lock nobody can come in while it counts.
func (g *gate) isEmpty() bool {
	for i := range stripe.Count {
		if g.inside.At(i).Load() != 0 {
			return false
		}
	}
	return true
}

// end ends the wait for calls if there are no more, under the lock.
func (g *gate) end() {
	if !g.ended && g.isEmpty() {
		g.ended = true
		close(g.empty)
	}
}

// close refuses new calls and waits until the last one has left. It reports whether this call was
// the first to close the gate.
func (g *gate) close() bool {
	g.mu.Lock()
	first := !g.closed.Swap(true)
	if first {
		g.empty = make(chan struct{})
		g.end()
	}
	g.mu.Unlock()
	<-g.empty
	return first
}
