package cobblestone_test

import (
	"bytes"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMemory bounds what one message costs: its allocations and, together, their bytes.
func TestMemory(t *testing.T) {
	tests := []struct {
		name   string
		size   int
		allocs float64
		bytes  uint64
	}{
		{"short body", 1024, 5, 2 << 10},
		{"long body", 63 * chunk, 5, 2 << 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plain := make([]byte, tt.size)
			message := mustSeal(t, plain)
			source := bytes.NewReader(nil)
			encrypt := func() {
				source.Reset(plain)
				_, err := io.Copy(io.Discard, newEncryptReader(t, source))
				require.NoError(t, err)
			}
			decrypt := func() {
				source.Reset(message)
				_, err := io.Copy(io.Discard, newDecryptReader(t, source))
				require.NoError(t, err)
			}
			for _, f := range []func(){encrypt, decrypt} {
				require.LessOrEqual(t, testing.AllocsPerRun(20, f), tt.allocs)
				require.LessOrEqual(t, allocatedBytes(f), tt.bytes)
			}
		})
	}
}

// TestMemoryOfACrew holds that slabs are used again, by this body and by the next one, and that a body that ends where a crew would begin has
// no workers.
func TestMemoryOfACrew(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector has pools lose some of what is put into them")
	}
	for size, most := range map[int]uint64{stretch: 1900, 4 * stretch: 16 << 10} {
		plain := make([]byte, size)
		message := mustSeal(t, plain)
		m := newMachine(3)
		for _, r := range []func() stream{
			func() stream { return newEncryptReader(t, bytes.NewReader(plain)) },
			func() stream { return newDecryptReader(t, bytes.NewReader(message)) },
		} {
			require.LessOrEqual(t, allocatedBytes(func() {
				r := r()
				r.On(m)
				_, err := r.WriteTo(io.Discard)
				require.NoError(t, err)
			}), most)
		}
	}
}

// allocatedBytes returns how many bytes f allocates when it finds the buffers that it used before.
func allocatedBytes(f func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 50 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}
