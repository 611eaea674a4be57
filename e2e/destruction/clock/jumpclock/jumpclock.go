// Package jumpclock is a wall clock that can be set, beside a monotonic clock that goes on as if nothing had happened: what a machine has whose
// clock is set while a program runs.
//
// The tests compile the library with it in the place of the clock of package time.
package jumpclock

import (
	"sync/atomic"
	"time"
	"unsafe"
)

var ahead atomic.Int64 // of the wall clock, in nanoseconds

// Set sets the wall clock to what it really is and d more.
func Set(d time.Duration) { ahead.Store(int64(d)) }

// base has both readings.
var base = time.Now()

// Now is time.Now, with the wall clock as it was set. In a bubble of synctest, where times have no monotonic reading, these have one all the same, of the
// bubble's clock.
func Now() time.Time {
	now := time.Now()
	wall := now.Round(0)
	jumped := base.Add(wall.Add(time.Duration(ahead.Load())).Sub(base.Round(0))) // moves both readings
	in(&jumped).ext = in(&now).ext
	if in(&now).wall>>63 == 0 {
		in(&jumped).ext = wall.UnixNano()
	}
	return jumped
}

// Since is time.Since by this clock.
func Since(t time.Time) time.Duration { return Now().Sub(t) }

// Until is time.Until by this clock.
func Until(t time.Time) time.Duration { return t.Sub(Now()) }

// readings is how package time keeps a time that has both readings, as the first bit says: ext is the monotonic one. Nothing else can take the two apart.
type readings struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

func in(t *time.Time) *readings { return (*readings)(unsafe.Pointer(t)) }
