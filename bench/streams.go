package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/objectkms/kms/internal/cobblestone"
)

// streams measures many bodies at once, and how much memory each keeps while its writer is blocked.
func (b *bench) streams() error {
	const total = 256 << 20
	t := table{
		title:  fmt.Sprintf("Bodies at once, %s in all, two cores, CPU time", sizeName(b.scale(total))),
		header: b.streamHeader(),
	}
	for _, c := range ciphers() {
		row := []string{c.name}
		for _, n := range b.counts {
			size := b.scale(total) / int64(n)
			list := make([]stream, n)
			for i := range list {
				list[i] = c.new()
			}
			figures, err := b.rig.run([]trial{{name: "all", cores: 2, do: func() error {
				return together(n, func(i int) error { return list[i].encrypt(&sink{}, &source{b.plain[:size]}) })
			}}})
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			row = append(row, costName(figures["all"].cpu, size*int64(n)))
		}
		t.rows = append(t.rows, row)
	}
	b.print(t)
	return b.memory()
}

// memory measures the memory of bodies whose writers take nothing more, after 128 KiB and after 4 MiB.
func (b *bench) memory() error {
	for _, after := range []int{128 << 10, 4 << 20} {
		t := table{
			title:  fmt.Sprintf("Memory of one of many bodies, heap and stack, blocked after %s", sizeName(int64(after))),
			header: b.streamHeader(),
		}
		for _, c := range ciphers() {
			row := []string{c.name}
			for _, n := range b.counts {
				each := b.blockedMemory(c, n, after)
				row = append(row, fmt.Sprintf("%.1f KiB", each/1024))
				if n == b.counts[len(b.counts)-1] && after == 128<<10 {
					b.results.memory = append(b.results.memory, memoryResult{c.name, each / 1024})
				}
			}
			t.rows = append(t.rows, row)
		}
		b.print(t)
	}
	return nil
}

func (b *bench) streamHeader() []string {
	header := []string{""}
	for _, n := range b.counts {
		header = append(header, count(float64(n)))
	}
	return header
}

type memoryResult struct {
	cipher string
	kib    float64
}

// blockedMemory returns the bytes that each of n bodies holds. Buffers that the loops around ciphers bring along are not counted.
func (b *bench) blockedMemory(c cipher, n, after int) float64 {
	block := b.plain[:1<<20]
	list := make([]stream, n)
	for i := range list {
		list[i] = c.new()
	}
	before := inUse()
	open, done := make(chan struct{}), make(chan error)
	ready := &gates{n: n, all: make(chan struct{})}
	for i := range n {
		go func() {
			done <- list[i].encrypt(&gate{left: after, arrived: ready.arrive, open: open}, &endless{block: block, n: int64(after) + 4<<20})
		}()
	}
	<-ready.all
	used := inUse() - before
	close(open)
	for range n {
		<-done
	}
	runtime.KeepAlive(list)
	return float64(max(used, 0)) / float64(n)
}

// inUse returns the bytes of heap and stack that are in use after a garbage collection.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // what a pool has kept is gone after the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// long measures how much the resident memory of the process grows while a very long body is encrypted and decrypted again.
func (b *bench) long() error {
	size := b.scale(b.longSize)
	debug.FreeOSMemory() // memory that earlier sections left would be used again, and not be seen
	before, ok := peakMemory(resetPeak)
	if !ok {
		return nil
	}
	pipeRead, pipeWrite := io.Pipe()
	key, context := key(), []byte("bench")
	encrypted, err := cobblestone.NewEncryptReader(key, context, &endless{block: slices.Clone(b.plain[:1<<20]), n: size})
	if err != nil {
		return err
	}
	start := time.Now()
	out := &sink{}
	err = together(2, func(i int) error {
		if i == 0 {
			_, err := encrypted.WriteTo(pipeWrite)
			pipeWrite.CloseWithError(err)
			return err
		}
		decrypted, err := cobblestone.NewDecryptReader(key, context, pipeRead)
		if err == nil {
			_, err = decrypted.WriteTo(out)
		}
		pipeRead.CloseWithError(err)
		return err
	})
	if err != nil {
		return err
	}
	if err := expectBytes(size, out.n); err != nil {
		return err
	}
	after, _ := peakMemory(keepPeak)
	b.print(table{
		title:  "A body of " + sizeName(size) + ", encrypted and decrypted at once",
		header: []string{"", ""},
		rows: [][]string{
			{"peak of resident memory above that before", fmt.Sprintf("%.1f MiB", float64(after-before)/(1<<20))},
			{"time", time.Since(start).Round(time.Millisecond).String()},
		},
	})
	return nil
}
