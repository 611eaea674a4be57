package kms

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// clockTolerance is how far the wall clock may be from where the monotonic clock would have it. It is far below any window of
// deletion, and above what a clock is corrected by as a matter of course.
const clockTolerance = 5 * time.Minute

// A moment is one reading of both clocks.
type moment struct {
	wall time.Time // has no monotonic reading
	mono time.Time // compared with Sub and only with its like
}

// A sighting is a key that was past its date when a sweep looked.
type sighting struct {
	key   Key
	first moment
}

// A sweeper is what sweeps know of the time since the service was started.
type sweeper struct {
	wall func() time.Time // the wall clock; nil: that of time.Now
	turn turnstile        // one sweep at a time

	mu     sync.Mutex
	began  moment
	halted error
	seen   map[string]sighting
	last   SweepStatus
}

func (s *sweeper) now() moment {
	now := time.Now()
	if s.wall != nil {
		return moment{s.wall().Round(0), now}
	}
	return moment{now.Round(0), now}
}

// start begins to watch the clocks. What was seen before counts no more.
func (s *sweeper) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began, s.halted, s.seen = s.now(), nil, make(map[string]sighting)
}

// clocks reads the clocks, and halts all sweeps for good if they disagree about how long ago the service was started: nobody here can say
// which is right.
func (s *sweeper) clocks() (moment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	ahead := now.wall.Sub(s.began.wall) - now.mono.Sub(s.began.mono)
	if s.halted == nil && ahead.Abs() > clockTolerance {
		s.halted = fmt.Errorf("%w: the wall clock has moved by %v against the monotonic clock, and no key is removed until the service is started again",
			ErrUnavailable, ahead)
	}
	return now, s.halted
}

// sight notes which keys are past their date, forgets those that are not any more, and returns those that were seen for so long.
func (s *sweeper) sight(now moment, expired map[string]Key, seenFor time.Duration, report *SweepReport) map[string]Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.seen, func(id string, was sighting) bool { return !sameDeletion(expired[id], was.key) })
	due := make(map[string]Key)
	for _, key := range byDate(expired) {
		was, ok := s.seen[key.ID]
		if !ok {
			was = sighting{key, now}
			s.seen[key.ID] = was
		}
		if now.mono.Sub(was.first.mono) >= seenFor {
			due[key.ID] = key
		} else {
			report.Waiting = append(report.Waiting, key.ID)
		}
	}
	return due
}

func (s *sweeper) note(report SweepReport, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = SweepStatus{SweepReport: report, Err: err}
}

func (s *sweeper) status() SweepStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.last
	status.Halted = s.halted != nil
	return status
}

// sameDeletion reports whether both are the same key with the same date: one whose deletion was cancelled and scheduled again is another matter.
func sameDeletion(a, b Key) bool {
	return a.ID == b.ID && a.CreatedAt.Equal(b.CreatedAt) && a.DeletionDate.Equal(b.DeletionDate)
}

// byDate returns the keys, the one with the earliest date first.
func byDate(keys map[string]Key) []Key {
	return slices.SortedFunc(maps.Values(keys), func(a, b Key) int {
		return cmp.Or(a.DeletionDate.Compare(b.DeletionDate), cmp.Compare(a.ID, b.ID))
	})
}
