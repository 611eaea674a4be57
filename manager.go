package kms

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/objectkms/kms/internal/retry"
)

// Manager is the KeyService that programs use: it stands before a backend and adds the default
// key, validation, timeouts, retries, caches, authorization and observation. Make one with [Open] or [NewManager]. It is safe for
// concurrent use.
//
// Every error of its methods is an [*Error] that wraps one of this package's sentinels, the error
// of the caller's context, or what a backend of somebody else's has answered.
type Manager struct {
	backend     Backend
	former      []Backend
	backendType string
	opts        Options
	calls       gate
	made        atomic.Uint64
	auditor     *auditor      // nil where there is no sink
	keys        *keyCache     // nil where caches are disabled
	dataKeys    *dataKeyCache // nil where caches are disabled
}

var _ KeyService = (*Manager)(nil)

// Open validates the configuration, opens its backends, and returns a Manager that owns them. Where
// one backend cannot be opened, those opened before it are closed again.
func Open(ctx context.Context, cfg Config) (*Manager, error) {
	m, err := open(ctx, cfg)
	if err != nil {
		return nil, wrapError("Open", "", err)
	}
	return m, nil
}

func open(ctx context.Context, cfg Config) (*Manager, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b, err := openBackend(ctx, withLogger(cfg.Backend, cfg.Logger))
	if err != nil {
		return nil, err
	}
	m := NewManager(b, cfg.Options)
	m.backendType = cfg.Backend.BackendType()
	for i, config := range cfg.Former {
		former, err := openBackend(ctx, withLogger(config, cfg.Logger))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("former backend %d: %w", i, err), m.Close())
		}
		m.former = append(m.former, former)
	}
	return m, nil
}

func openBackend(ctx context.Context, cfg BackendConfig) (Backend, error) {
	b, err := cfg.Open(ctx)
	if err == nil && b == nil {
		return nil, fmt.Errorf("%w: the %s backend opened neither a backend nor an error", ErrInvalidConfig, cfg.BackendType())
	}
	return b, err
}

// NewManager returns a Manager over a backend that is open, and not nil. It takes the backend over: Close
// closes it. Options that mean nothing, such as a negative timeout, count as zero.
func NewManager(b Backend, opts Options) *Manager {
	m := &Manager{backend: b, backendType: "custom", opts: opts.withDefaults(), auditor: newAuditor(opts.Audit)}
	if named, ok := b.(interface{ BackendType() string }); ok {
		m.backendType = named.BackendType()
	}
	if !opts.Cache.Disabled {
		m.keys = newKeyCache(m.opts.Cache)
		m.dataKeys = newDataKeyCache(m.opts.Cache)
	}
	return m
}

// Close refuses new calls with ErrClosed, waits for those in flight, wipes the caches and closes the backends. A
// second Close waits for the first and returns nil.
func (m *Manager) Close() error {
	if !m.calls.close() {
		return nil
	}
	m.ClearCache()
	errs := []error{m.backend.Close()}
	for _, former := range m.former {
		errs = append(errs, former.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return wrapError("Close", "", err)
	}
	return nil
}

// Capabilities says which optional operations a backend has.
type Capabilities struct {
	Rotate        bool // KeyRotator
	EnableDisable bool // KeyStateChanger
	Import        bool // KeyImporter
	Update        bool // KeyUpdater
	Rewrap        bool // DataKeyRewrapper
	RemoveExpired bool // ExpiredKeyRemover
}

// Capabilities says which optional operations the backend has; the others answer ErrUnsupported.
func (m *Manager) Capabilities() Capabilities {
	var c Capabilities
	_, c.Rotate = m.backend.(KeyRotator)
	_, c.EnableDisable = m.backend.(KeyStateChanger)
	_, c.Import = m.backend.(KeyImporter)
	_, c.Update = m.backend.(KeyUpdater)
	_, c.Rewrap = m.backend.(DataKeyRewrapper)
	_, c.RemoveExpired = m.backend.(ExpiredKeyRemover)
	return c
}

// A request checks itself and names the key that it is about.
type request interface {
	Validate() error
	key() string
}

// A task is one operation under way.
type task struct {
	name     string
	context  EncryptionContext
	changes  bool         // keys are changed: never repeated, and the caches forget the key
	once     bool         // never repeated
	makes    bool         // a key is made
	check    func() error // what the Manager demands beyond the request's form
	attempts int
	cacheHit bool
	keyID    string
}

// do carries one operation from the caller to an interface of the backend and back: it is what
// all methods share.
func do[I any, Req request, Resp any](ctx context.Context, m *Manager, t *task, req Req, method func(I, context.Context, Req) (*Resp, error)) (*Resp, error) {
	return serve(ctx, m, t, req, func(ctx context.Context) (*Resp, error) {
		b, ok := m.backend.(I)
		if !ok {
			return nil, fmt.Errorf("%w: the %s backend has no %s", ErrUnsupported, m.backendType, t.name)
		}
		resp, attempts, err := ask(ctx, m, m.attempts(t), func(ctx context.Context) (*Resp, error) {
			return method(b, ctx, req)
		})
		t.attempts = attempts
		if t.changes {
			m.forget(t.keyID)
			if t.makes {
				m.made.Add(1)
			}
		}
		return resp, err
	})
}

// serve admits an operation, answers it with run, and reports how it ended.
func serve[Req request, Resp any](ctx context.Context, m *Manager, t *task, req Req, run func(context.Context) (*Resp, error)) (resp *Resp, err error) {
	start := m.clock()
	pass, ok := m.calls.enter()
	if !ok {
		return nil, m.finish(ctx, t, start, ErrClosed)
	}
	defer m.calls.leave(pass)
	err = errPanicked // until it is known better
	defer func() { err = m.finish(ctx, t, start, err) }()
	if err := m.admit(ctx, t, req); err != nil {
		return nil, err
	}
	return run(ctx)
}

// errPanicked is what the Observer is told of an operation whose panic goes on to the caller.
var errPanicked = errors.New("the operation panicked")

// attempts returns how often an operation may be tried.
func (m *Manager) attempts(t *task) int {
	if t.changes || t.once {
		return 1
	}
	return m.opts.RetryAttempts
}

// admit checks the request and asks whether it is allowed.
func (m *Manager) admit(ctx context.Context, t *task, req request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := req.Validate(); err != nil {
		return err
	}
	t.keyID = req.key()
	if t.check != nil {
		if err := t.check(); err != nil {
			return err
		}
	}
	if t.name == opDecrypt && t.keyID == "" || t.name == opRewrapDataKeys {
		return nil // asked when the ciphertexts have told their keys
	}
	return m.authorize(ctx, t.name, t.keyID, t.context)
}

func (m *Manager) authorize(ctx context.Context, op, keyID string, ec EncryptionContext) error {
	if m.opts.Authorize == nil {
		return nil
	}
	err := m.opts.Authorize(ctx, op, keyID, ec)
	if err == nil {
		return nil
	}
	// An error of this package inside the refusal must not make it look like something else.
	if _, ours := errors.AsType[*Error](err); ours || classify(err).kind != KindUnknown {
		return fmt.Errorf("%w: %v", ErrPermission, err)
	}
	return fmt.Errorf("%w: %w", ErrPermission, err)
}

// ask calls a backend, with a timeout for each attempt, and again while it is unavailable, up to
// a number of attempts.
func ask[Resp any](ctx context.Context, m *Manager, most int, call func(context.Context) (*Resp, error)) (resp *Resp, attempts int, err error) {
	policy := retry.Policy{Attempts: most, Timeout: m.opts.Timeout}
	attempts, err = policy.Do(ctx, m.mayRepeat, func(ctx context.Context) error {
		var err error
		resp, err = call(ctx)
		if err == nil && resp == nil {
			return errors.New("the backend answered neither a response nor an error")
		}
		return err
	})
	if err != nil {
		return nil, attempts, unavailableOnTimeout(err)
	}
	return resp, attempts, nil
}

func (m *Manager) mayRepeat(err error) bool {
	if !errors.Is(err, ErrUnavailable) && !errors.Is(err, retry.ErrTimeout) {
		return false
	}
	m.opts.Logger.Warn("kms: backend attempt failed", "backend", m.backendType, "error", err)
	return true
}

// unavailableOnTimeout makes a timeout of the Manager's own ErrUnavailable. A deadline of the
// caller's stays what it is.
func unavailableOnTimeout(err error) error {
	if errors.Is(err, retry.ErrTimeout) && !errors.Is(err, ErrUnavailable) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// clock returns the time where somebody will look at it.
func (m *Manager) clock() time.Time {
	if m.opts.Observer == nil && m.auditor == nil {
		return time.Time{}
	}
	return time.Now()
}

// finish wraps the error and tells the observer and the audit.
func (m *Manager) finish(ctx context.Context, t *task, start time.Time, err error) error {
	if err != nil {
		err = wrapError(t.name, t.keyID, err)
	}
	if m.opts.Observer == nil && m.auditor == nil {
		return err
	}
	op := Operation{
		Op: t.name, Backend: m.backendType, KeyID: t.keyID, Duration: time.Since(start),
		Attempts: t.attempts, CacheHit: t.cacheHit, Kind: KindOf(err), Err: err,
	}
	if m.opts.Observer != nil {
		m.opts.Observer(ctx, op)
	}
	m.auditor.record(ctx, op, t.context)
	return err
}

// wrapError adds the operation and the key to an error, once. An error of a backend that is none
// of the sentinels is of KindBackend.
func wrapError(op, keyID string, err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	kind := classify(err).kind
	if kind == KindUnknown {
		kind = KindBackend
	}
	return &Error{Kind: kind, Op: op, KeyID: keyID, Err: err}
}
