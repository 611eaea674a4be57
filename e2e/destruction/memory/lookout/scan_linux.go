package lookout

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Needle is a part of a secret in one of the forms in which a program may hold it.
type Needle struct {
	Of   string // which secret, and which form
	text []byte
}

// needlesOf returns what to look for: both halves of a secret, so that a copy of which a part was overwritten is found too, as they are, and as
// HMAC pads a key with them; and the base64 text.
func needlesOf(name string, secret []byte) []Needle {
	var all []Needle
	for form, pad := range map[string]byte{"": 0, " in an inner pad": 0x36, " in an outer pad": 0x5c} {
		padded := bytes.Clone(secret)
		for i := range padded {
			padded[i] ^= pad
		}
		half := len(padded) / 2
		all = append(all, Needle{name + form + ", first half", padded[:half]}, Needle{name + form + ", second half", padded[half:]})
	}
	return append(all, Needle{name + " in base64", []byte(base64.StdEncoding.EncodeToString(secret)[:40])})
}

// A mapping is a part of the address space of a process.
type mapping struct {
	start, end uint64
	name       string
	flags      []string // such as "lo" for locked, "dd" for not in core dumps
}

// sealed reports whether a mapping is one that is neither swapped out nor dumped: one of the arena's.
func (m mapping) sealed() bool {
	return slices.Contains(m.flags, "lo") && slices.Contains(m.flags, "dd")
}

// A Finding is a needle that was found.
type Finding struct {
	Needle  Needle
	address uint64
	mapping mapping
}

func (f Finding) String() string {
	return fmt.Sprintf("%s at %#x in %x-%x %s", f.Needle.Of, f.address, f.mapping.start, f.mapping.end, f.mapping.name)
}

// mappings reads what the process has mapped and may read.
func mappings(t *testing.T, pid int) (all []mapping) {
	t.Helper()
	smaps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	require.NoError(t, err)
	lines := bufio.NewScanner(bytes.NewReader(smaps))
	readable := false
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		if fields[0] == "VmFlags:" && readable {
			all[len(all)-1].flags = fields[1:]
		}
		var m mapping
		if n, _ := fmt.Sscanf(fields[0], "%x-%x", &m.start, &m.end); n != 2 || len(fields) < 5 {
			continue
		}
		if len(fields) > 5 {
			m.name = fields[5]
		}
		if readable = strings.HasPrefix(fields[1], "r") && m.name != "[vvar]" && m.name != "[vsyscall]"; readable {
			all = append(all, m)
		}
	}
	return all
}

// Scan stops the process, and looks for needles in all of its memory.
func Scan(t *testing.T, pid int, needles []Needle) (found []Finding) {
	t.Helper()
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	defer syscall.Kill(pid, syscall.SIGCONT)
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if errors.Is(err, os.ErrPermission) {
		t.Skip("the memory of a child cannot be read here: ", err)
	}
	require.NoError(t, err)
	defer memory.Close()
	search := newSearch(needles)
	for _, m := range mappings(t, pid) {
		require.NoError(t, search.run(memory, m, func(f Finding) { found = append(found, f) }), m.name)
	}
	require.Positive(t, search.bytes, "no memory was read")
	return found
}

// A search looks for many needles in one pass.
type search struct {
	starts map[uint64][]Needle
	may    [1 << 16]bool // by the first two bytes
	buffer []byte
	bytes  int64 // that were read
}

const headSize = 8 // of a needle

func newSearch(needles []Needle) *search {
	s := &search{starts: make(map[uint64][]Needle), buffer: make([]byte, 1<<20)}
	for _, n := range needles {
		head := binary.LittleEndian.Uint64(n.text)
		s.starts[head] = append(s.starts[head], n)
		s.may[uint16(head)] = true
	}
	return s
}

// run reads a mapping piece by piece. Pieces overlap, for needles that lie across their edges. A page that cannot be read, such as one behind
// the end of a mapped file, is passed over.
func (s *search) run(memory io.ReaderAt, m mapping, report func(Finding)) error {
	const overlap = 64
	page := uint64(os.Getpagesize())
	for at := m.start; at < m.end; {
		want := min(uint64(len(s.buffer)), m.end-at)
		n, err := memory.ReadAt(s.buffer[:want], int64(at))
		switch next := at + uint64(n); {
		case uint64(n) == want && next < m.end:
			s.look(m, at, n-overlap, n, report)
			at = next - overlap
		case uint64(n) == want || errors.Is(err, syscall.EIO):
			s.look(m, at, n, n, report)
			at = next/page*page + page
		default:
			return fmt.Errorf("%d bytes at %#x, want %d: %w", n, at, want, err)
		}
	}
	return nil
}

// look looks for needles that begin in the first bytes of a piece, which is n bytes that were read.
func (s *search) look(m mapping, at uint64, first, n int, report func(Finding)) {
	s.bytes += int64(first)
	piece := s.buffer[:n]
	end := min(first, n-headSize+1)
	for i := s.next(piece, 0, end); i < end; i = s.next(piece, i+1, end) {
		for _, n := range s.starts[binary.LittleEndian.Uint64(piece[i:])] {
			if bytes.HasPrefix(piece[i:], n.text) {
				report(Finding{n, at + uint64(i), m})
			}
		}
	}
}

// next returns the first place from i on where a needle may begin, or end. It goes over gigabytes, which the race detector would look at one
// byte at a time.
//
//go:norace
func (s *search) next(piece []byte, i, end int) int {
	for i < end && !s.may[uint16(piece[i])|uint16(piece[i+1])<<8] {
		i++
	}
	return i
}

// ScanFile looks for needles in a core dump.
func ScanFile(t *testing.T, path string, needles []Needle) (found []Finding) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	info, err := file.Stat()
	require.NoError(t, err)
	require.Greater(t, info.Size(), int64(1<<20), "a core dump of a Go program is larger")
	search := newSearch(needles)
	require.NoError(t, search.run(file, mapping{end: uint64(info.Size()), name: path}, func(f Finding) { found = append(found, f) }))
	require.Equal(t, info.Size(), search.bytes, "all of the dump was read")
	return found
}
