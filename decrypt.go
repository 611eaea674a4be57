package kms

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Decrypt unwraps a data key or a small secret. Data keys come from the cache while they are in
// it. Wherever the answer comes from, the KeyID that was given, Options.Authorize and the state of
// the key are checked before it is given away. What the backend does not know or cannot open is given to the former backends, in their order. A key that is
// not Enabled is refused unless Options.DecryptWithDisabledKeys. See [KeyService].
func (m *Manager) Decrypt(ctx context.Context, req *DecryptRequest) (*DecryptResponse, error) {
	t := &task{name: opDecrypt}
	if req != nil {
		t.context = req.Context
	}
	return serve(ctx, m, t, req, func(ctx context.Context) (*DecryptResponse, error) {
		return m.decrypt(ctx, t, req)
	})
}

func (m *Manager) decrypt(ctx context.Context, t *task, req *DecryptRequest) (*DecryptResponse, error) {
	var u unwrapped
	if m.dataKeys == nil {
		u = m.unwrap(ctx, req, 0)
	} else {
		u, t.cacheHit = m.dataKeys.unwrap(ctx, req, m.unwrapBehind)
	}
	t.attempts = u.attempts
	if u.err == nil {
		u.err = m.mayAnswer(ctx, t, req.KeyID, u)
	}
	if u.err != nil {
		u.destroy()
		return nil, u.err
	}
	return &u.resp, nil
}

// unwrapBehind is unwrap for a goroutine that the calls waiting for it may leave behind.
func (m *Manager) unwrapBehind(ctx context.Context, req *DecryptRequest) unwrapped {
	pass, ok := m.calls.join()
	if !ok {
		return unwrapped{err: ErrClosed}
	}
	defer m.calls.leave(pass)
	return m.unwrap(ctx, req, 0)
}

// unwrap asks one backend after the other, beginning with the given one, until one opens the
// ciphertext. The error is that of the first one asked, where all of them answer that they do
// not know the key or cannot open the ciphertext.
func (m *Manager) unwrap(ctx context.Context, req *DecryptRequest, first int) (u unwrapped) {
	for i := first; i <= len(m.former); i++ {
		b := m.backendAt(i)
		resp, attempts, err := ask(ctx, m, m.opts.RetryAttempts, func(ctx context.Context) (*DecryptResponse, error) {
			return b.Decrypt(ctx, req)
		})
		u.attempts += attempts
		if err == nil {
			return unwrapped{resp: *resp, backend: i, attempts: u.attempts}
		}
		if !mayBeElsewhere(err) {
			u.err = err
			return u
		}
		u.err = cmp.Or(u.err, err)
	}
	return u
}

// mayBeElsewhere reports whether an error of Decrypt leaves it open that another backend wrapped the
// ciphertext.
func mayBeElsewhere(err error) bool {
	for _, target := range []error{ErrKeyNotFound, ErrDecrypt, ErrUnsupported, ErrInvalidRequest} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func (m *Manager) backendAt(i int) Backend {
	if i == 0 {
		return m.backend
	}
	return m.former[i-1]
}

// mayAnswer checks all that must hold before an opened ciphertext is answered, wherever it came from.
func (m *Manager) mayAnswer(ctx context.Context, t *task, wantKeyID string, u unwrapped) error {
	if wantKeyID != "" && wantKeyID != u.resp.KeyID {
		return fmt.Errorf("%w: the ciphertext is of key %q, want %q", ErrDecrypt, u.resp.KeyID, wantKeyID)
	}
	if wantKeyID == "" {
		t.keyID = u.resp.KeyID
		if err := m.authorize(ctx, t.name, t.keyID, t.context); err != nil {
			return err
		}
	}
	return m.mayDecrypt(ctx, keyName{u.backend, u.resp.KeyID})
}

// mayDecrypt checks the state of a key.
func (m *Manager) mayDecrypt(ctx context.Context, name keyName) error {
	d, err := m.describe(ctx, name)
	if err != nil {
		return err
	}
	err = mayUse(d.key)
	if !m.opts.DecryptWithDisabledKeys {
		return err
	}
	if errors.Is(err, ErrKeyDisabled) || errors.Is(err, ErrKeyPendingDeletion) && time.Now().Before(d.key.DeletionDate) {
		return nil
	}
	return err
}

// mayUse checks that a key is Enabled.
func mayUse(key Key) error {
	switch key.State {
	case KeyEnabled:
		return nil
	case KeyDisabled:
		return ErrKeyDisabled
	case KeyPendingDeletion:
		return ErrKeyPendingDeletion
	}
	return fmt.Errorf("%w: key %q is in state %q", ErrUnavailable, key.ID, key.State)
}

// describe returns the description of a key, from the cache where it is fresh.
func (m *Manager) describe(ctx context.Context, name keyName) (description, error) {
	if m.keys == nil {
		return m.askForKey(ctx, name)
	}
	return m.keys.describe(ctx, name, func(ctx context.Context) (description, error) {
		pass, ok := m.calls.join()
		if !ok {
			return description{}, ErrClosed
		}
		defer m.calls.leave(pass)
		return m.askForKey(ctx, name)
	})
}

func (m *Manager) askForKey(ctx context.Context, name keyName) (description, error) {
	b := m.backendAt(name.backend)
	resp, attempts, err := ask(ctx, m, m.opts.RetryAttempts, func(ctx context.Context) (*DescribeKeyResponse, error) {
		return b.DescribeKey(ctx, &DescribeKeyRequest{KeyID: name.id})
	})
	if err != nil {
		return description{attempts: attempts}, err
	}
	return description{key: resp.Key, attempts: attempts}, nil
}

// forget drops all that the caches hold of a key, so that a change of its state is seen at once.
func (m *Manager) forget(keyID string) {
	if m.keys == nil || keyID == "" {
		return
	}
	for i := 0; i <= len(m.former); i++ {
		m.keys.entries.Delete(keyName{i, keyID})
	}
	m.dataKeys.entries.DeleteFunc(func(_ dataKeyID, u unwrapped) bool { return u.resp.KeyID == keyID })
}

// ClearCache drops and wipes all that the caches hold.
func (m *Manager) ClearCache() {
	if m.keys != nil {
		m.keys.entries.Clear()
		m.dataKeys.entries.Clear()
	}
}

// CacheStats counts what the caches of a Manager did since it was made.
type CacheStats struct {
	Keys, DataKeys CacheCounts
}

// CacheCounts counts what one cache did.
type CacheCounts struct {
	Entries                 int // held now
	Hits, Misses, Evictions uint64
}

// CacheStats returns the counts of both caches; all zero where caches are disabled.
func (m *Manager) CacheStats() CacheStats {
	if m.keys == nil {
		return CacheStats{}
	}
	keys, dataKeys := m.keys.entries.Stats(), m.dataKeys.entries.Stats()
	return CacheStats{
		Keys:     CacheCounts{m.keys.entries.Len(), keys.Hits, keys.Misses, keys.Evictions},
		DataKeys: CacheCounts{m.dataKeys.entries.Len(), dataKeys.Hits, dataKeys.Misses, dataKeys.Evictions},
	}
}
