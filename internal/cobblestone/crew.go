package cobblestone

import "sync"

// maxWorkers is how many workers one message has at most: what its own goroutine can read and write for.
const maxWorkers = 3

// slabsPerGoroutine is how many slabs there are for each goroutine that works on them. They bridge the time that a worker needs to wake up.
const slabsPerGoroutine = 4

// A crew seals or opens the slabs of one message on several goroutines. What is read and written is read and written by
// the goroutine that has the crew, which works on slabs, too, when it has nothing else to do.
type crew struct {
	shared   *shared
	producer producer
	workers  int
	queue    chan *slab // to be worked on; nil until the workers are started
	ending   sync.WaitGroup

	slabs  []*slab // all that were taken
	flying []*slab // in the order of the message
	spare  []*slab
	ended  bool // nothing is loaded any more
}

// newCrew returns a crew for the slabs that p loads, or nil if all cores are busy.
func newCrew(s *shared, p producer) *crew {
	workers := s.hire(maxWorkers)
	if workers == 0 {
		return nil
	}
	return &crew{shared: s, producer: p, workers: workers}
}

// start starts the workers.
func (c *crew) start() {
	c.queue = make(chan *slab, c.window())
	for range c.workers {
		c.ending.Go(func() {
			for b := range c.queue {
				c.run(b)
			}
		})
	}
}

func (c *crew) window() int { return (c.workers + 1) * slabsPerGoroutine }

// run works on a slab and gives it back.
func (c *crew) run(b *slab) {
	c.producer.work(b)
	b.done <- struct{}{}
}

// dismiss waits until no slab is worked on and the workers have ended, and wipes the slabs, even one that a reader or a writer panicked with.
func (c *crew) dismiss() {
	if c.queue != nil {
		close(c.queue)
		for range c.queue { // takes what no worker has begun
		}
		c.ending.Wait()
	}
	c.shared.busy.Add(-int64(c.workers))
	for _, b := range c.slabs {
		c.shared.giveSlab(b)
	}
}

// next returns the slab whose turn it is, or nil if there is none. goesOn is asked after each slab whether another is to be loaded.
func (c *crew) next(goesOn func(*slab) bool) *slab {
	for {
		switch {
		case !c.ended && len(c.flying) < c.window():
			c.load(goesOn) // comes first, so that the workers have something to do during the write
		case len(c.flying) == 0:
			return nil
		case c.isNextDone():
			return c.pop()
		default:
			select {
			case <-c.flying[0].done:
				return c.pop()
			case b := <-c.queue: // nobody has begun it
				c.run(b)
			}
		}
	}
}

// load loads a slab and has it worked on. A body that has no second one needs no workers.
func (c *crew) load(goesOn func(*slab) bool) {
	b := c.take()
	c.producer.load(b)
	c.ended = !goesOn(b)
	c.flying = append(c.flying, b)
	if c.ended && c.queue == nil {
		c.run(b)
		return
	}
	if c.queue == nil {
		c.start()
	}
	c.queue <- b
}

// isNextDone reports whether the slab whose turn it is has been worked on.
func (c *crew) isNextDone() bool {
	select {
	case <-c.flying[0].done:
		return true
	default:
		return false
	}
}

func (c *crew) pop() *slab {
	b := c.flying[0]
	c.flying = append(c.flying[:0], c.flying[1:]...)
	return b
}

func (c *crew) take() *slab {
	n := len(c.spare)
	if n == 0 {
		b := c.shared.takeSlab()
		c.slabs = append(c.slabs, b)
		return b
	}
	b := c.spare[n-1]
	c.spare = c.spare[:n-1]
	return b
}

// give takes back a slab that was popped.
func (c *crew) give(b *slab) { c.spare = append(c.spare, b) }
