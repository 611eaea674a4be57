package vault

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/vault/api"

	"github.com/objectkms/kms"
)

// clientAuth is the token of a client of the caller's, who renews it and may replace it.
type clientAuth struct {
	server *api.Client
}

func (clientAuth) method() string { return "the client's token" }

func (a clientAuth) validate() error {
	if err := checkToken([]byte(a.server.Token())); err != nil {
		return fmt.Errorf("%w: of the client: %w", kms.ErrInvalidConfig, err)
	}
	return nil
}

func (a clientAuth) source() *source {
	var mu sync.Mutex
	var seen string
	return &source{
		login: func(ctx context.Context, ask asker) (*grant, error) {
			text := a.server.Token()
			if err := a.validate(); err != nil {
				return nil, err
			}
			g, err := lookup(ctx, ask, kms.NewSecret([]byte(text)))
			if err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			seen = text
			g.renewable = false // by us
			return g, nil
		},
		changed: func() bool {
			mu.Lock()
			defer mu.Unlock()
			return seen != a.server.Token()
		},
	}
}
