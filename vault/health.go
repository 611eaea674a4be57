package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/objectkms/kms"
)

// Statuses of sys/health, of which only 200 has the meaning that HTTP gives it.
const (
	healthActive         = http.StatusOK
	healthStandby        = http.StatusTooManyRequests
	healthRecovery       = 472 // secondary for disaster recovery
	healthPerformance    = 473 // standby that answers reads
	healthNotInitialized = http.StatusNotImplemented
	healthSealed         = http.StatusServiceUnavailable
)

// health answers nil where the server works, also as a standby, and the session has a token. It asks the server even while the breaker is open, which a
// good answer closes, and does not wait for other requests.
func (c *client) health(ctx context.Context) error {
	ctx, leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := c.serverHealth(ctx); err != nil {
		return c.ended(ctx, err)
	}
	c.breaker.Succeeded()
	_, _, err = c.session.bearer(ctx)
	return c.ended(ctx, err)
}

// serverHealth asks sys/health, which belongs to no namespace and needs no token.
func (c *client) serverHealth(ctx context.Context) error {
	answer, err := c.send(ctx, &request{method: http.MethodGet, path: "sys/health", health: true})
	if err != nil {
		return err
	}
	var said struct{ Initialized, Sealed *bool }
	if json.Unmarshal(answer.body, &said) != nil || said.Initialized == nil || said.Sealed == nil {
		return fmt.Errorf("%w: answer %d about the server's health is none of Vault's", kms.ErrUnavailable, answer.status)
	}
	switch answer.status {
	case healthActive, healthStandby, healthRecovery, healthPerformance:
		return nil
	case healthNotInitialized:
		return fmt.Errorf("%w: the server is not initialized", kms.ErrUnavailable)
	case healthSealed:
		return fmt.Errorf("%w: the server is sealed", kms.ErrUnavailable)
	}
	return fmt.Errorf("%w: the server's health is %d", kms.ErrUnavailable, answer.status)
}
