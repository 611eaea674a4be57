package vault

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/objectkms/kms"
)

// A session keeps a token alive, and replaces it when it is not. Of all calls that find the token dead one asks for a new one, and the others wait for
// what it brings. It is safe for concurrent use.
type session struct {
	ask    asker
	logger *slog.Logger
	counts *counters
	method string
	source *source

	closing context.Context
	tasks   sync.WaitGroup
	wake    chan struct{} // tells the keeper that the token is another one, or should be

	mu      sync.Mutex
	token   token
	attempt *attempt // under way; nil: none
	refusal refusal
	begun   uint64               // attempts
	alive   uint64               // the last attempt that found the token alive
	barred  map[string]time.Time // until when a request is known to be refused by a policy
	looked  time.Time            // when the source was last asked whether it has changed
	stale   bool                 // the source has another token
	closed  bool
}

// A token is what the session shows to Vault.
type token struct {
	grant             // its secret is nil where there is none that is alive
	generation uint64 // counts the tokens
	born       time.Time
	renewAt    time.Time // zero: never
	expires    time.Time // zero: never
}

func (t *token) usable() bool {
	return t.secret != nil && (t.expires.IsZero() || time.Now().Before(t.expires))
}

// lives notes that the token lives for so long from now on.
func (t *token) lives(ttl time.Duration) {
	t.renewAt, t.expires = time.Time{}, time.Time{}
	if ttl > 0 {
		t.renewAt, t.expires = time.Now().Add(ttl/2), time.Now().Add(ttl)
	}
}

// An attempt is a login or a check under way.
type attempt struct {
	done chan struct{}
	err  error // written before done is closed
}

const (
	loginTimeout = 30 * time.Second
	barredPause  = time.Second      // a refusal by a policy is known for so long
	maxBarred    = 1000             // requests that are known so
	silentPause  = 30 * time.Second // a token that may not ask about itself is taken for alive for so long
	lookPause    = time.Second      // between two looks at a token file
	firstPause   = time.Second      // after a refused login, doubled for each one after it
	longestPause = 30 * time.Second
)

func newSession(closing context.Context, ask asker, logger *slog.Logger, counts *counters) *session {
	return &session{ask: ask, logger: logger, counts: counts, closing: closing, wake: make(chan struct{}, 1)}
}

// open logs in for the first time and starts the keeper.
func (s *session) open(ctx context.Context, auth Auth) error {
	s.method, s.source = auth.method(), auth.source()
	if _, _, err := s.bearer(ctx); err != nil {
		return err
	}
	s.tasks.Go(s.keep)
	return nil
}

// close waits for what runs in the background, which the end of the context that newSession was given ends, and wipes the token.
func (s *session) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.tasks.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token.secret.Destroy()
	s.token.secret = nil
	if s.source != nil {
		s.source.secret.Destroy()
	}
}

// bearer returns the token for a request and its generation. Where there is none it waits for a login.
func (s *session) bearer(ctx context.Context) (text string, generation uint64, err error) {
	for {
		s.lookAtSource()
		s.mu.Lock()
		if s.token.usable() {
			text, generation = string(s.token.secret.Bytes()), s.token.generation
			s.mu.Unlock()
			return text, generation, nil
		}
		waiting, err := s.begin(s.login)
		s.mu.Unlock()
		if err != nil {
			return "", 0, err
		}
		if err := waiting.wait(ctx); err != nil {
			return "", 0, err
		}
	}
}

// refused tells the session that Vault refused a request with the token of a generation. It reports whether there is another token now, to repeat the request
// with; if not, and there is no error, the token is alive and a policy refused the request.
func (s *session) refused(ctx context.Context, generation uint64, request string) (replaced bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.begun
	for {
		if s.token.usable() {
			switch {
			case s.token.generation != generation:
				return true, nil
			case s.alive > before: // a check that began before the refusal says nothing about it
				s.bar(request)
				return false, nil
			case time.Now().Before(s.barred[request]):
				return false, nil
			}
		}
		waiting, err := s.begin(s.check)
		if err != nil {
			return false, err
		}
		s.mu.Unlock()
		err = waiting.wait(ctx)
		s.mu.Lock()
		if err != nil {
			return false, err
		}
	}
}

// bar notes that a policy refuses a request, so that the next refusals of it do not cost a check each. mu is held.
func (s *session) bar(request string) {
	if s.barred == nil || len(s.barred) >= maxBarred {
		s.barred = make(map[string]time.Time)
	}
	s.barred[request] = time.Now().Add(barredPause)
}

// begin joins the attempt that is under way, or begins one unless the credentials were refused just now. mu is held.
func (s *session) begin(what func(context.Context) error) (*attempt, error) {
	switch {
	case s.closed || s.closing.Err() != nil:
		return nil, kms.ErrClosed
	case s.attempt != nil:
		return s.attempt, nil
	case !s.token.usable() && s.refusal.active():
		return nil, s.refusal.err
	}
	return s.run(what), nil
}

// run begins an attempt, in a goroutine of its own: it serves those who come after the caller, too, whether he waits or not. mu is held.
func (s *session) run(what func(context.Context) error) *attempt {
	a := &attempt{done: make(chan struct{})}
	s.attempt = a
	s.begun++
	s.tasks.Go(func() {
		defer close(a.done)
		ctx, cancel := context.WithTimeout(s.closing, loginTimeout)
		defer cancel()
		a.err = what(ctx)
		if a.err != nil && s.closing.Err() != nil {
			a.err = kms.ErrClosed
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.attempt = nil
	})
	return a
}

func (a *attempt) wait(ctx context.Context) error {
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return contextError(ctx, "waited for a login")
	}
}

// lookAtSource asks the source now and then whether it has another token. The old one is used until the keeper has got that.
func (s *session) lookAtSource() {
	s.mu.Lock()
	due := s.source.changed != nil && time.Since(s.looked) >= lookPause
	if due {
		s.looked = time.Now()
	}
	s.mu.Unlock()
	if !due || !s.source.changed() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = true
	s.refusal.until = time.Time{}
	s.nudge()
}

// nudge wakes the keeper.
func (s *session) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
