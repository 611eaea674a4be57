package stripe_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/stripe"
)

func TestPicksAreBelowCount(t *testing.T) {
	var p stripe.Picker
	var wg sync.WaitGroup
	for range 4 * stripe.Count {
		wg.Go(func() {
			for range 100 {
				if n := p.Pick(); n < 0 || n >= stripe.Count {
					t.Errorf("picked %d, want 0 to %d", n, stripe.Count-1)
				}
			}
		})
	}
	wg.Wait()
}

func TestProcessorsAreGivenDifferentStripes(t *testing.T) {
	var p stripe.Picker
	seen := make(map[int]int)
	for range 2 * stripe.Count {
		seen[p.New()]++
	}
	require.Len(t, seen, stripe.Count)
	for n, times := range seen {
		require.Equal(t, 2, times, "stripe %d", n)
	}
}

func BenchmarkPick(b *testing.B) {
	var p stripe.Picker
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p.Pick()
		}
	})
}
