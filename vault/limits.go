package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/objectkms/kms"
)

// acquire waits for a slot, of which there are as many as requests may be under way at once.
func (c *client) acquire(ctx context.Context) error {
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return contextError(ctx, "waited for the requests before it")
	}
}

func (c *client) releaseSlot() { <-c.slots }

// guarded sends a request unless the breaker is open, and tells the breaker what became of it.
func (c *client) guarded(ctx context.Context, req *request) (*answer, error) {
	if err := c.breaker.Allow(); err != nil {
		return nil, fmt.Errorf("%w: %w", kms.ErrUnavailable, err)
	}
	start := time.Now()
	answer, err := c.send(ctx, req)
	c.judge(ctx, start, answer, err)
	return answer, err
}

// patience is how much time a request must have had before its end counts against the server.
const patience = time.Second

// judge tells the breaker what a request says about the server. That it asks for fewer requests, or refuses one, shows that it works. That a caller
// has gone away, or wanted it faster than anybody could be, shows nothing.
func (c *client) judge(ctx context.Context, start time.Time, answer *answer, err error) {
	if err == nil {
		err = answer.failure()
	}
	switch {
	case err == nil:
		c.breaker.Succeeded()
	case ctx.Err() == nil, errors.Is(ctx.Err(), context.DeadlineExceeded) && time.Since(start) >= patience:
		c.breaker.Failed(err)
	}
}

// ask sends a request of the session's own. It does not wait for a slot: those who have one may be waiting for the session.
func (c *client) ask(ctx context.Context, token, method, path string, body, out any) error {
	req, err := newRequest(method, path, body)
	if err != nil {
		return err
	}
	answer, err := c.guarded(ctx, req.with(token))
	if err != nil {
		return err
	}
	defer answer.wipe()
	return answer.decode(out)
}

// contextError is the error of a request that its context has ended. A deadline is ErrUnavailable too: the server did not answer in the time.
func contextError(ctx context.Context, where string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %s: %w", kms.ErrUnavailable, where, ctx.Err())
	}
	return ctx.Err()
}
