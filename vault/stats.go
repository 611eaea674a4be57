package vault

import (
	"sync/atomic"
	"time"

	"github.com/objectkms/kms"
)

var _ kms.StatsReporter = (*Backend)(nil)

// ClientStats are counts since a Backend was opened, and how it is now. They hold nothing secret.
type ClientStats struct {
	InFlight        int       // requests of operations that are under way
	Requests        uint64    // all that were sent, those for tokens and for health among them
	Logins          uint64    // tokens that were got; a given token counts when Vault was asked about it
	LoginFailures   uint64    // refused, or not answered
	Renewals        uint64    // of tokens
	RenewalFailures uint64    // refused, or not answered
	TokenExpires    time.Time // when the token dies unless it is renewed; zero where it never does, and where there is none
	TokenAlive      bool      // there is a token that is not known to be dead
	BreakerOpen     bool      // requests fail at once, but for one a second
	BreakerOpened   uint64    // how often that came about
}

// counters are what of ClientStats only ever grows.
type counters struct {
	requests, logins, loginFailures, renewals, renewalFailures atomic.Uint64
}

// Stats returns how the connection does, as every backend with a breaker tells it. The breaker is BreakerOpen until a call that is let through to try
// has succeeded.
func (b *Backend) Stats() kms.BackendStats {
	now := b.client.stats()
	s := kms.BackendStats{Breaker: kms.BreakerClosed, Trips: now.BreakerOpened, InFlight: now.InFlight}
	if now.BreakerOpen {
		s.Breaker = kms.BreakerOpen
	}
	return s
}

// ClientStats returns counts of what the backend's client did, and how it is now: more than Stats has room for.
func (b *Backend) ClientStats() ClientStats { return b.client.stats() }

// stats returns the counts of now.
func (c *client) stats() ClientStats {
	open, opened := c.breaker.State()
	s := ClientStats{
		InFlight:        len(c.slots),
		Requests:        c.counts.requests.Load(),
		Logins:          c.counts.logins.Load(),
		LoginFailures:   c.counts.loginFailures.Load(),
		Renewals:        c.counts.renewals.Load(),
		RenewalFailures: c.counts.renewalFailures.Load(),
		BreakerOpen:     open,
		BreakerOpened:   opened,
	}
	s.TokenAlive, s.TokenExpires = c.session.life()
	return s
}

// life returns whether there is a token, and until when.
func (s *session) life() (alive bool, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.token.usable() {
		return false, time.Time{}
	}
	return true, s.token.expires
}
