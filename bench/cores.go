package main

import (
	"fmt"
	"io"

	"github.com/objectkms/kms/internal/cobblestone"
)

// cores measures how long one body takes on one core and on two. It needs two that nobody else uses.
func (b *bench) cores() error {
	size := b.sizes[len(b.sizes)-2]
	t := table{
		title:  fmt.Sprintf("Time for one body of %s, on one core and on two", sizeName(size)),
		header: []string{"", "encrypt, one", "two", "faster", "more CPU", "decrypt, one", "two", "faster", "more CPU"},
	}
	list := []cipher{find(nameRaw), find(nameOurs), find("minio/sio")}
	var trials []trial
	for cores := 1; cores <= 2; cores++ {
		for _, trial := range b.bodyTrials(size, cores, list) {
			trial.name += fmt.Sprint(cores)
			trials = append(trials, trial)
		}
	}
	figures, err := b.rig.run(trials)
	if err != nil {
		return err
	}
	for _, c := range list {
		row := []string{c.name}
		for _, direction := range []string{encrypting, decrypting} {
			one, two := figures[c.name+direction+"1"], figures[c.name+direction+"2"]
			row = append(row, costName(one.wall, size), costName(two.wall, size), ratio(one.wall, two.wall), ratio(two.cpu, one.cpu))
			b.results.cores = append(b.results.cores, coresResult{c.name, direction, speed(one.wall, size), speed(two.wall, size)})
		}
		t.rows = append(t.rows, row)
	}
	b.print(t)
	return b.busyMachine(size)
}

type coresResult struct {
	cipher, direction string
	one, two          float64
}

// busyMachine measures several bodies at once on two cores: through WriteTo, which asks for idle cores, and through Read, which never does.
func (b *bench) busyMachine(size int64) error {
	t := table{
		title:  fmt.Sprintf("Bodies of %s at once, two cores, time for all of them", sizeName(size)),
		header: []string{"bodies", "Read, no workers", "WriteTo, workers on idle cores", "faster"},
	}
	key, context := key(), []byte("bench")
	const pieces = 128 << 10
	for _, n := range []int{1, 2, 3, 4, 8} {
		bodies := func(write func(*cobblestone.EncryptReader) error) func() error {
			return func() error {
				return together(n, func(int) error {
					r, err := cobblestone.NewEncryptReader(key, context, &source{b.plain[:size]})
					if err != nil {
						return err
					}
					return write(r)
				})
			}
		}
		figures, err := b.rig.run([]trial{
			{name: "read", cores: 2, do: bodies(func(r *cobblestone.EncryptReader) error {
				_, err := io.CopyBuffer(&sink{}, struct{ io.Reader }{r}, make([]byte, pieces))
				return err
			})},
			{name: "writeTo", cores: 2, do: bodies(func(r *cobblestone.EncryptReader) error {
				_, err := r.WriteTo(&sink{})
				return err
			})},
		})
		if err != nil {
			return err
		}
		read, writeTo := figures["read"].wall, figures["writeTo"].wall
		t.rows = append(t.rows, []string{fmt.Sprint(n), costName(read, size*int64(n)), costName(writeTo, size*int64(n)), ratio(read, writeTo)})
	}
	b.print(t)
	return nil
}
