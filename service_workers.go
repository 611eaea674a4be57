package kms

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// Principals of the workers' operations, in audit records and for Options.Authorize.
const (
	PrincipalSweep    = "kms:sweep"
	PrincipalRotation = "kms:rotation"
	PrincipalProbe    = "kms:probe"
)

// defaultJitter is the part of an interval that a random wait adds at most.
const defaultJitter = 10

// workers are what runs beside the calls while a service does. They are started and stopped in turn.
type workers struct {
	cancel context.CancelFunc // nil: nothing runs
	done   chan struct{}      // closed when the last one has ended
}

// startWorkers starts the workers that are configured, unless they run.
func (s *ServiceManager) startWorkers() {
	if s.workers.cancel != nil {
		return
	}
	// They outlive the request that starts them, and are none of its doing.
	ctx, cancel := context.WithCancel(context.Background())
	s.workers.cancel, s.workers.done = cancel, make(chan struct{})
	var running sync.WaitGroup
	start := func(principal string, interval, jitter time.Duration, work func(context.Context)) {
		if interval > 0 {
			running.Go(func() { repeat(WithPrincipal(ctx, principal), interval, jitter, work) })
		}
	}
	start(PrincipalSweep, s.Sweep.Interval, s.Sweep.Jitter, s.sweepNow)
	start(PrincipalRotation, s.Rotation.Interval, s.Rotation.Jitter, s.rotateNow)
	start(PrincipalProbe, s.Probe.Interval, s.Probe.Jitter, s.probeNow)
	go func(done chan struct{}) {
		running.Wait()
		close(done)
	}(s.workers.done)
}

// stop ends the workers and waits for them, or until ctx ends.
func (w *workers) stop(ctx context.Context) error {
	if w.cancel == nil {
		return nil
	}
	w.cancel()
	select {
	case <-w.done:
		w.cancel = nil
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// repeat works again and again until ctx ends, with waits of the interval and a random part of the jitter between. The first wait is
// of the random part only.
func repeat(ctx context.Context, interval, jitter time.Duration, work func(context.Context)) {
	if jitter == 0 {
		jitter = interval / defaultJitter
	}
	timer := time.NewTimer(random(jitter))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		work(ctx)
		timer.Reset(max(interval, interval+random(jitter))) // a sum that is too large is negative
	}
}

// random returns a duration from 0 to below limit; 0 for a limit of 0 or less.
func random(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	var b [8]byte
	rand.Read(b[:])
	return time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(limit))
}

// checkOptions checks the options of the workers.
func (s *ServiceManager) checkOptions() error {
	for _, option := range []struct {
		name  string
		value time.Duration
	}{
		{"sweep interval", s.Sweep.Interval}, {"rotation interval", s.Rotation.Interval}, {"rotation age", s.Rotation.RotateAfter},
		{"probe interval", s.Probe.Interval}, {"probe timeout", s.Probe.Timeout},
	} {
		if option.value < 0 {
			return fmt.Errorf("%w: %s is %v, want 0 or more", ErrInvalidConfig, option.name, option.value)
		}
	}
	if s.Rotation.Interval > 0 && s.Rotation.RotateAfter == 0 {
		return fmt.Errorf("%w: rotation has an interval and no age to rotate after", ErrInvalidConfig)
	}
	if s.Sweep.Interval > 0 {
		return s.Sweep.check()
	}
	return nil
}
