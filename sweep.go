package kms

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// SweepOptions let a ServiceManager remove keys whose deletion date has passed. The zero value is off.
//
// Removal cannot be undone and is never urgent, so a sweep doubts everything. It removes nothing while the wall clock
// and the monotonic clock disagree, or while the wall clock is behind a time that it has shown before. A key goes at the second of two sweeps that
// find it past its date with a day of monotonic time between, in one run of the service. It goes only if Referenced says that nothing needs it. And a
// key whose deletion is cancelled stays, however close the sweep is.
//
// Keys go in the order of their dates: one that stays past its date, for its references, keeps those with the same or a later date, until its
// deletion is cancelled. Nothing goes while the default key is pending deletion. Sweeps are those of the principal [PrincipalSweep], and may run
// on several nodes.
type SweepOptions struct {
	// Interval is the time between two sweeps. 0 means none. An hour is often enough, where a key waits a day in any case.
	Interval time.Duration
	// Jitter is the longest random time that is added to each interval. 0 means a tenth of it, and a negative one none.
	Jitter time.Duration
	// Load returns what Save has stored last, or the zero SweepState where it has stored nothing. No sweep is made without both. Nodes may
	// share the state.
	Load func(ctx context.Context) (SweepState, error)
	// Save stores the state. Where it fails nothing is removed.
	Save func(ctx context.Context, state SweepState) error
	// Referenced, if set, is asked whether anything needs a key, as the envelopes of objects do, just before it would go. Where it fails the key stays.
	Referenced func(ctx context.Context, key Key) (References, error)
}

// SweepState is what sweeps must know across restarts.
type SweepState struct {
	// HighWater is the latest time that the wall clock has shown to a sweep. Where it is wrong because the clock was, and so keeps
	// sweeps from working until then, an operator stores the right one.
	HighWater time.Time `json:"high_water"`
}

// References is what was found of the uses of a key.
type References struct {
	InUse    bool   // something needs the key
	Complete bool   // all that could need it was looked at; else the key stays
	Scanned  string // what was looked at, such as "12 buckets, 40,211 envelopes", for people
}

// SweepReport is what one sweep did.
type SweepReport struct {
	At      time.Time // when it ended
	Removed []string  // the keys that are gone
	Waiting []string  // past their date, and not seen for a day yet
	Kept    []KeptKey // past their date, seen for long enough, and not removed
}

// KeptKey is a key that could go and stays.
type KeptKey struct {
	KeyID   string
	Reason  string
	Scanned string // what Referenced has said
}

// SweepStatus is how the last sweep of the worker went.
type SweepStatus struct {
	SweepReport
	Err    error
	Halted bool // the clocks disagree: no sweep removes anything until the service is stopped and started again
}

// quarantine is how long a key must have been past its date, in monotonic time, before a sweep of the worker removes it.
const quarantine = 24 * time.Hour

func (o SweepOptions) check() error {
	if o.Load == nil || o.Save == nil {
		return fmt.Errorf("%w: sweeps need Load and Save", ErrInvalidConfig)
	}
	return nil
}

// sweepNow is one sweep of the worker.
func (s *ServiceManager) sweepNow(ctx context.Context) {
	report, err := s.sweep(ctx, quarantine)
	if ctx.Err() == nil { // else it was the service that stopped
		s.sweeper.note(report, err)
	}
}

// SweepExpiredKeys makes one sweep as [SweepOptions] says, but one sighting of a key past its date is enough: it is for an operator who
// has looked at the clock. It answers what it did also beside an error.
func (s *ServiceManager) SweepExpiredKeys(ctx context.Context) (SweepReport, error) {
	report, err := s.sweep(ctx, 0)
	if err != nil {
		err = wrapError("SweepExpiredKeys", "", err)
	}
	return report, err
}

// sweep removes the keys that were seen past their date for so long.
func (s *ServiceManager) sweep(ctx context.Context, seenFor time.Duration) (report SweepReport, err error) {
	if err := s.Sweep.check(); err != nil {
		return report, err
	}
	if err := s.sweeper.turn.enter(ctx); err != nil {
		return report, err
	}
	defer s.sweeper.turn.leave()
	defer func() { report.At = time.Now() }()
	now, err := s.checkClocks(ctx)
	if err != nil {
		return report, err
	}
	expired, err := expiredKeys(ctx, s, now)
	if err != nil {
		return report, err
	}
	due := s.sweeper.sight(now, expired, seenFor, &report)
	if err := s.askReferences(ctx, due, &report); err != nil || len(due) == 0 {
		return report, err
	}
	return report, s.remove(ctx, due, &report)
}

// checkClocks returns the time if it is to be trusted.
func (s *ServiceManager) checkClocks(ctx context.Context) (moment, error) {
	if s.serving.Load() == nil {
		return moment{}, s.refusal()
	}
	now, err := s.sweeper.clocks()
	if err != nil {
		return moment{}, err
	}
	state, err := s.Sweep.Load(ctx)
	if err != nil {
		return moment{}, fmt.Errorf("the state of sweeps was not loaded: %w", err)
	}
	if behind := state.HighWater.Sub(now.wall); behind > clockTolerance {
		return moment{}, fmt.Errorf("%w: the clock is %v behind what it was, and no key is removed", ErrUnavailable, behind)
	}
	if now.wall.After(state.HighWater) {
		if err := s.Sweep.Save(ctx, SweepState{HighWater: now.wall}); err != nil {
			return moment{}, fmt.Errorf("the state of sweeps was not stored: %w", err)
		}
	}
	return now, nil
}

// expiredKeys returns the keys that are past their date, by id.
func expiredKeys(ctx context.Context, keys KeyService, now moment) (map[string]Key, error) {
	expired := make(map[string]Key)
	err := eachKey(ctx, keys, KeyPendingDeletion, func(key Key) error {
		if !key.DeletionDate.IsZero() && !key.DeletionDate.After(now.wall) {
			expired[key.ID] = key
		}
		return nil
	})
	return expired, err
}

// askReferences takes the keys that something needs out of those that are due.
func (s *ServiceManager) askReferences(ctx context.Context, due map[string]Key, report *SweepReport) error {
	if s.Sweep.Referenced == nil {
		return nil
	}
	for _, key := range byDate(due) {
		found, err := s.Sweep.Referenced(ctx, key)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var reason string
		switch {
		case err != nil:
			reason = "its references could not be looked for: " + err.Error()
		case found.InUse:
			reason = "it is referenced"
		case !found.Complete:
			reason = "not everything was scanned for references"
		default:
			continue
		}
		report.keep(key.ID, reason, found.Scanned)
		delete(due, key.ID)
	}
	return nil
}

// remove has those of the keys removed that are due and still past their date. The backend removes all that is past a moment, so no key goes
// that is not before the first one that stays.
func (s *ServiceManager) remove(ctx context.Context, due map[string]Key, report *SweepReport) error {
	// What is looked at here is what is removed from, also where another backend takes over meanwhile.
	current, pass, err := s.lease()
	if err != nil {
		return err
	}
	defer current.leases.leave(pass)
	// Looking for references may have taken hours.
	now, err := s.sweeper.clocks()
	if err != nil {
		return err
	}
	expired, err := expiredKeys(ctx, current, now)
	if err != nil {
		return err
	}
	if until := lastToGo(due, expired, report); !until.IsZero() {
		report.Removed, err = current.RemoveExpiredKeys(ctx, until)
	}
	return err
}

// lastToGo returns the latest date of the keys that are due, expired, and before all that are only expired; zero where there is none.
func lastToGo(due, expired map[string]Key, report *SweepReport) (until time.Time) {
	maps.DeleteFunc(due, func(id string, key Key) bool { return !sameDeletion(expired[id], key) })
	maps.DeleteFunc(expired, func(id string, _ Key) bool { return due[id].ID == id })
	staying := byDate(expired)
	for _, key := range byDate(due) {
		if len(staying) > 0 && !key.DeletionDate.Before(staying[0].DeletionDate) {
			report.keep(key.ID, fmt.Sprintf("key %q, which stays, has no later date", staying[0].ID), "")
			continue
		}
		until = key.DeletionDate
	}
	return until
}

func (r *SweepReport) keep(keyID, reason, scanned string) {
	r.Kept = append(r.Kept, KeptKey{keyID, reason, scanned})
}
