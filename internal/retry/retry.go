// Package retry repeats an attempt until it succeeds, fails for good or runs out of time.
package retry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Policy says how often and how patiently to try. It is safe for concurrent use.
type Policy struct {
	Attempts int           // in total; less than 1 means 1
	Timeout  time.Duration // of each attempt; 0: none
	Base     time.Duration // the longest wait before the second attempt, doubled for each one after it; 0: 100 ms
	Max      time.Duration // the longest random wait, and the longest that is waited because the other side asks; 0: 5 s
}

// ErrTimeout says that an attempt ran past Policy.Timeout while the caller's context was still
// alive. Errors that wrap it wrap [context.DeadlineExceeded] too.
var ErrTimeout = fmt.Errorf("attempt timed out: %w", context.DeadlineExceeded)

const (
	defaultBase = 100 * time.Millisecond
	defaultMax  = 5 * time.Second
)

// An AfterError is an error that knows how long the other side asked to be left alone, as HTTP's Retry-After does
// (RFC 9110, section 10.2.3).
type AfterError interface {
	error
	RetryAfter() time.Duration // 0: not said
}

// Do calls attempt until it succeeds, its error is not retryable, the attempts are used up or ctx
// ends. Between attempts it waits a random time, up to a bound that doubles each time, and longer by what an [AfterError]
// in the chain asks for, up to Max. Where ctx would end before that, it gives up at once. It returns how many
// attempts were made and the error of the last one; where ctx has ended the error also wraps ctx.Err().
func (p Policy) Do(ctx context.Context, retryable func(error) bool, attempt func(context.Context) error) (attempts int, err error) {
	for {
		if ctx.Err() != nil {
			return attempts, ended(ctx, err)
		}
		err = p.try(ctx, attempt)
		attempts++
		if err == nil {
			return attempts, nil
		}
		if ctx.Err() != nil {
			return attempts, ended(ctx, err)
		}
		if attempts >= p.Attempts || !retryable(err) {
			return attempts, err
		}
		asked := min(askedFor(err), p.limit())
		if end, ok := ctx.Deadline(); ok && asked > 0 && time.Until(end) <= asked {
			return attempts, err
		}
		wait(ctx, asked+rand.N(p.bound(attempts))) // #nosec G404 -- a wait needs no secret number
	}
}

// askedFor returns how long the other side asked to be left alone.
func askedFor(err error) time.Duration {
	if after, ok := errors.AsType[AfterError](err); ok {
		return max(after.RetryAfter(), 0)
	}
	return 0
}

// try makes one attempt within the timeout.
func (p Policy) try(ctx context.Context, attempt func(context.Context) error) error {
	if p.Timeout <= 0 {
		return attempt(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	err := attempt(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return err
}

// ended adds the end of ctx to the error of the last attempt, if there was one.
func ended(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, ctx.Err()) {
		return cmp.Or(err, ctx.Err())
	}
	return fmt.Errorf("%w: %w", ctx.Err(), err)
}

// wait waits for a time, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// bound returns the longest random wait after so many attempts.
func (p Policy) bound(attempts int) time.Duration {
	bound, limit := p.Base, p.limit()
	if bound <= 0 {
		bound = defaultBase
	}
	for ; attempts > 1 && bound < limit; attempts-- {
		bound += min(bound, limit-bound)
	}
	return min(bound, limit)
}

func (p Policy) limit() time.Duration {
	if p.Max <= 0 {
		return defaultMax
	}
	return p.Max
}
