package main

import (
	"bytes"
	"os"
	"strconv"
	"sync"
)

// gates closes all when n writers have arrived at theirs.
type gates struct {
	mu  sync.Mutex
	n   int
	all chan struct{}
}

func (g *gates) arrive() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n--; g.n == 0 {
		close(g.all)
	}
}

type peak bool

const (
	resetPeak peak = true
	keepPeak  peak = false
)

// peakMemory returns the largest resident memory of the process in bytes since it was reset. Only Linux tells.
func peakMemory(p peak) (int64, bool) {
	if p == resetPeak {
		if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
			return 0, false
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(status) {
		if kib, found := bytes.CutPrefix(line, []byte("VmHWM:")); found {
			n, err := strconv.ParseInt(string(bytes.Fields(kib)[0]), 10, 64)
			return n << 10, err == nil
		}
	}
	return 0, false
}
