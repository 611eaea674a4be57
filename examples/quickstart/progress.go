package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// progress passes reads through, draws a bar on terminals, and stops when the context ends.
type progress struct {
	io.Reader
	ctx   context.Context
	out   console
	size  int64
	done  int64
	start time.Time
	drawn time.Time
}

// watch begins to measure the reading of size bytes.
func watch(ctx context.Context, r io.Reader, size int64, out console) *progress {
	return &progress{Reader: r, ctx: ctx, out: out, size: size, start: time.Now()}
}

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.Reader.Read(b)
	p.done += int64(n)
	if p.out.terminal && time.Since(p.drawn) > 50*time.Millisecond {
		p.draw()
	}
	return n, err
}

// draw shows how far the reading is, over what was drawn before.
func (p *progress) draw() {
	const width = 40
	filled := width
	if p.size > 0 {
		filled = int(min(p.done, p.size) * width / p.size)
	}
	fmt.Fprintf(p.out.out, "\r   [%s%s] %s", strings.Repeat("#", filled), strings.Repeat(".", width-filled), bytesText(p.done))
	p.drawn = time.Now()
}

// finish removes the bar and returns the speed as text.
func (p *progress) finish() string {
	if p.out.terminal {
		fmt.Fprintf(p.out.out, "\r%s\r", strings.Repeat(" ", 70))
	}
	seconds := max(time.Since(p.start).Seconds(), 1e-9)
	return fmt.Sprintf("%.0f MB/s", float64(p.done)/1e6/seconds)
}

// bytesText writes a size for people.
func bytesText(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
