package lookout

import (
	"bytes"
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
		newSearch(needles[:0:0]).run(bytes.NewReader(memory), mapping{end: size}, func(f Finding) { found = append(found, f) })
		require.Empty(t, found)
		newSearch([]Needle{{"half", secret[:16]}}).run(bytes.NewReader(memory), mapping{end: size}, func(f Finding) { found = append(found, f) })
		require.Len(t, found, 1, off)
		require.EqualValues(t, off, found[0].address)
	}
}
