package main

import (
	"fmt"
	"time"
)

// The two directions.
const (
	encrypting = "encrypt"
	decrypting = "decrypt"
)

// bodies measures whole bodies on one core: every cipher, both directions, in turn.
func (b *bench) bodies() error {
	for _, size := range b.sizes {
		figures, err := b.rigFor(size).run(b.bodyTrials(size, 1, ciphers()))
		if err != nil {
			return err
		}
		t := table{
			title:  fmt.Sprintf("Bodies of %s, one core", sizeName(size)),
			header: []string{"", "encrypt", "to raw", "allocations", "bytes", "decrypt", "to raw", "allocations", "bytes"},
		}
		for _, c := range ciphers() {
			row := []string{c.name}
			for _, direction := range []string{encrypting, decrypting} {
				f, reference := figures[c.name+direction], figures[nameRaw+direction]
				row = append(row, costName(f.cpu, size), ratio(reference.cpu, f.cpu), count(f.allocs), count(f.bytes))
				b.results.bodies = append(b.results.bodies, bodyResult{c.name, direction, size, f})
			}
			t.rows = append(t.rows, row)
		}
		b.print(t)
	}
	return b.hotCipher()
}

// hotCipher measures what the cipher alone does, with one buffer that never leaves the cache.
func (b *bench) hotCipher() error {
	aead, buf, nonce := newGCM(), make([]byte, rawPiece+16), make([]byte, 12)
	figures, err := b.rig.run([]trial{{name: "hot", cores: 1, do: func() error {
		aead.Seal(buf[:0], nonce, buf[:rawPiece], nil)
		return nil
	}}})
	if err != nil {
		return err
	}
	b.results.hot = speed(figures["hot"].cpu, rawPiece)
	b.print(table{
		title:  "AES-256-GCM alone: the same 64 KiB sealed again and again, nothing read or written",
		header: []string{"", "speed"},
		rows:   [][]string{{"one core", costName(figures["hot"].cpu, rawPiece)}},
	})
	return nil
}

// bodyTrials returns the trials of both directions. A message too large to be kept for each cipher is made anew before each sample.
func (b *bench) bodyTrials(size int64, cores int, list []cipher) []trial {
	plain := b.plain[:size]
	var trials []trial
	for _, c := range list {
		s, src, out, message := c.new(), &source{}, &sink{}, &memory{}
		if size > keptSize {
			message = b.large
		}
		make := func() error {
			message.b = message.b[:0]
			src.rest = plain
			return s.encrypt(message, src)
		}
		ready := make
		if size <= keptSize {
			ready = func() error {
				if message.b != nil {
					return nil
				}
				return make()
			}
		}
		trials = append(trials,
			trial{name: c.name + encrypting, cores: cores, do: func() error {
				src.rest = plain
				return s.encrypt(out, src)
			}},
			trial{name: c.name + decrypting, cores: cores, ready: ready, do: func() error {
				src.rest, out.n = message.b, 0
				if err := s.decrypt(out, src); err != nil {
					return err
				}
				return expectBytes(size, out.n)
			}})
	}
	return trials
}

// keptSize is the size up to which a message is kept for each cipher.
const keptSize = 64 << 20

func expectBytes(want, got int64) error {
	if want != got {
		return fmt.Errorf("got %d bytes, want %d", got, want)
	}
	return nil
}

// ranges measures a read of one byte and of a MiB out of a large body.
func (b *bench) ranges() error {
	size := b.sizes[len(b.sizes)-1]
	for _, n := range []int64{1, min(1<<20, size/4)} {
		t := table{
			title:  fmt.Sprintf("Range of %s out of %s, one core", sizeName(n), sizeName(size)),
			header: []string{"", "CPU time", "allocations", "bytes read", "reads"},
		}
		for _, c := range ciphers() {
			row, err := b.rangeRow(c, size, n)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			t.rows = append(t.rows, row)
		}
		b.print(t)
	}
	return nil
}

// rangeRow measures one cipher. What comes last of all is not the plain end of a body: the byte is one out of the middle.
func (b *bench) rangeRow(c cipher, size, n int64) ([]string, error) {
	s := c.new()
	r, ok := s.(ranger)
	if !ok {
		return []string{c.name, "–", "–", "–", "–"}, nil
	}
	b.large.b = b.large.b[:0]
	if err := s.encrypt(b.large, &source{b.plain[:size]}); err != nil {
		return nil, err
	}
	p, message, off := make([]byte, n), &account{b: b.large.b}, size/2-size/7
	read := func() error { return r.readRange(message, int64(len(message.b)), off, p) }
	if err := read(); err != nil {
		return nil, err
	}
	if p[0] != b.plain[off] || p[n-1] != b.plain[off+n-1] {
		return nil, fmt.Errorf("wrong bytes in the range")
	}
	calls, bytes := message.calls, message.bytes
	figures, err := b.rig.run([]trial{{name: "range", cores: 1, do: read}})
	if err != nil {
		return nil, err
	}
	f := figures["range"]
	return []string{c.name, micros(f.cpu), count(f.allocs), fmt.Sprint(bytes), fmt.Sprint(calls)}, nil
}

// A bodyResult is what a plot needs.
type bodyResult struct {
	cipher, direction string
	size              int64
	figure            figure
}

// speed returns GB a second.
func speed(d time.Duration, size int64) float64 { return float64(size) / float64(max(d, 1)) }
