package kms

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ServiceManager is a KeyService whose configuration can be changed while it runs. The zero value is one that is not configured.
//
// It has a Manager while it runs, and hands every call to it. A new configuration is opened and asked for its health first, and
// then takes the place of the old one in one step: calls that have begun end where they began, later ones go to the new Manager, and none
// fails because of the change. What does not open changes nothing. Handlers keep one pointer to the ServiceManager for ever.
//
// It has the methods of every optional interface of a backend, as the Manager has. Calls are ErrNotConfigured before
// there is a configuration, and ErrNotRunning while it does not run. The exported fields are set before the first call and not changed
// afterwards; all else is safe for concurrent use. A ServiceManager that runs is ended by Stop.
//
// There is no ServiceManager of the whole process here: a program that wants one has it in a variable of its own,
//
//	var keys kms.ServiceManager
//
// and gives &keys to what needs it. A hidden one could be replaced by any package, would be shared by tests that
// run in parallel, and could not be two.
type ServiceManager struct {
	// Hooks are given to every configuration that has none of its own, as one that was read from a document.
	Hooks Hooks
	// Persist, if set, stores a configuration that was found to work, before it is published: where it fails nothing changes, so
	// that what runs is never newer than what a restart would find. An error must mean that nothing was
	// stored. The configuration holds secrets, which Persist leaves out or seals. It must not change this ServiceManager.
	Persist func(ctx context.Context, cfg Config) error
	// Sweep, Rotation and Probe are workers that run while the service does. Their zero values are off.
	Sweep    SweepOptions
	Rotation RotationOptions
	Probe    ProbeOptions

	serving atomic.Pointer[served] // nil unless it runs
	change  turnstile              // one change at a time
	workers workers                // changed only in turn
	sweeper sweeper
	prober  prober
	rotator rotator

	mu         sync.Mutex
	state      ServiceState
	since      time.Time
	err        error     // of the last change
	cfg        *Config   // what is configured, as it was given; replaced, never changed
	keeper     *place    // the backend that objects are under as far as is known
	generation uint64    // of the Manager published last
	leaving    []*served // Managers that were replaced and still have calls
}

var (
	_ KeyService        = (*ServiceManager)(nil)
	_ KeyStateChanger   = (*ServiceManager)(nil)
	_ KeyRotator        = (*ServiceManager)(nil)
	_ KeyImporter       = (*ServiceManager)(nil)
	_ KeyUpdater        = (*ServiceManager)(nil)
	_ DataKeyRewrapper  = (*ServiceManager)(nil)
	_ ExpiredKeyRemover = (*ServiceManager)(nil)
)

// Hooks are the parts of Options that are code. See there. Those of a ServiceManager, and not those of its configurations, are told of its changes, and
// of calls that it refuses because it does not run.
type Hooks struct {
	Logger    *slog.Logger
	Observer  Observer
	Authorize func(ctx context.Context, op, keyID string, ec EncryptionContext) error
	Audit     AuditOptions
}

// under returns the configuration with the hooks where it has none of its own.
func (h Hooks) under(cfg Config) Config {
	if cfg.Logger == nil {
		cfg.Logger = h.Logger
	}
	if cfg.Observer == nil {
		cfg.Observer = h.Observer
	}
	if cfg.Authorize == nil {
		cfg.Authorize = h.Authorize
	}
	if cfg.Audit.Sink == nil {
		cfg.Audit = h.Audit
	}
	return cfg
}

// ServiceState is the state of a ServiceManager.
type ServiceState string

// The states of a ServiceManager. In ServiceError it was asked to start and could not; it does not run, and Start may be called again. A
// service that runs stays ServiceRunning when a change of its configuration fails.
const (
	ServiceNotConfigured ServiceState = "NotConfigured"
	ServiceConfigured    ServiceState = "Configured"
	ServiceRunning       ServiceState = "Running"
	ServiceStopped       ServiceState = "Stopped"
	ServiceError         ServiceState = "Error"
)

// ServiceStatus is how a ServiceManager is at one moment. It holds nothing secret.
type ServiceStatus struct {
	State       ServiceState
	BackendType string    // of the configuration, such as "local"; empty without one
	Since       time.Time // when the state, or the Generation, began; zero before the first change
	Generation  uint64    // counts the Managers that this ServiceManager has published; it never falls, and begins anew with the process
	Fingerprint string    // of the configuration: see [Config.Fingerprint]; empty without one
	Err         error     // why the last change failed; nil if it did not
	Draining    int       // Managers that were replaced and still have calls in flight
	Cache       CacheStats
	Backend     BackendStats // zero where the backend is no [StatsReporter]
	Sweep       SweepStatus
	Rotation    RotationStatus
	Probe       ProbeStatus
}

// Status returns the state, and what there is to know about it.
func (s *ServiceManager) Status() ServiceStatus {
	s.mu.Lock()
	status := ServiceStatus{
		State: s.currentState(), Since: s.since, Generation: s.generation, Err: s.err, Draining: len(s.leaving),
	}
	cfg, current := s.cfg, s.serving.Load()
	s.mu.Unlock()
	if cfg != nil {
		status.BackendType = cfg.Backend.BackendType()
		status.Fingerprint = s.Hooks.under(*cfg).Fingerprint()
	}
	if current != nil {
		status.Cache = current.CacheStats()
		status.Backend = current.BackendStats()
	}
	status.Sweep, status.Rotation, status.Probe = s.sweeper.status(), s.rotator.status(), s.prober.status()
	return status
}

// currentState is asked under the lock.
func (s *ServiceManager) currentState() ServiceState {
	if s.state == "" {
		return ServiceNotConfigured
	}
	return s.state
}

// Config returns the configuration as it was given, for a change of parts of it: the one that runs, or would if Start were called. It
// is ErrNotConfigured where there is none. Its secrets are the ones that were given, not copies.
func (s *ServiceManager) Config() (Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg == nil {
		return Config{}, wrapError("Config", "", ErrNotConfigured)
	}
	cfg := *s.cfg
	cfg.Former = slices.Clone(cfg.Former)
	return cfg, nil
}

// Manager returns the Manager that runs now. It is closed when the configuration changes, and its calls are ErrClosed from then on: who keeps
// something keeps the ServiceManager.
func (s *ServiceManager) Manager() (*Manager, error) {
	current := s.serving.Load()
	if current == nil {
		return nil, wrapError("Manager", "", s.refusal())
	}
	return current.Manager, nil
}

// refusal returns why there is no Manager.
func (s *ServiceManager) refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.currentState() == ServiceNotConfigured {
		return ErrNotConfigured
	}
	return ErrNotRunning
}

// report tells the hooks of what no Manager has seen.
func (s *ServiceManager) report(ctx context.Context, done Operation, start time.Time) {
	if s.Hooks.Observer == nil && s.Hooks.Audit.Sink == nil {
		return
	}
	done.Duration, done.Kind = time.Since(start), KindOf(done.Err)
	if cfg, err := s.Config(); err == nil {
		done.Backend = cfg.Backend.BackendType()
	}
	if s.Hooks.Observer != nil {
		s.Hooks.Observer(ctx, done)
	}
	if sink := s.Hooks.Audit.Sink; sink != nil {
		(&auditor{sink: sink}).record(ctx, done, nil)
	}
}
