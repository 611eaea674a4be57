package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/strictjson"
)

// configure takes a configuration for the next start.
func (c *call) configure() (job, error) {
	if err := c.queryForce(); err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]byte, error) {
		return c.change(ctx, "KMS is configured", func(decoders Decoders) (kms.Change, error) {
			cfg, err := decoders.ParseConfig(c.body)
			return kms.Change{Config: cfg, Hold: true, Force: c.Force}, err
		})
	}, nil
}

// reconfigure puts a partial update onto the configuration, and lets the result take over.
func (c *call) reconfigure() (job, error) {
	if err := c.queryForce(); err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]byte, error) {
		return c.change(ctx, "KMS is reconfigured and runs", func(decoders Decoders) (kms.Change, error) {
			running, err := c.service.Config()
			if err != nil && !errors.Is(err, kms.ErrNotConfigured) {
				return kms.Change{}, err
			}
			cfg, err := decoders.Merge(running, c.body)
			return kms.Change{Config: cfg, Force: c.Force}, err
		})
	}, nil
}

// change makes one change after another, so that each is put onto what the one before has left.
func (c *call) change(ctx context.Context, message string, read func(Decoders) (kms.Change, error)) ([]byte, error) {
	if c.opts.Decoders == nil {
		return nil, fmt.Errorf("%w: there are no decoders for configurations", kms.ErrUnsupported)
	}
	select {
	case c.changing <- struct{}{}:
		defer func() { <-c.changing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	change, err := read(c.opts.Decoders)
	if err != nil {
		return nil, err
	}
	if err := c.service.Apply(ctx, change); err != nil {
		c.opts.Decoders.Destroy(change.Config)
		return nil, err
	}
	return c.done(message)
}

func (c *call) startService() (job, error) {
	err := c.decode(strictjson.Fields{"force": strictjson.Into(&c.Force, strictjson.Bool)})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]byte, error) {
		start := c.service.Start
		if c.Force {
			start = c.service.Restart
		}
		if err := start(ctx); err != nil {
			return nil, err
		}
		return c.done("KMS runs")
	}, nil
}

func (c *call) stopService() (job, error) {
	return func(ctx context.Context) ([]byte, error) {
		if err := c.service.Stop(ctx); err != nil {
			return nil, err
		}
		return c.done("KMS does not run")
	}, c.decode(nil)
}

func (c *call) clearCache() (job, error) {
	return func(context.Context) ([]byte, error) {
		if _, err := c.service.Manager(); err != nil {
			return nil, err
		}
		c.service.ClearCache()
		return nil, nil
	}, c.decode(nil)
}

func (c *call) showConfig() (job, error) {
	return func(context.Context) ([]byte, error) {
		cfg, err := c.service.Config()
		if err != nil {
			return nil, err
		}
		if c.opts.Decoders == nil {
			return nil, fmt.Errorf("%w: there are no decoders for configurations", kms.ErrUnsupported)
		}
		return c.opts.Decoders.Summary(cfg)
	}, nil
}
