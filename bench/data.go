package main

import (
	"io"
	"math/rand/v2"
)

// A source reads from memory. It has no WriteTo, as the body of a request has none.
type source struct{ rest []byte }

func (s *source) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// An endless source repeats a MiB until it has given n bytes.
type endless struct {
	block []byte
	n     int64
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), e.n)], e.block[e.at:])
	e.at = (e.at + n) % len(e.block)
	e.n -= int64(n)
	return n, nil
}

// A sink counts what is written, and forgets it. It has no ReadFrom.
type sink struct{ n int64 }

func (s *sink) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	return len(p), nil
}

// A memory keeps what is written, in memory that is there already.
type memory struct{ b []byte }

func (m *memory) Write(p []byte) (int, error) {
	m.b = append(m.b, p...)
	return len(p), nil
}

// An account reads from memory at any offset, and counts calls and bytes.
type account struct {
	b            []byte
	calls, bytes int64
}

func (a *account) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(a.b)) {
		return 0, io.EOF
	}
	n := copy(p, a.b[off:])
	a.calls++
	a.bytes += int64(n)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// random returns n bytes that are the same in each run.
func random(n int64) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// A gate is a writer that waits, after it took some bytes, until it is opened.
type gate struct {
	left    int
	arrived func() // nil once it was called
	open    <-chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	if g.left -= len(p); g.left < 0 && g.arrived != nil {
		g.arrived()
		g.arrived = nil
		<-g.open
	}
	return len(p), nil
}
