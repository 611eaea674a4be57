package secret_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/secret"
)

// flagsOf returns what the kernel says of the pages that b lies in, such as "lo" for locked and "dd" for not in core dumps.
func flagsOf(t *testing.T, b []byte) (flags []string) {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	require.NoError(t, err)
	at, within := uint64(uintptr(unsafe.Pointer(&b[0]))), false
	for line := range strings.Lines(string(smaps)) {
		var start, end uint64
		if n, _ := fmt.Sscanf(line, "%x-%x ", &start, &end); n == 2 {
			within = start <= at && at < end
		}
		if text, ok := strings.CutPrefix(line, "VmFlags:"); ok && within {
			return strings.Fields(text)
		}
	}
	t.Skip("the kernel does not tell the flags of pages")
	return nil
}

func TestALockedArenaIsNeitherSwappedNorDumped(t *testing.T) {
	flags := flagsOf(t, secret.Memory(newArena(t, 1, secret.Locked)))
	require.Contains(t, flags, "lo")
	require.Contains(t, flags, "dd")
	plain := flagsOf(t, secret.Memory(newArena(t, 1, secret.Plain)))
	require.False(t, slices.Contains(plain, "lo") || slices.Contains(plain, "dd"), plain)
}
