package cobblestone

import (
	"cmp"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// process is what all messages of a process share, and the one variable of this package: its cores, and buffers that
// were used before.
var process shared

// shared counts the goroutines that ciphers keep busy, so that they are no more than there are cores, and keeps buffers. Buffers
// are wiped before they are kept. The zero value is ready for use.
type shared struct {
	cores  int64         // 0: GOMAXPROCS
	slow   time.Duration // 0: slowStretch
	busy   atomic.Int64
	chunks sync.Pool // of *chunkBuffer
	slabs  sync.Pool // of *slab
}

func (s *shared) limit() int64 {
	if s.cores > 0 {
		return s.cores
	}
	return int64(runtime.GOMAXPROCS(0))
}

// isSlow reports whether a stretch that took so long waited for something other than the cipher.
func (s *shared) isSlow(took time.Duration) bool {
	return took >= cmp.Or(s.slow, slowStretch)
}

// hire takes up to n idle cores for workers, and returns how many.
func (s *shared) hire(n int) int {
	limit := s.limit()
	for {
		busy := s.busy.Load()
		got := min(int64(n), limit-busy)
		if got <= 0 {
			return 0
		}
		if s.busy.CompareAndSwap(busy, busy+got) {
			return int(got)
		}
	}
}

// chunkBuffer has room for a chunk, sealed or not, and for a header before it.
type chunkBuffer struct {
	bytes [HeaderSize + storedChunkSize]byte
	used  int // from the start on
}

// use says that the first n bytes are used.
func (b *chunkBuffer) use(n int) { b.used = max(b.used, n) }

func (s *shared) takeChunk() *chunkBuffer {
	if b, ok := s.chunks.Get().(*chunkBuffer); ok {
		return b
	}
	return new(chunkBuffer)
}

func (s *shared) giveChunk(b *chunkBuffer) {
	clear(b.bytes[:b.used])
	b.used = 0
	s.chunks.Put(b)
}

// free gives back a buffer, if there is one.
func (s *shared) free(b **chunkBuffer) {
	if *b != nil {
		s.giveChunk(*b)
		*b = nil
	}
}

func (s *shared) takeSlab() *slab {
	b, ok := s.slabs.Get().(*slab)
	if !ok {
		b = new(slab)
	}
	b.done = make(chan struct{}, 1) // the old one may have been written to
	return b
}

// giveSlab takes back a slab that nobody works on.
func (s *shared) giveSlab(b *slab) {
	clear(b.bytes[:])
	b.cipher, b.in, b.out, b.err = chunkCipher{}, nil, nil, nil
	s.slabs.Put(b)
}
