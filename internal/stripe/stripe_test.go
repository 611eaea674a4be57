package stripe_test

import (
	"sync"
	"testing"
	"unsafe"

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

func TestNoStripeSharesACacheLine(t *testing.T) {
	var s struct {
		before  int32
		stripes stripe.Stripes[int32]
		behind  int32
	}
	places := []*int32{&s.before}
	for n := range stripe.Count {
		places = append(places, s.stripes.At(n))
	}
	places = append(places, &s.behind)
	for i, place := range places[1:] {
		between := uintptr(unsafe.Pointer(place)) - uintptr(unsafe.Pointer(places[i])) - unsafe.Sizeof(*place)
		require.GreaterOrEqual(t, between, uintptr(stripe.CacheLine), "in front of place %d of %d", i+1, len(places))
	}
}
