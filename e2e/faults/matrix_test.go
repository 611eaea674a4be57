package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/faultproxy"
	"github.com/objectkms/kms/e2e/internal/sample"
	"github.com/objectkms/kms/e2e/testenv"
	"github.com/objectkms/kms/vault"
)

func faults() map[string]faultproxy.Fault {
	return map[string]faultproxy.Fault{
		"delay":        {Delay: time.Hour},
		"drop before":  {Drop: faultproxy.BeforeForward},
		"drop after":   {Drop: faultproxy.AfterForward},
		"truncate":     {Truncate: true},
		"corrupt":      {Corrupt: true},
		"429":          {Status: http.StatusTooManyRequests, RetryAfter: "3600"},
		"500":          {Status: http.StatusInternalServerError},
		"502 of proxy": {Status: http.StatusBadGateway},
		"503":          {Status: http.StatusServiceUnavailable},
	}
}

// deadline is that of an operation here. It is short for the one fault that never answers.
func deadline(fault faultproxy.Fault) time.Duration {
	if fault.Delay > 0 {
		return 200 * time.Millisecond
	}
	return 10 * time.Second
}

// Every operation meets every fault at each of its requests, one after the other. It ends in its deadline, and is ErrUnavailable where it did not get
// through. No request that changes something is sent twice, and afterwards the key is whole, or is as gone as it should be.
func TestEveryOperationMeetsEveryFault(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		server := testenv.NewMounts(t)
		for name, fault := range faults() {
			t.Run(name, func(t *testing.T) {
				m := server.Fresh(t)
				p := faultproxy.Start(t, m.Address)
				s := scene{engine: engine, fault: fault, proxy: p, mounts: m.At(t, p.URL()), keeper: open(t, m.Config(engine))}
				// The first import has the server make an RSA key, which takes it long.
				material := kms.NewSecret([]byte(strings.Repeat("m", 32)))
				require.NoError(t, first(s.keeper.ImportKey(t.Context(), &kms.ImportKeyRequest{KeyID: "imported", Material: material})))
				create(t, s.keeper, "shared")
				for _, op := range operations() {
					t.Run(op.name, func(t *testing.T) { s.meet(t, op) })
				}
			})
		}
	})
}

// A scene is where operations meet a fault. The keeper sees the same keys, and meets none.
type scene struct {
	engine vault.Engine
	fault  faultproxy.Fault
	proxy  *faultproxy.Proxy
	mounts *testenv.Mounts
	keeper *vault.Backend
}

// meet lets the nth request of an operation fail, for every n that it gets to.
func (s *scene) meet(t *testing.T, op operation) {
	for n := 0; ; n++ {
		require.Less(t, n, 50, "an operation of endlessly many requests")
		id := "shared"
		if op.changes {
			id = strings.Map(letters, fmt.Sprint(op.name, "-", n))
		}
		blob := s.prepare(t, op, id)
		b := open(t, s.mounts.Config(s.engine)) // one that has nothing in a cache
		s.proxy.Forget()
		s.proxy.Fail(nth(n, s.fault))
		ctx, cancel := context.WithTimeout(t.Context(), deadline(s.fault))
		err := op.call(ctx, b, id, blob)
		s.proxy.Fail(nil)
		requireOneClass(t, ctx, err)
		cancel()
		requireNothingTwice(t, s.proxy, s.mounts)
		met := s.proxy.Count(func(faultproxy.Request) bool { return true }) > n
		requireUsable(t, s.keeper, op, id, err)
		if !met {
			require.NoError(t, err)
			return
		}
	}
}

// letters keeps what may stand in a key id.
func letters(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
		return r
	}
	return -1
}

// nth lets n requests pass, and the next one fail.
func nth(n int, fault faultproxy.Fault) faultproxy.Plan {
	pass := faultproxy.First(n, faultproxy.Fault{Delay: 1})
	fail := faultproxy.First(1, fault)
	return func(r faultproxy.Request) faultproxy.Fault {
		if pass(r).Delay > 0 {
			return faultproxy.Fault{}
		}
		return fail(r)
	}
}

func (s *scene) prepare(t *testing.T, op operation, id string) (blob []byte) {
	t.Helper()
	if op.makes {
		return nil
	}
	if op.changes {
		create(t, s.keeper, id)
	}
	key, err := sample.New(t.Context(), s.keeper, id, nil)
	require.NoError(t, err)
	if op.prepare != nil {
		require.NoError(t, op.prepare(t.Context(), s.keeper, id))
	}
	return key.Ciphertext
}

// requireOneClass checks that an error says that Vault could not be reached, or that the caller's own time is over, and nothing else.
func requireOneClass(t *testing.T, ctx context.Context, err error) {
	t.Helper()
	if err == nil || ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return
	}
	require.ErrorIs(t, err, kms.ErrUnavailable)
}

// requireNothingTwice checks that no request that changes something reached Vault twice.
func requireNothingTwice(t *testing.T, p *faultproxy.Proxy, m *testenv.Mounts) {
	t.Helper()
	seen := make(map[string]bool)
	for _, r := range p.Requests() {
		if !mutates(m)(r) {
			continue
		}
		what := fmt.Sprintf("%s %s %x", r.Method, r.URI, r.Body[:8])
		require.False(t, seen[what], "sent twice: %s", what)
		seen[what] = true
	}
}

// requireUsable checks that the key is not stuck in the middle: who asks again comes to the end.
func requireUsable(t *testing.T, keeper *vault.Backend, op operation, id string, err error) {
	t.Helper()
	ctx := t.Context()
	switch {
	case op.makes:
		_, again := keeper.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id})
		if err == nil || again != nil {
			require.ErrorIs(t, again, kms.ErrKeyExists)
		}
	case op.removes:
		_, again := keeper.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})
		if again != nil {
			require.ErrorIs(t, again, kms.ErrKeyNotFound)
		}
		create(t, keeper, id)
	default:
		// It may be pending deletion now.
		keeper.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: id})
	}
	require.NoError(t, first(keeper.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: id})))
	key, err := sample.New(ctx, keeper, id, nil)
	require.NoError(t, err)
	require.NoError(t, key.Open(ctx, keeper))
}

// Through a Manager bursts of failures are passed over where nothing is changed, and each operation ends in its deadline.
func TestBurstsAreRidden(t *testing.T) {
	engines(t, func(t *testing.T, engine vault.Engine) {
		p, m := startProxy(t)
		for name, fault := range map[string]faultproxy.Fault{
			"429": {Status: http.StatusTooManyRequests, RetryAfter: "1"},
			"500": {Status: http.StatusInternalServerError},
			"503": {Status: http.StatusServiceUnavailable},
			"cut": {Drop: faultproxy.BeforeForward},
		} {
			t.Run(name, func(t *testing.T) {
				keys, err := kms.Open(t.Context(), kms.Config{Backend: m.Config(engine), Options: kms.Options{Cache: kms.CacheOptions{Disabled: true}}})
				require.NoError(t, err)
				defer keys.Close()
				create(t, keys, "k"+name)
				key, err := sample.New(t.Context(), keys, "k"+name, nil)
				require.NoError(t, err)
				p.Fail(faultproxy.Bursts(2, 20, fault))
				defer p.Fail(nil)
				for range 5 {
					require.NoError(t, key.Open(t.Context(), keys))
				}
			})
		}
	})
}
