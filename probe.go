package kms

import (
	"context"
	"crypto/subtle"
	"fmt"
	"sync"
	"time"
)

// ProbeOptions let a ServiceManager try, again and again, whether keys can be used: it makes a data key, has it decrypted, and compares. The zero
// value is off. A probe goes the way of any call, as the principal [PrincipalProbe], and so is authorized, observed and audited; the answer
// to its Decrypt is in no cache before.
type ProbeOptions struct {
	// Interval is the time between two probes. 0 means none.
	Interval time.Duration
	// Jitter is the longest random time that is added to each interval. 0 means a tenth of it, and a negative one none.
	Jitter time.Duration
	// KeyID is the key to probe. Empty means the default key, and where there is none only the backend's health is asked.
	KeyID string
	// Timeout bounds one probe. 0 means 30 seconds.
	Timeout time.Duration
}

// ProbeStatus is how the last probe went.
type ProbeStatus struct {
	At       time.Time // when it ended; zero before the first one
	Duration time.Duration
	Err      error
	Failures int // in a row
}

// A prober remembers how probes went.
type prober struct {
	mu   sync.Mutex
	last ProbeStatus
}

func (p *prober) status() ProbeStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *prober) note(start time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	failures := 0
	if err != nil {
		failures = p.last.Failures + 1
	}
	now := time.Now()
	p.last = ProbeStatus{At: now, Duration: now.Sub(start), Err: err, Failures: failures}
}

// probeNow is one probe of the worker.
func (s *ServiceManager) probeNow(ctx context.Context) {
	start := time.Now()
	err := s.ProbeKey(ctx)
	if ctx.Err() == nil { // else it was the service that stopped
		s.prober.note(start, err)
	}
}

// ProbeKey makes one probe, as [ProbeOptions] says, whether or not the worker is on. It is for readiness checks. A data key that
// comes back as another one is ErrKeyMaterial; all else is the error of the call that failed.
func (s *ServiceManager) ProbeKey(ctx context.Context) error {
	timeout := s.Probe.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	current, pass, err := s.lease()
	if err != nil {
		return wrapError("ProbeKey", "", err)
	}
	defer current.leases.leave(pass)
	keyID := s.Probe.KeyID
	if keyID == "" {
		keyID = current.opts.DefaultKeyID
	}
	if keyID == "" {
		return current.HealthCheck(ctx)
	}
	return wrapProbe(keyID, probe(ctx, current.Manager, keyID))
}

func wrapProbe(keyID string, err error) error {
	if err == nil {
		return nil
	}
	return wrapError("ProbeKey", keyID, err)
}

// probe makes a data key, has it decrypted, and compares.
func probe(ctx context.Context, keys KeyService, keyID string) error {
	ec := EncryptionContext{"kms:purpose": "probe"}
	made, err := keys.GenerateDataKey(ctx, &GenerateDataKeyRequest{KeyID: keyID, Context: ec})
	if err != nil {
		return err
	}
	defer made.Plaintext.Destroy()
	opened, err := keys.Decrypt(ctx, &DecryptRequest{Ciphertext: made.Ciphertext, Context: ec, KeyID: keyID})
	if err != nil {
		return err
	}
	defer opened.Plaintext.Destroy()
	if got, want := made.Plaintext.Len(), AES256.Size(); got != want {
		return fmt.Errorf("%w: a data key has %d bytes, want %d", ErrKeyMaterial, got, want)
	}
	if subtle.ConstantTimeCompare(made.Plaintext.Bytes(), opened.Plaintext.Bytes()) != 1 {
		return fmt.Errorf("%w: a data key was decrypted to another one", ErrKeyMaterial)
	}
	return nil
}
