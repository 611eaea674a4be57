package kms

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAGateThatIsClosedLetsNobodyIn(t *testing.T) {
	var g gate
	require.True(t, g.enter())
	g.leave()
	require.True(t, g.close())
	require.False(t, g.enter())
	require.False(t, g.join(), "nobody is inside whom it could belong to")
	require.False(t, g.close(), "it was closed before")
}

func TestAGateThatIsBeingClosedLetsInWhatBelongsToACallInside(t *testing.T) {
	var g gate
	require.True(t, g.enter())
	closed := make(chan bool)
	go func() { closed <- g.close() }()
	for g.enter() { // until the gate is closed
		g.leave()
	}
	require.True(t, g.join())
	g.leave()
	select {
	case <-closed:
		t.Fatal("closed while a call is inside")
	default:
	}
	g.leave()
	require.True(t, <-closed)
}
