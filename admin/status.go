package admin

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/objectkms/kms"
)

// doneAnswer is the answer of a change of the service.
type doneAnswer struct {
	Success     bool             `json:"success"`
	Message     string           `json:"message"`
	Status      kms.ServiceState `json:"status"`
	Generation  uint64           `json:"generation"`
	Fingerprint string           `json:"fingerprint,omitempty"`
}

func (c *call) done(message string) ([]byte, error) {
	status := c.service.Status()
	return json.Marshal(doneAnswer{true, message, status.State, status.Generation, status.Fingerprint})
}

// statusAnswer is a kms.ServiceStatus, and what else is known.
type statusAnswer struct {
	Status        kms.ServiceState `json:"status"`
	BackendType   string           `json:"backend_type,omitempty"`
	Healthy       *bool            `json:"healthy,omitempty"` // only of a service that runs
	Since         time.Time        `json:"since,omitzero"`
	Generation    uint64           `json:"generation"`
	Fingerprint   string           `json:"fingerprint,omitempty"`
	LastError     *errorBody       `json:"last_error,omitempty"`
	Draining      int              `json:"draining"`
	Capabilities  capabilities     `json:"capabilities"`
	Cache         cacheAnswer      `json:"cache"`
	Backend       backendAnswer    `json:"backend"`
	Probe         *probeAnswer     `json:"probe,omitempty"`
	Sweep         *sweepAnswer     `json:"sweep,omitempty"`
	Rotation      *rotationAnswer  `json:"rotation,omitempty"`
	ConfigSummary json.RawMessage  `json:"config_summary,omitempty"`
}

type capabilities struct {
	Rotate        bool `json:"rotate"`
	EnableDisable bool `json:"enable_disable"`
	Import        bool `json:"import"`
	Update        bool `json:"update"`
	Rewrap        bool `json:"rewrap"`
	RemoveExpired bool `json:"remove_expired"`
}

type cacheAnswer struct {
	Keys     counts `json:"keys"`
	DataKeys counts `json:"data_keys"`
}

type counts struct {
	Entries   int    `json:"entries"`
	Hits      uint64 `json:"hits"`
	Misses    uint64 `json:"misses"`
	Evictions uint64 `json:"evictions"`
}

type backendAnswer struct {
	Breaker  kms.BreakerState `json:"breaker,omitempty"`
	Trips    uint64           `json:"trips"`
	InFlight int              `json:"in_flight"`
}

type probeAnswer struct {
	At              time.Time  `json:"at"`
	DurationSeconds float64    `json:"duration_seconds"`
	Failures        int        `json:"failures"`
	Error           *errorBody `json:"error,omitempty"`
}

type sweepAnswer struct {
	At      time.Time  `json:"at,omitzero"`
	Removed []string   `json:"removed"`
	Waiting []string   `json:"waiting"`
	Kept    []keptKey  `json:"kept"`
	Halted  bool       `json:"halted"`
	Error   *errorBody `json:"error,omitempty"`
}

type keptKey struct {
	KeyID   string `json:"key_id"`
	Reason  string `json:"reason"`
	Scanned string `json:"scanned,omitempty"`
}

type rotationAnswer struct {
	At      time.Time  `json:"at"`
	Rotated []string   `json:"rotated"`
	Error   *errorBody `json:"error,omitempty"`
}

// healthTimeout is how long a status waits for the backend. Who asks for it wants an answer now.
const healthTimeout = 5 * time.Second

func (c *call) status() (job, error) {
	if _, err := c.query(); err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]byte, error) {
		status := c.service.Status()
		answer := statusAnswer{
			Status: status.State, BackendType: status.BackendType, Since: status.Since, Generation: status.Generation, Fingerprint: status.Fingerprint,
			LastError: errorOf(status.Err), Draining: status.Draining, Capabilities: capabilities(c.service.Capabilities()),
			Cache:   cacheAnswer{counts(status.Cache.Keys), counts(status.Cache.DataKeys)},
			Backend: backendAnswer(status.Backend),
			Probe:   probeOf(status.Probe), Sweep: sweepOf(status.Sweep), Rotation: rotationOf(status.Rotation),
		}
		if status.State == kms.ServiceRunning {
			ctx, cancel := context.WithTimeout(ctx, healthTimeout)
			defer cancel()
			if err := c.service.HealthCheck(ctx); !errors.Is(err, kms.ErrPermission) { // else it is not known
				answer.Healthy = new(err == nil)
			}
		}
		if cfg, err := c.service.Config(); err == nil && c.opts.Decoders != nil {
			if answer.ConfigSummary, err = c.opts.Decoders.Summary(cfg); err != nil {
				return nil, err
			}
		}
		return json.Marshal(answer)
	}, nil
}

// errorOf describes an error as the answer to it would; nil for none.
func errorOf(err error) *errorBody {
	if err == nil {
		return nil
	}
	_, told := describe(err)
	return told
}

func probeOf(s kms.ProbeStatus) *probeAnswer {
	if s.At.IsZero() {
		return nil
	}
	return &probeAnswer{s.At, s.Duration.Seconds(), s.Failures, errorOf(s.Err)}
}

func sweepOf(s kms.SweepStatus) *sweepAnswer {
	if s.At.IsZero() && s.Err == nil && !s.Halted {
		return nil
	}
	answer := &sweepAnswer{s.At, some(s.Removed), some(s.Waiting), []keptKey{}, s.Halted, errorOf(s.Err)}
	for _, kept := range s.Kept {
		answer.Kept = append(answer.Kept, keptKey(kept))
	}
	return answer
}

func rotationOf(s kms.RotationStatus) *rotationAnswer {
	if s.At.IsZero() {
		return nil
	}
	return &rotationAnswer{s.At, some(s.Rotated), errorOf(s.Err)}
}

// some returns a list that is [] in JSON where there is nothing.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
