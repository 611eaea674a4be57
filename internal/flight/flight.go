// Package flight makes concurrent callers of one load share it.
package flight

import (
	"context"
	"errors"
	"sync"
)

// Group shares loads among those who call Do for the same key at the same time. The zero value is ready. A
// Group is safe for concurrent use and must not be copied.
type Group[K comparable, V any] struct {
	// Release, if not nil, is called once with every value that was loaded, after the last caller
	// has used it. It is set before the first call of Do.
	Release func(V)

	mu    sync.Mutex
	loads map[K]*load[V]
}

// A load is one call of a load function. What stands below done is written before done is closed.
type load[V any] struct {
	cancel context.CancelFunc
	users  int  // callers that wait for it or use its value; guarded by the Group's mutex
	ended  bool // guarded by the Group's mutex

	done     chan struct{}
	value    V
	err      error
	panicked any
}

// errExited is the error of a load that called runtime.Goexit.
var errExited = errors.New("load ended its goroutine")

// Do answers with the value of k: it calls load, or waits for a call for the same k that is under
// way, and then calls use with the value. shared says that somebody else had called load.
//
// load runs in a goroutine of its own, with the values of the first caller's ctx; its context ends when all callers
// have left. A caller whose ctx ends leaves at once, with ctx.Err(); with a ctx that has ended nothing is loaded.
// An error of load goes to all callers. A panic in load is repeated in each of them; where nobody waits any more
// it ends the process, as in any other goroutine.
func (g *Group[K, V]) Do(ctx context.Context, k K, loadValue func(context.Context) (V, error), use func(V)) (shared bool, err error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	l, shared := g.join(ctx, k, loadValue)
	defer g.leave(k, l)
	select {
	case <-l.done:
	case <-ctx.Done():
		return shared, ctx.Err()
	}
	if l.panicked != nil {
		panic(l.panicked)
	}
	if l.err == nil {
		use(l.value)
	}
	return shared, l.err
}

// join returns the load of k that is under way, or begins one.
func (g *Group[K, V]) join(ctx context.Context, k K, loadValue func(context.Context) (V, error)) (l *load[V], shared bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l, ok := g.loads[k]; ok {
		l.users++
		return l, true
	}
	if g.loads == nil {
		g.loads = make(map[K]*load[V])
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // #nosec G118 -- run and leave call it
	l = &load[V]{cancel: cancel, users: 1, done: make(chan struct{})}
	g.loads[k] = l
	go g.run(ctx, k, l, loadValue)
	return l, false
}

func (g *Group[K, V]) run(ctx context.Context, k K, l *load[V], loadValue func(context.Context) (V, error)) {
	defer l.cancel()
	defer g.end(k, l)
	defer func() { l.panicked = recover() }()
	l.err = errExited
	l.value, l.err = loadValue(ctx)
}

func (g *Group[K, V]) end(k K, l *load[V]) {
	g.mu.Lock()
	g.forget(k, l)
	l.ended = true
	abandoned := l.users == 0
	g.mu.Unlock()
	close(l.done)
	if abandoned {
		g.settle(l)
	}
}

// leave ends one caller's interest in a load. The last one to leave cancels a load that still runs, so that
// nobody joins it any more, or releases the value.
func (g *Group[K, V]) leave(k K, l *load[V]) {
	g.mu.Lock()
	l.users--
	last, ended := l.users == 0, l.ended
	if last && !ended {
		g.forget(k, l)
		l.cancel()
	}
	g.mu.Unlock()
	if last && ended {
		g.settle(l)
	}
}

// forget makes the next caller of k begin a load of its own.
func (g *Group[K, V]) forget(k K, l *load[V]) {
	if g.loads[k] == l {
		delete(g.loads, k)
	}
}

// settle releases the value of a load that is over and that nobody uses any more. It repeats a panic, lest all callers
// have left without it; a caller who has repeated it himself panics on with the same value.
func (g *Group[K, V]) settle(l *load[V]) {
	if l.panicked != nil {
		panic(l.panicked)
	}
	if l.err == nil && g.Release != nil {
		g.Release(l.value)
	}
}
