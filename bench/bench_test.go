package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestShortRun(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	require.NoError(t, run(config{short: true, out: dir}, &out))
	document, err := os.ReadFile(filepath.Join(dir, "RESULTS.md"))
	require.NoError(t, err)
	require.Equal(t, out.String(), string(document))
	for _, c := range ciphers() {
		require.Contains(t, out.String(), "| "+c.name)
	}
	for _, plot := range []string{"bodies", "small", "cores", "memory", "keys"} {
		for _, format := range []string{".svg", ".png"} {
			require.FileExists(t, filepath.Join(dir, plot+format))
		}
	}
}

func TestOnlySomeSections(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(config{short: true, only: "objects"}, &out))
	require.Contains(t, out.String(), "PUT, bucket key")
	require.NotContains(t, out.String(), "Bodies")
	require.Error(t, run(config{short: true, only: "("}, &out))

	dir := t.TempDir()
	require.NoError(t, run(config{short: true, only: "keys", out: dir}, &out))
	require.FileExists(t, filepath.Join(dir, "keys.svg"))
	require.NoFileExists(t, filepath.Join(dir, "RESULTS.md"))
}

func TestEveryCipherOpensWhatItMade(t *testing.T) {
	for _, size := range []int{1, 1000, 64 << 10, 300_000} {
		plain := random(int64(size))
		for _, c := range ciphers() {
			t.Run(c.name, func(t *testing.T) {
				s := c.new()
				var message, opened memory
				require.NoError(t, s.encrypt(&message, &source{plain}))
				require.NoError(t, s.decrypt(&opened, &source{message.b}))
				require.True(t, bytes.Equal(plain, opened.b))

				message.b[len(message.b)/2] ^= 1
				require.Error(t, s.decrypt(io.Discard, &source{message.b}))
			})
		}
	}
}

func TestSources(t *testing.T) {
	b := random(3000)
	require.NoError(t, iotest.TestReader(&source{b}, b))
	block := bytes.Repeat([]byte("0123456789"), 10)
	require.NoError(t, iotest.TestReader(&endless{block: block, n: 250}, bytes.Repeat(block, 3)[:250]))
}

func TestMedians(t *testing.T) {
	f := figureOf([]sample{{ops: 2, cpu: 20, wall: 60, allocs: 4}, {ops: 1, cpu: 1, wall: 1, allocs: 100}, {ops: 1, cpu: 900, wall: 50, allocs: 3}})
	require.Equal(t, figure{cpu: 10, wall: 30, allocs: 3}, f)
	f = figureOf([]sample{{ops: 1, cpu: 10}, {ops: 1, cpu: 20}})
	require.Equal(t, time.Duration(15), f.cpu)
}

func TestErrorsEndARun(t *testing.T) {
	for _, fails := range []trial{
		{name: "x", cores: 1, do: func() error { return io.ErrClosedPipe }},
		{name: "x", cores: 1, ready: func() error { return io.ErrClosedPipe }},
	} {
		_, err := rig{rounds: 2}.run([]trial{fails})
		require.ErrorIs(t, err, io.ErrClosedPipe)
	}
	require.ErrorIs(t, together(3, func(i int) error { return []error{nil, io.ErrClosedPipe, nil}[i] }), io.ErrClosedPipe)
}

func TestNames(t *testing.T) {
	for n, want := range map[int64]string{1: "1 byte", 7: "7 bytes", 1 << 10: "1 KiB", 64 << 20: "64 MiB", 100 << 30: "100 GiB", 3 << 19: "1.5 MiB"} {
		require.Equal(t, want, sizeName(n))
	}
	for n, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		require.Equal(t, want, thousands(n))
	}
	require.Equal(t, "2.50 µs", costName(2500, 1<<10))
	require.Equal(t, "1.00 GB/s", costName(1<<20, 1<<20))
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	table{title: "T", header: []string{"", "µ"}, rows: [][]string{{"name", "1"}, {"x", "20"}}}.write(&out)
	require.Equal(t, "## T\n\n|      |  µ |\n| ---- | -: |\n| name |  1 |\n| x    | 20 |\n\n", out.String())
}
