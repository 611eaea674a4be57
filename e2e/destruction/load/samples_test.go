package load_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A sample is what the process takes at a moment when nothing goes on.
type sample struct {
	heap        int // bytes that are alive, but for stored bodies
	resident    int // bytes; 0 where the system does not tell, and with the race detector
	goroutines  int
	descriptors int // 0 where the system does not tell
}

func (s sample) String() string {
	return fmt.Sprintf("heap %d KiB, resident %d KiB, %d goroutines, %d descriptors", s.heap>>10, s.resident>>10, s.goroutines, s.descriptors)
}

// takeSample measures, after goroutines that are about to end have ended: there should be no more than few.
func takeSample(stored, few int) sample {
	for end := time.Now().Add(20 * time.Millisecond); runtime.NumGoroutine() > few && time.Now().Before(end); {
		runtime.Gosched()
	}
	runtime.GC() // what pools hold is freed by the second one
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := sample{heap: int(m.HeapAlloc) - stored, goroutines: runtime.NumGoroutine()}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		s.descriptors = len(open)
	}
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil && !detectsRaces {
		if fields := bytes.Fields(statm); len(fields) > 1 {
			pages, _ := strconv.Atoi(string(fields[1]))
			s.resident = pages*os.Getpagesize() - stored
		}
	}
	return s
}

// A measure is one number of a sample, and how much more of it there may be at the end than before.
type measure struct {
	name        string
	of          func(sample) int
	more, share int // an absolute number, and one more for so many
}

var measures = []measure{
	{"heap in bytes", func(s sample) int { return s.heap }, 1 << 20, 10},
	{"resident memory in bytes", func(s sample) int { return s.resident }, 8 << 20, 8},
	{"goroutines", func(s sample) int { return s.goroutines }, 1, 1000},
	{"descriptors", func(s sample) int { return s.descriptors }, 1, 1000},
}

// checkFlat compares the last quarter of the samples with the second one: the first one is for caches and pools to fill.
func checkFlat(samples []sample) error {
	quarter := len(samples) / 4
	if quarter < 3 {
		return fmt.Errorf("%d samples, want 12 or more", len(samples))
	}
	for _, m := range measures {
		before, after := m.median(samples[quarter:2*quarter]), m.median(samples[len(samples)-quarter:])
		if limit := before + m.more + before/m.share; after > limit {
			return fmt.Errorf("%s: %d in the second quarter, %d in the last one, want %d at most", m.name, before, after, limit)
		}
	}
	return nil
}

func (m measure) median(samples []sample) int {
	var values []int
	for _, s := range samples {
		values = append(values, m.of(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func TestGrowthIsTold(t *testing.T) {
	grow := func(per sample) (samples []sample) {
		for i := range 40 {
			samples = append(samples, sample{
				heap: 10<<20 + i*per.heap, resident: 50<<20 + i*per.resident, goroutines: 10 + i*per.goroutines, descriptors: 10 + i*per.descriptors,
			})
		}
		return samples
	}
	require.NoError(t, checkFlat(grow(sample{})))
	require.NoError(t, checkFlat(grow(sample{heap: -100_000, resident: -100_000})))
	require.ErrorContains(t, checkFlat(grow(sample{heap: 200_000})), "heap")
	require.ErrorContains(t, checkFlat(grow(sample{resident: 1_000_000})), "resident memory")
	require.ErrorContains(t, checkFlat(grow(sample{goroutines: 1})), "goroutines")
	require.ErrorContains(t, checkFlat(grow(sample{descriptors: 1})), "descriptors")
	require.ErrorContains(t, checkFlat(grow(sample{})[:11]), "want 12")
}
