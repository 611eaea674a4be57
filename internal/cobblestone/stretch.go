package cobblestone

import "time"

const (
	// stretchChunks is how many chunks of a message, a MiB, are made before it is asked whether a crew should make the next ones.
	stretchChunks = 64

	// slowStretch is how long a stretch of a message takes that waits for its reader or writer, more than for any cipher: 64 MiB a second.
	slowStretch = 16 * time.Millisecond
)

// A stretch is a MiB of a message on its way to a writer. A message counts as busy while its stretches are not slow.
type stretch struct {
	shared *shared
	chunks int
	start  time.Time
	busy   bool
}

// leave is called when the message has come to its end, or its writer has.
func (s *stretch) leave() { s.count(false) }

// crew returns a crew if a stretch has ended that was not slow, and there are idle cores.
func (s *stretch) crew(p producer) *crew {
	switch s.chunks {
	case 1: // a body of one chunk does not look at the clock
		s.start = time.Now()
	case stretchChunks:
		if s.next() {
			return newCrew(s.shared, p)
		}
	}
	return nil
}

// goesOn counts chunks that a crew was given, and reports whether the crew should go on: not if its message has become slow, and not if
// there are more busy messages and workers than cores.
func (s *stretch) goesOn(chunks int) bool {
	s.chunks += chunks
	if s.chunks < stretchChunks {
		return true
	}
	return s.next() && s.shared.busy.Load() <= s.shared.limit()
}

// next begins a stretch, and reports whether the one before was not slow.
func (s *stretch) next() bool {
	now := time.Now()
	busy := !s.shared.isSlow(now.Sub(s.start))
	s.start, s.chunks = now, 0
	s.count(busy)
	return busy
}

// count counts the message as busy, or not.
func (s *stretch) count(busy bool) {
	if busy == s.busy {
		return
	}
	s.busy = busy
	if busy {
		s.shared.busy.Add(1)
	} else {
		s.shared.busy.Add(-1)
	}
}
