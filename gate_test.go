package kms

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAGateThatIsClosedLetsNobodyIn(t *testing.T) {
	var g gate
	p, ok := g.enter()
	require.True(t, ok)
	g.leave(p)
	require.True(t, g.close())
	_, ok = g.enter()
	require.False(t, ok)
	_, ok = g.join()
	require.False(t, ok, "nobody is inside whom it could belong to")
	require.False(t, g.close(), "it was closed before")
}

func TestAGateThatIsBeingClosedLetsInWhatBelongsToACallInside(t *testing.T) {
	var g gate
	first, ok := g.enter()
	require.True(t, ok)
	closed := make(chan bool)
	go func() { closed <- g.close() }()
	for { // until the gate is closed
		p, ok := g.enter()
		if !ok {
			break
		}
		g.leave(p)
	}
	second, ok := g.join()
	require.True(t, ok)
	g.leave(second)
	select {
	case <-closed:
		t.Fatal("closed while a call is inside")
	default:
	}
	g.leave(first)
	require.True(t, <-closed)
}

func TestAGateIsClosedOnlyWhenAllHaveLeft(t *testing.T) {
	for range 20 {
		var g gate
		var inside atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					p, ok := g.enter()
					if !ok {
						return
					}
					inside.Add(1)
					// What a call leaves behind may come later than the call goes.
					behind, ok := g.join()
					if !ok {
						t.Error("a call inside could not be joined")
					}
					g.leave(p)
					inside.Add(-1)
					g.leave(behind)
				}
			})
		}
		closed := make(chan int64)
		for range 2 {
			go func() {
				g.close()
				closed <- inside.Load()
			}()
		}
		require.Zero(t, <-closed)
		require.Zero(t, <-closed)
		_, ok := g.join()
		require.False(t, ok)
		wg.Wait()
	}
}
