package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// A table is printed in Markdown, which is readable as it is.
type table struct {
	title  string
	header []string
	rows   [][]string
}

func (t table) write(w io.Writer) {
	widths := make([]int, len(t.header))
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	fmt.Fprintf(w, "## %s\n\n", t.title)
	writeRow(w, t.header, widths)
	rule := []string{strings.Repeat("-", widths[0])}
	for _, width := range widths[1:] {
		rule = append(rule, strings.Repeat("-", max(width-1, 1))+":")
	}
	writeRow(w, rule, widths)
	for _, row := range t.rows {
		writeRow(w, row, widths)
	}
	fmt.Fprintln(w)
}

// writeRow writes the first cell to the left and all others to the right.
func writeRow(w io.Writer, row []string, widths []int) {
	for i, cell := range row {
		space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i == 0 {
			cell += space
		} else {
			cell = space + cell
		}
		fmt.Fprintf(w, "| %s ", cell)
	}
	fmt.Fprintln(w, "|")
}

func sizeName(n int64) string {
	for i, unit := range []string{"GiB", "MiB", "KiB"} {
		if size := int64(1) << (30 - 10*i); n >= size {
			return fmt.Sprintf("%g %s", math.Round(float64(n)/float64(size)*100)/100, unit)
		}
	}
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

// costName says what a body costs: short ones in time, long ones in speed.
func costName(d time.Duration, size int64) string {
	if size < 64<<10 {
		return micros(d)
	}
	return fmt.Sprintf("%.2f GB/s", speed(d, size))
}

func micros(d time.Duration) string { return fmt.Sprintf("%.2f µs", float64(d)/1e3) }

// ratio returns a/b.
func ratio(a, b time.Duration) string { return fmt.Sprintf("%.2f", float64(a)/max(float64(b), 1)) }

func count(n float64) string { return thousands(math.Round(n)) }

// thousands returns a whole number in groups of three digits.
func thousands(n float64) string {
	s := fmt.Sprintf("%.0f", n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
