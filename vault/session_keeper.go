package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/objectkms/kms"
)

// keep renews the token until the session is closed. What fails is tried again while the token lives; a dead one is replaced when somebody needs it.
func (s *session) keep() {
	var failed backoff
	for s.closing.Err() == nil {
		due, some := s.due()
		if some && failed.until.After(due) {
			due = failed.until
		}
		if !some || time.Now().Before(due) {
			s.sleep(due, some)
			continue // the token may be another one now
		}
		if err := s.tend(); err != nil {
			failed.next(s.remaining())
			s.logger.Warn("vault: the token could not be renewed, and is used as long as it lives", "method", s.method, "error", err)
			continue
		}
		failed = backoff{}
	}
}

// A backoff says how long to wait after failures in a row.
type backoff struct {
	pause time.Duration
	until time.Time
}

// next notes one more failure, of a token that lives for some time yet: several attempts should fit into it.
func (b *backoff) next(remaining time.Duration) {
	b.pause = min(max(2*b.pause, firstPause), longestPause)
	b.until = time.Now().Add(max(min(b.pause, remaining/4), firstPause))
}

// due returns when something must be done for the token.
func (s *session) due() (at time.Time, some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.token.usable():
		return time.Time{}, false
	case s.stale:
		return time.Now(), true
	}
	return s.token.renewAt, !s.token.renewAt.IsZero()
}

func (s *session) remaining() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.expires.IsZero() {
		return longestPause * 4
	}
	return time.Until(s.token.expires)
}

// sleep waits until due, if there is such a time, or until the keeper is nudged, or the session is closed.
func (s *session) sleep(due time.Time, some bool) {
	var timer <-chan time.Time
	if some {
		t := time.NewTimer(time.Until(due))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-s.closing.Done():
	case <-timer:
	case <-s.wake:
	}
}

// tend renews the token, or replaces it where that is not possible or brings little: its longest time is then near.
func (s *session) tend() error {
	s.mu.Lock()
	old, stale := s.token, s.stale
	s.mu.Unlock()
	if old.renewable && !stale {
		left, err := s.renew(old.generation)
		if err == nil && left > old.ttl/2 || errors.Is(err, kms.ErrUnavailable) {
			return err
		}
	}
	return s.replace(old.generation)
}

// renew asks Vault for more time, and returns how much the token has now.
func (s *session) renew(generation uint64) (time.Duration, error) {
	s.mu.Lock()
	text := string(s.token.secret.Bytes())
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.closing, loginTimeout)
	defer cancel()
	var answer authAnswer
	err := s.ask(ctx, text, http.MethodPost, renewPath, struct{}{}, &answer)
	if err == nil && (answer.Auth == nil || answer.Auth.LeaseDuration <= 0) {
		err = fmt.Errorf("%w: the answer to a renewal says no time", kms.ErrUnavailable)
	}
	if err != nil {
		s.counts.renewalFailures.Add(1)
		return 0, err
	}
	clear(answer.Auth.ClientToken)
	s.counts.renewals.Add(1)
	ttl := seconds(answer.Auth.LeaseDuration)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.generation == generation {
		s.token.lives(ttl)
	}
	return ttl, nil
}

// replace gets a new token while the old one is used, unless somebody else has got one.
func (s *session) replace(generation uint64) error {
	s.mu.Lock()
	if s.token.generation != generation || s.closing.Err() != nil {
		s.mu.Unlock()
		return nil
	}
	waiting := s.attempt
	if waiting == nil {
		waiting = s.run(s.login)
	}
	s.mu.Unlock()
	<-waiting.done
	return waiting.err
}
