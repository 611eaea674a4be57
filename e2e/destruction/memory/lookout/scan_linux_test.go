package lookout

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASearchFindsWhatLiesAnywhere(t *testing.T) {
	secret := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 4)
	needles := needlesOf("secret", secret)
	const size = 3 << 20
	for _, off := range []int{0, 1, 1<<20 - 65, 1<<20 - 64, 1<<20 - 20, 1<<20 - 8, 1 << 20, size - 16} {
		memory := make([]byte, size)
		copy(memory[off:], secret[:16])
		var found []Finding
		report := func(f Finding) { found = append(found, f) }
		require.NoError(t, newSearch(needles[:0:0]).run(bytes.NewReader(memory), mapping{end: size}, report))
		require.Empty(t, found)
		search := newSearch([]Needle{{"half", secret[:16]}})
		require.NoError(t, search.run(bytes.NewReader(memory), mapping{end: size}, report))
		require.EqualValues(t, size, search.bytes)
		require.Len(t, found, 1, off)
		require.EqualValues(t, off, found[0].address)
	}
}

// holes is memory of which some pages fail.
type holes struct {
	memory []byte
	pages  map[int]error
}

func (h holes) ReadAt(p []byte, off int64) (int, error) {
	page := os.Getpagesize()
	for n := 0; n < len(p); {
		at := int(off) + n
		if err := h.pages[at/page]; err != nil {
			return n, err
		}
		n += copy(p[n:min(len(p), n+page-at%page)], h.memory[at:])
	}
	return len(p), nil
}

func TestASearchPassesOverPagesThatCannotBeRead(t *testing.T) {
	page, secret := os.Getpagesize(), bytes.Repeat([]byte("a secret"), 2)
	size := 2<<20 + 3*page
	last := size/page - 1
	places := []int{page - 16, 3 * page, 5*page - 16, 1<<20 + page, size - page - 16}
	memory := make([]byte, size)
	for _, off := range places {
		copy(memory[off:], secret)
	}
	unreadable := fmt.Errorf("read: %w", syscall.EIO)
	h := holes{memory, map[int]error{1: unreadable, 2: unreadable, 5: unreadable, 1 << 20 / page: unreadable, last: unreadable}}
	var found []int
	search := newSearch([]Needle{{"secret", secret}})
	run := func() error {
		return search.run(h, mapping{end: uint64(size)}, func(f Finding) { found = append(found, int(f.address)) })
	}
	require.NoError(t, run())
	require.Equal(t, places, found)
	require.EqualValues(t, size-5*page, search.bytes, "what was not read does not count")

	for i := range size / page {
		h.pages[i] = unreadable
	}
	found, search.bytes = nil, 0
	require.NoError(t, run())
	require.Empty(t, found)
	require.Zero(t, search.bytes)

	for _, other := range []error{io.EOF, syscall.EPERM, syscall.ESRCH} {
		h.pages = map[int]error{7: other}
		require.ErrorIs(t, run(), other)
	}
}
