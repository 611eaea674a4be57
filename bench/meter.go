package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A sample is what some operations cost, together.
type sample struct {
	ops    int
	cpu    time.Duration // of the whole process, its garbage collector included
	wall   time.Duration
	allocs uint64
	bytes  uint64 // allocated
}

// cpuTime returns the time that all threads of the process have had a core.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs f on as many cores. The garbage of what ran before is collected first.
func measure(cores, ops int, f func() error) (sample, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, cpu := time.Now(), cpuTime()
	for range ops {
		if err := f(); err != nil {
			return sample{}, err
		}
	}
	s := sample{ops: ops, cpu: cpuTime() - cpu, wall: time.Since(start)}
	runtime.ReadMemStats(&after)
	s.allocs, s.bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	return s, nil
}

// A trial is one of several things that are measured in turn.
type trial struct {
	name  string
	cores int
	do    func() error
	ready func() error // if set, is called before each sample and not measured
}

// A figure is the median of the samples of a trial, for one operation.
type figure struct {
	cpu, wall     time.Duration
	allocs, bytes float64
}

// A rig says how long is measured.
type rig struct {
	rounds int
	sample time.Duration // at least, for each sample
}

// run measures the trials in turn, round after round, and returns a figure for each.
func (g rig) run(trials []trial) (map[string]figure, error) {
	ops := make([]int, len(trials))
	samples := make([][]sample, len(trials))
	for round := range g.rounds + 1 {
		for i, t := range trials {
			if t.ready != nil {
				if err := t.ready(); err != nil {
					return nil, fmt.Errorf("%s: %w", t.name, err)
				}
			}
			s, err := atDepth(round, func() (sample, error) { return t.measure(max(ops[i], 1)) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.name, err)
			}
			if round == 0 {
				ops[i] = g.opsFor(s, t.do)
				continue
			}
			samples[i] = append(samples[i], s)
		}
	}
	figures := make(map[string]figure)
	for i, t := range trials {
		figures[t.name] = figureOf(samples[i])
	}
	return figures, nil
}

// atDepth calls f with the stack some hundred bytes deeper for each n. The AES-GCM of Go was a tenth slower at 2 of 64 depths, perhaps since
// its counters on the stack then have the same last 12 bits of their address as the tables of the key, which was not proven. With another
// place in each round, no cipher has bad luck in all of them.
//
//go:noinline
func atDepth(n int, f func() (sample, error)) (sample, error) {
	var room [456]byte
	defer runtime.KeepAlive(&room)
	if n == 0 {
		return f()
	}
	return atDepth(n-1, f)
}

// measure measures a sample. In a CPU profile it bears the name of the trial.
func (t trial) measure(ops int) (s sample, err error) {
	pprof.Do(context.Background(), pprof.Labels("trial", t.name), func(context.Context) {
		s, err = measure(t.cores, ops, t.do)
	})
	return s, err
}

// opsFor returns how many operations make a sample long enough. It warms them up.
func (g rig) opsFor(first sample, do func() error) int {
	ops, took := 1, first.wall
	for took < g.sample/10 && ops < 1<<20 {
		ops *= 2
		start := time.Now()
		for range ops {
			if do() != nil {
				return 1 // will be reported by the next sample
			}
		}
		took = time.Since(start)
	}
	return max(1, int(int64(ops)*int64(g.sample)/max(int64(took), 1)))
}

func figureOf(samples []sample) figure {
	return figure{
		cpu:    time.Duration(median(samples, func(s sample) float64 { return float64(s.cpu) / float64(s.ops) })),
		wall:   time.Duration(median(samples, func(s sample) float64 { return float64(s.wall) / float64(s.ops) })),
		allocs: median(samples, func(s sample) float64 { return float64(s.allocs) / float64(s.ops) }),
		bytes:  median(samples, func(s sample) float64 { return float64(s.bytes) / float64(s.ops) }),
	}
}

func median(samples []sample, of func(sample) float64) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, of(s))
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// together runs n copies of f at the same time, and returns the first error.
func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
