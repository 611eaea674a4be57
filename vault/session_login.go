package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/objectkms/kms"
)

// A refusal is what Vault, or a missing file, last said to the credentials.
type refusal struct {
	err   error
	until time.Time // nobody asks again before
	pause time.Duration
}

func (r *refusal) active() bool { return time.Now().Before(r.until) }

// check finds out whether a token that was refused is dead, and logs in where it is.
func (s *session) check(ctx context.Context) error {
	s.mu.Lock()
	old := s.token
	secret := old.secret.Clone()
	s.mu.Unlock()
	if !old.usable() || s.source.changed != nil && s.source.changed() {
		secret.Destroy()
		return s.login(ctx)
	}
	if old.silent && time.Since(old.born) < silentPause {
		secret.Destroy()
		s.noteAlive(old.generation)
		return nil
	}
	g, err := lookup(ctx, s.ask, secret)
	switch {
	case err == nil:
		g.secret.Destroy()
		s.noteAlive(old.generation)
		return nil
	case !errors.Is(err, kms.ErrPermission):
		return err
	}
	if refused := s.bury(old.generation); refused != nil {
		return refused
	}
	return s.login(ctx)
}

func (s *session) noteAlive(generation uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.generation == generation {
		s.alive = s.begun // this one
	}
}

// bury forgets a token that is dead. It returns an error where the credentials for another one were refused just now.
func (s *session) bury(generation uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.generation == generation {
		s.token.secret.Destroy()
		s.token.secret = nil
	}
	if s.refusal.active() {
		return s.refusal.err
	}
	return nil
}

// login gets a new token and puts it in place of the old one.
func (s *session) login(ctx context.Context) error {
	g, err := s.source.login(ctx, s.ask)
	if err != nil {
		s.counts.loginFailures.Add(1)
		return s.loginError(err)
	}
	s.counts.logins.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token.secret.Destroy()
	s.token = token{grant: *g, generation: s.token.generation + 1, born: time.Now()}
	s.token.lives(g.ttl)
	s.refusal, s.barred, s.stale = refusal{}, nil, false
	s.nudge()
	return nil
}

// loginError classifies the error of a login, and remembers a refusal for a while, so that credentials that are gone do not cost Vault a
// login for each call.
func (s *session) loginError(err error) error {
	if e, ok := errors.AsType[*statusError](err); ok && !errors.Is(err, kms.ErrUnavailable) {
		err = fmt.Errorf("%w: login by %s: %s", kms.ErrPermission, s.method, e.detail())
	}
	if !errors.Is(err, kms.ErrPermission) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	pause := min(max(2*s.refusal.pause, firstPause), longestPause)
	s.refusal = refusal{err: err, until: time.Now().Add(pause), pause: pause}
	return err
}
