// Command bench measures this library beside its peers, in one run on one machine: bodies, ranges, many bodies at once, and keys. It
// prints tables, and writes them and plots of them below docs. docs/BENCHMARKS.md says what is measured, and how.
//
//	go run -C bench .                   everything, some minutes
//	go run -C bench . -only 'keys|long' some sections only, with their plots
//	go run -C bench . -short -out ''    a look at everything, without files
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"
)

func main() {
	var c config
	flag.BoolVar(&c.short, "short", false, "measure briefly, and with little data")
	flag.StringVar(&c.out, "out", "../docs/benchmarks", "where to write the tables and plots; empty for nowhere")
	flag.StringVar(&c.only, "only", "", "a regular expression for the names of sections: "+strings.Join(sectionNames(), ", "))
	flag.IntVar(&c.rounds, "rounds", 7, "how many samples each median is of")
	flag.StringVar(&c.profile, "cpuprofile", "", "where to write a CPU profile of the run")
	flag.Parse()
	if err := run(c, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type config struct {
	short     bool
	out, only string
	rounds    int
	profile   string
}

// A section is a part of the run.
type section struct {
	name string
	run  func(*bench) error
}

func sections() []section {
	return []section{
		{"bodies", (*bench).bodies},
		{"ranges", (*bench).ranges},
		{"cores", (*bench).cores},
		{"streams", (*bench).streams},
		{"long", (*bench).long},
		{"keys", (*bench).keys},
		{"directory", (*bench).directory},
		{"objects", (*bench).objects},
	}
}

func sectionNames() (names []string) {
	for _, s := range sections() {
		names = append(names, s.name)
	}
	return names
}

// bench is one run.
type bench struct {
	config
	rig      rig
	sizes    []int64
	counts   []int // of bodies at once
	longSize int64
	manyKeys int
	plain    []byte  // as long as the longest of sizes
	large    *memory // with room for a message of that
	output   io.Writer
	results  results
}

// results is what is plotted.
type results struct {
	bodies []bodyResult
	hot    float64
	cores  []coresResult
	memory []memoryResult
	keys   []keyResult
}

func run(c config, stdout io.Writer) error {
	only, err := regexp.Compile(c.only)
	if err != nil {
		return err
	}
	stop, err := startProfile(c.profile)
	if err != nil {
		return err
	}
	defer stop()
	var document bytes.Buffer
	b := newBench(c, io.MultiWriter(stdout, &document))
	b.head()
	for _, s := range sections() {
		if only.MatchString(s.name) {
			if err := s.run(b); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	if c.out == "" {
		return nil
	}
	if err := b.plots(); err != nil || c.only != "" {
		return err // some tables do not take the place of all
	}
	return os.WriteFile(filepath.Join(c.out, "RESULTS.md"), document.Bytes(), 0o644)
}

func newBench(c config, output io.Writer) *bench {
	b := &bench{
		config:   c,
		rig:      rig{rounds: c.rounds, sample: 100 * time.Millisecond},
		sizes:    []int64{1 << 10, 64 << 10, 1 << 20, 64 << 20, 1 << 30},
		counts:   []int{1, 10, 100, 1000},
		longSize: 100 << 30,
		manyKeys: 100_000,
		output:   output,
	}
	if c.short {
		b.rig = rig{rounds: 1, sample: time.Millisecond}
		b.sizes = []int64{1 << 10, 64 << 10, 4 << 20, 8 << 20}
		b.counts = []int{1, 10}
	}
	longest := b.sizes[len(b.sizes)-1]
	b.plain = random(longest)
	b.large = &memory{make([]byte, 0, longest+longest/50+1<<20)}
	return b
}

// scale makes a number smaller for a short run.
func (b *bench) scale(n int64) int64 {
	if b.short {
		return n / 1000
	}
	return n
}

// rigFor measures long bodies less often.
func (b *bench) rigFor(size int64) rig {
	r := b.rig
	if size > keptSize {
		r.rounds = (r.rounds + 1) / 2
	}
	return r
}

func (b *bench) head() {
	fmt.Fprintf(b.output, "# Results\n\nWritten by `go run -C bench .`, with %s on %s/%s, %d cores%s. [BENCHMARKS.md](../BENCHMARKS.md) says what is measured.\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), processor())
}

// processor returns the name of the processor, where the system tells it.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	name := regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`).FindSubmatch(info)
	if name == nil {
		return ""
	}
	return " of " + string(name[1])
}

func (b *bench) print(t table) { t.write(b.output) }

func startProfile(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}, nil
}
