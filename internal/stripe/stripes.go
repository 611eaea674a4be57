package stripe

// CacheLine is a size that keeps what is written on one side of it from what is used on the other.
const CacheLine = 64

// Stripes are Count values. None shares a cache line with another, nor with what stands before or behind all of them.
type Stripes[T any] struct {
	values [Count]apart[T]
	_      [CacheLine]byte
}

type apart[T any] struct {
	_     [CacheLine]byte
	value T
}

// At returns the value of a stripe. It panics where n is not below Count.
func (s *Stripes[T]) At(n int) *T { return &s.values[n].value }
