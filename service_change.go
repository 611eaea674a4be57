package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Change is a configuration on its way into a ServiceManager.
type Change struct {
	Config Config
	// Hold only keeps the configuration for Start: nothing is opened. It is ErrInvalidRequest while the service runs.
	Hold bool
	// Stored says that the configuration comes from where Persist puts it, and so is not stored again: one that was found when the
	// program started, or that another node of a cluster has stored.
	Stored bool
	// Force takes a backend also where objects are under another one that is not in Config.Former. They cannot be read then.
	Force bool
}

// Configure takes a configuration for the next Start. Nothing is opened or stored: it is for the configuration that a program begins
// with, and short for Apply with Hold and Stored. While the service runs it is ErrInvalidRequest.
func (s *ServiceManager) Configure(cfg Config) error {
	return s.Apply(context.Background(), Change{Config: cfg, Hold: true, Stored: true})
}

// Reconfigure opens a configuration, checks its health, has it stored by Persist, and lets it take over, in whatever state the service is:
// then it runs. Where any of this fails, the service goes on as it was, and Status says why. It is short for Apply with no more than a Config.
//
// It returns when the new Manager serves. Calls in flight go on with the old one, which is closed in the background when the last of
// them has ended; Stop waits for that. So two backends of one configuration are open for a while, or of two.
//
// Where the backend is another one than objects are under, and that is not in cfg.Former, they would be unreadable: ErrInvalidConfig, unless
// [Change.Force]. Backends are told apart as [ConfigDescriber] says.
func (s *ServiceManager) Reconfigure(ctx context.Context, cfg Config) error {
	return s.Apply(ctx, Change{Config: cfg})
}

// Apply takes a configuration over as the Change says. See [ServiceManager.Reconfigure].
func (s *ServiceManager) Apply(ctx context.Context, c Change) error {
	c.Config.Former = slices.Clone(c.Config.Former)
	op := "Reconfigure"
	if c.Hold {
		op = "Configure"
	}
	return s.inTurn(ctx, op, func() error {
		return s.failed(op, s.apply(ctx, c))
	})
}

func (s *ServiceManager) apply(ctx context.Context, c Change) error {
	cfg := s.Hooks.under(c.Config)
	if err := cfg.Validate(); err != nil {
		return err
	}
	if err := s.checkOptions(); err != nil {
		return err
	}
	if !c.Force {
		if err := s.checkOrphans(cfg); err != nil {
			return err
		}
	}
	if c.Hold {
		return s.hold(ctx, c)
	}
	return s.takeOver(ctx, c)
}

// hold keeps a configuration for Start.
func (s *ServiceManager) hold(ctx context.Context, c Change) error {
	if s.serving.Load() != nil {
		return fmt.Errorf("%w: the service runs: reconfigure it, or stop it first", ErrInvalidRequest)
	}
	if err := s.persist(ctx, c); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg = &c.Config
	if c.Stored {
		s.keeper = placeOf(c.Config.Backend)
	}
	s.enter(ServiceConfigured, nil)
	return nil
}

func (s *ServiceManager) persist(ctx context.Context, c Change) error {
	if c.Stored || s.Persist == nil {
		return nil
	}
	if err := s.Persist(ctx, c.Config); err != nil {
		return fmt.Errorf("the configuration was not stored: %w", err)
	}
	return nil
}

// checkOrphans refuses a configuration that cannot read what the one before has written.
func (s *ServiceManager) checkOrphans(cfg Config) error {
	s.mu.Lock()
	keeper := s.keeper
	s.mu.Unlock()
	if keeper == nil || keeper.is(placeOf(cfg.Backend)) {
		return nil
	}
	for _, former := range cfg.Former {
		if keeper.is(placeOf(former)) {
			return nil
		}
	}
	return fmt.Errorf("%w: objects are under another %s backend, which is not among the former ones: they would be unreadable",
		ErrInvalidConfig, keeper.backendType)
}

// takeOver opens a configuration, checks that it can work now, has it stored, and publishes it. Nobody is asked whether that is allowed.
func (s *ServiceManager) takeOver(ctx context.Context, c Change) (err error) {
	if s.serving.Load() == nil {
		// A Stop that gave up waiting may have left workers.
		if err := s.workers.stop(ctx); err != nil {
			return err
		}
		s.sweeper.start()
	}
	m, err := open(ctx, s.Hooks.under(c.Config))
	if err != nil {
		return err
	}
	published := false
	defer func() {
		if !published { // also where a panic goes on to the caller
			err = errors.Join(err, m.Close())
		}
	}()
	if err := checkHealth(ctx, m); err != nil {
		return fmt.Errorf("the backend is not healthy: %w", err)
	}
	if err := s.persist(ctx, c); err != nil {
		return err
	}
	s.publish(m, c.Config)
	published = true
	s.startWorkers()
	return nil
}

// checkHealth asks the backend once, and neither Authorize nor the Observer.
func checkHealth(ctx context.Context, m *Manager) error {
	_, _, err := ask(ctx, m, 1, func(ctx context.Context) (*struct{}, error) {
		return new(struct{}), m.backend.HealthCheck(ctx)
	})
	return err
}

// Start opens what is configured and checks its health. Then the service runs; else its state is ServiceError, and Start may be called
// again. It does nothing while the service runs, and is ErrNotConfigured where there is no configuration.
func (s *ServiceManager) Start(ctx context.Context) error {
	return s.inTurn(ctx, "Start", func() error {
		if s.serving.Load() != nil {
			return nil
		}
		return s.reopen(ctx, "Start")
	})
}

// Restart opens what is configured once more, for a fresh start with the backend, and lets it take over as Reconfigure does: without a gap, and
// without a change where it fails. A service that does not run is started.
func (s *ServiceManager) Restart(ctx context.Context) error {
	return s.inTurn(ctx, "Restart", func() error { return s.reopen(ctx, "Restart") })
}

func (s *ServiceManager) reopen(ctx context.Context, op string) error {
	cfg, err := s.Config()
	if err != nil {
		return ErrNotConfigured
	}
	if err := s.checkOptions(); err != nil {
		return s.failed(op, err)
	}
	err = s.takeOver(ctx, Change{Config: cfg, Stored: true})
	if err == nil || s.serving.Load() != nil {
		return s.failed(op, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enter(ServiceError, wrapError(op, "", err))
	return err
}

// failed notes why a change has failed that leaves the service as it was, if it has.
func (s *ServiceManager) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = wrapError(op, "", err)
	return s.err
}

// Stop refuses new calls with ErrNotRunning, ends the workers, waits for the calls in flight and closes the Manager, and those that
// were replaced before. Where a backend fails to close, Stop returns that error, and the service is stopped all the same. Where ctx ends
// first, Stop returns its error and the rest goes on in the background; another Stop waits again. While another change is under way Stop
// waits for that first, and has done nothing where ctx ends meanwhile. It does nothing where nothing runs. The configuration stays, for Start.
func (s *ServiceManager) Stop(ctx context.Context) error {
	return s.inTurn(ctx, "Stop", func() error {
		s.mu.Lock()
		if s.state == ServiceRunning || s.state == ServiceError {
			s.replace(nil)
			s.enter(ServiceStopped, nil)
		}
		leaving := slices.Clone(s.leaving)
		s.mu.Unlock()
		if err := s.workers.stop(ctx); err != nil {
			return err
		}
		return awaitClosed(ctx, leaving)
	})
}

// inTurn runs one change after another, and reports how it ended.
func (s *ServiceManager) inTurn(ctx context.Context, op string, run func() error) (err error) {
	start := time.Now()
	err = errPanicked // until it is known better
	defer func() { s.report(ctx, Operation{Op: op, Err: err}, start) }()
	if err := s.change.enter(ctx); err != nil {
		return wrapError(op, "", err)
	}
	defer s.change.leave()
	if err := run(); err != nil {
		return wrapError(op, "", err)
	}
	return nil
}
