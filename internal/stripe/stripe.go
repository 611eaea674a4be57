// Package stripe spreads what many goroutines write over several cache lines, so that processors do not wait for one another.
package stripe

import (
	"sync"
	"sync/atomic"
)

// Count is the number of stripes.
const Count = 8

// A Picker picks stripes. Its zero value is ready for use.
type Picker struct {
	free sync.Pool // of *int; it mostly answers what was put back on the same processor
	made atomic.Uint32
}

// Pick returns the number of a stripe, below Count: mostly one that no other processor uses at this time. Only speed depends on it.
func (p *Picker) Pick() int {
	picked, ok := p.free.Get().(*int)
	if !ok {
		picked = p.make()
	}
	defer p.free.Put(picked)
	return *picked
}

func (p *Picker) make() *int {
	return new(int(p.made.Add(1) % Count))
}
