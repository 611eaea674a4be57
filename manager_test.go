package kms_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

// newManager returns a Manager over a mock that has a key "k".
func newManager(t *testing.T, opts kms.Options) (*kms.Manager, *mock.Backend) {
	t.Helper()
	b := mock.New()
	m := kms.NewManager(b, opts)
	t.Cleanup(func() { m.Close() })
	createKey(t, m, "k")
	return m, b
}

func createKey(t *testing.T, keys kms.KeyService, id string) {
	t.Helper()
	_, err := keys.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
	require.NoError(t, err)
}

func generate(t *testing.T, keys kms.KeyService, id string) (wrapped, plaintext []byte) {
	t.Helper()
	resp, err := keys.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: id})
	require.NoError(t, err)
	return resp.Ciphertext, resp.Plaintext.Bytes()
}

func decrypt(t *testing.T, keys kms.KeyService, wrapped []byte) ([]byte, error) {
	t.Helper()
	resp, err := keys.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: wrapped})
	if err != nil {
		return nil, err
	}
	return resp.Plaintext.Bytes(), nil
}

func unavailable(n int) error { return fmt.Errorf("%w: attempt %d", kms.ErrUnavailable, n) }

func TestTheDefaultKeyIsUsedWhereNoneIsNamed(t *testing.T) {
	m, _ := newManager(t, kms.Options{DefaultKeyID: "k"})
	generated, err := m.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{})
	require.NoError(t, err)
	require.Equal(t, "k", generated.KeyID)
	encrypted, err := m.Encrypt(t.Context(), &kms.EncryptRequest{Plaintext: []byte("x")})
	require.NoError(t, err)
	require.Equal(t, "k", encrypted.KeyID)
}

func TestWithoutADefaultKeyOneMustBeNamed(t *testing.T) {
	m, b := newManager(t, kms.Options{})
	req := &kms.GenerateDataKeyRequest{}
	_, err := m.GenerateDataKey(t.Context(), req)
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
	require.Empty(t, req.KeyID, "the caller's request must not change")
	_, err = m.Encrypt(t.Context(), &kms.EncryptRequest{Plaintext: []byte("x")})
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
	require.Zero(t, b.Calls("GenerateDataKey")+b.Calls("Encrypt"))
}

func TestAMissingDefaultKeyIsNeverMade(t *testing.T) {
	m, b := newManager(t, kms.Options{DefaultKeyID: "missing"})
	created := b.Calls("CreateKey")
	_, err := m.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{})
	require.ErrorIs(t, err, kms.ErrKeyNotFound)
	require.NoError(t, m.HealthCheck(t.Context()))
	require.Equal(t, created, b.Calls("CreateKey"))
}

func TestErrorsAreWrappedOnce(t *testing.T) {
	m, _ := newManager(t, kms.Options{})
	_, err := m.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "nope"})
	e, ok := errors.AsType[*kms.Error](err)
	require.True(t, ok)
	require.Equal(t, "RotateKey", e.Op)
	require.Equal(t, "nope", e.KeyID)
	require.Equal(t, kms.KindRequest, e.Kind)
	require.ErrorIs(t, err, kms.ErrKeyNotFound)
	require.Equal(t, 1, strings.Count(err.Error(), "kms: "))

	outer := kms.NewManager(struct{ kms.Backend }{nestedBackend{m}}, kms.Options{})
	_, err = outer.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "nope"})
	require.Equal(t, 1, strings.Count(err.Error(), "kms: "))
}

// nestedBackend is a backend that asks another Manager.
type nestedBackend struct{ *kms.Manager }

func TestAnErrorOfABackendsOwnIsOfKindBackend(t *testing.T) {
	m, b := newManager(t, kms.Options{})
	own := errors.New("disk on fire")
	b.FailNext("DescribeKey", own)
	_, err := m.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, own)
	require.Equal(t, kms.KindBackend, kms.KindOf(err))
	require.Equal(t, 500, kms.HTTPStatus(err))
}

func TestReadsAreRepeatedWhileUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newManager(t, kms.Options{})
		wrapped, plaintext := generate(t, m, "k")
		b.FailNext("Decrypt", unavailable(1))
		b.FailNext("Decrypt", unavailable(2))
		got, err := decrypt(t, m, wrapped)
		require.NoError(t, err)
		require.Equal(t, plaintext, got)
		require.Equal(t, 3, b.Calls("Decrypt"))
	})
}

func TestAttemptsAreBounded(t *testing.T) {
	tests := []struct{ attempts, want int }{{0, 3}, {5, 5}, {1, 1}, {-1, 1}}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.attempts), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, b := newManager(t, kms.Options{RetryAttempts: tt.attempts})
				for i := range 10 {
					b.FailNext("GenerateDataKey", unavailable(i))
				}
				_, err := m.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
				require.ErrorIs(t, err, kms.ErrUnavailable)
				require.Equal(t, tt.want, b.Calls("GenerateDataKey"))
			})
		})
	}
}

func TestOnlyUnavailableIsRepeated(t *testing.T) {
	for _, failure := range []error{kms.ErrPermission, kms.ErrKeyMaterial, kms.ErrKeyNotFound, errors.New("own")} {
		m, b := newManager(t, kms.Options{})
		b.FailNext("Encrypt", failure)
		_, err := m.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "k", Plaintext: []byte("x")})
		require.ErrorIs(t, err, failure)
		require.Equal(t, 1, b.Calls("Encrypt"))
	}
}

// mutations calls every operation that changes keys, on the key "k".
func mutations(m *kms.Manager) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"CreateKey": func(ctx context.Context) error {
			_, err := m.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "new"})
			return err
		},
		"ImportKey": func(ctx context.Context) error {
			material := kms.NewSecret([]byte(strings.Repeat("m", 32)))
			_, err := m.ImportKey(ctx, &kms.ImportKeyRequest{KeyID: "imported", Material: material})
			return err
		},
		"EnableKey": func(ctx context.Context) error {
			_, err := m.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: "k"})
			return err
		},
		"DisableKey": func(ctx context.Context) error {
			_, err := m.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: "k"})
			return err
		},
		"RotateKey": func(ctx context.Context) error {
			_, err := m.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: "k"})
			return err
		},
		"UpdateKeyDescription": func(ctx context.Context) error {
			_, err := m.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionRequest{KeyID: "k"})
			return err
		},
		"TagKey": func(ctx context.Context) error {
			_, err := m.TagKey(ctx, &kms.TagKeyRequest{KeyID: "k", Tags: tags(1)})
			return err
		},
		"UntagKey": func(ctx context.Context) error {
			_, err := m.UntagKey(ctx, &kms.UntagKeyRequest{KeyID: "k", TagKeys: []string{"a"}})
			return err
		},
		"DeleteKey": func(ctx context.Context) error {
			_, err := m.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "k"})
			return err
		},
		"CancelKeyDeletion": func(ctx context.Context) error {
			_, err := m.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: "k"})
			return err
		},
		"RemoveExpiredKeys": func(ctx context.Context) error {
			_, err := m.RemoveExpiredKeys(ctx, time.Now())
			return err
		},
	}
}

func TestAMutationThatMayHaveArrivedIsNeverSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newManager(t, kms.Options{})
		for op, call := range mutations(m) {
			before := b.Calls(op)
			b.FailNext(op, unavailable(1))
			require.ErrorIs(t, call(t.Context()), kms.ErrUnavailable, op)
			require.Equal(t, before+1, b.Calls(op), op)
		}
	})
}

func TestAMutationThatTimesOutIsNeverSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newManager(t, kms.Options{Timeout: time.Second})
		for op, call := range mutations(m) {
			before := b.Calls(op)
			b.Delay(op, time.Hour)
			require.ErrorIs(t, call(t.Context()), kms.ErrUnavailable, op)
			require.Equal(t, before+1, b.Calls(op), op)
		}
	})
}

func TestEachAttemptHasATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newManager(t, kms.Options{Timeout: time.Second, RetryAttempts: 2})
		b.Delay("DescribeKey", time.Hour)
		start := time.Now()
		_, err := m.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
		require.ErrorIs(t, err, kms.ErrUnavailable)
		require.Equal(t, 503, kms.HTTPStatus(err))
		require.Equal(t, 2, b.Calls("DescribeKey"))
		require.Less(t, time.Since(start), 20*time.Second)
	})
}

func TestTheTimeoutIs30SecondsByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newManager(t, kms.Options{RetryAttempts: 1})
		b.Delay("HealthCheck", time.Hour)
		start := time.Now()
		require.ErrorIs(t, m.HealthCheck(t.Context()), kms.ErrUnavailable)
		require.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestTheCallersContextEndsACallAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newManager(t, kms.Options{})
		wrapped, _ := generate(t, m, "k")
		for _, op := range []string{"Decrypt", "GenerateDataKey", "ListKeys"} {
			b.Delay(op, time.Hour)
		}
		calls := map[string]func(context.Context) error{
			"Decrypt": func(ctx context.Context) error {
				_, err := m.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: wrapped})
				return err
			},
			"GenerateDataKey": func(ctx context.Context) error {
				_, err := m.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: "k"})
				return err
			},
			"ListKeys": func(ctx context.Context) error {
				_, err := m.ListKeys(ctx, &kms.ListKeysRequest{})
				return err
			},
		}
		for op, call := range calls {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			start, before := time.Now(), b.Calls(op)
			err := call(ctx)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded, op)
			require.NotErrorIs(t, err, kms.ErrUnavailable, op)
			require.Equal(t, time.Second, time.Since(start), op)
			require.Equal(t, before+1, b.Calls(op), op)
		}
		synctest.Wait()
	})
}

func TestACallWithAContextThatIsOverDoesNothing(t *testing.T) {
	m, b := newManager(t, kms.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := b.Calls("CreateKey")
	_, err := m.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "new"})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before, b.Calls("CreateKey"))
}

func TestCloseWaitsForCallsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mock.New()
		m := kms.NewManager(b, kms.Options{})
		b.Delay("HealthCheck", time.Second)
		var answered atomic.Bool
		go func() {
			require.NoError(t, m.HealthCheck(t.Context()))
			answered.Store(true)
		}()
		synctest.Wait()
		start := time.Now()
		require.NoError(t, m.Close())
		require.True(t, answered.Load())
		require.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, m.HealthCheck(t.Context()), kms.ErrClosed)
		require.NoError(t, m.Close())
	})
}

func TestAClosedManagerAsksNoBackend(t *testing.T) {
	m, b := newManager(t, kms.Options{})
	require.NoError(t, m.Close())
	before := b.Calls("DescribeKey")
	_, err := m.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrClosed)
	require.Equal(t, before, b.Calls("DescribeKey"))
}

func TestCloseWaitsForALoadThatItsCallerLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Bool
		b := mock.New()
		m := kms.NewManager(stubborn{b, &closed}, kms.Options{})
		createKey(t, m, "k")
		wrapped, _ := generate(t, m, "k")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := m.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: wrapped})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, m.Close())
		require.True(t, closed.Load())
	})
}

// stubborn is a backend whose Decrypt does not obey its context, and fails the test's wish when it
// is closed meanwhile.
type stubborn struct {
	*mock.Backend
	closed *atomic.Bool
}

func (s stubborn) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	time.Sleep(time.Minute)
	if s.closed.Load() {
		panic("the backend was closed while a call was in flight")
	}
	return nil, ctx.Err()
}

func (s stubborn) Close() error {
	s.closed.Store(true)
	return s.Backend.Close()
}

func TestImmediateDeletionIsGated(t *testing.T) {
	now := &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"}
	m, b := newManager(t, kms.Options{})
	_, err := m.DeleteKey(t.Context(), now)
	require.ErrorIs(t, err, kms.ErrPermission)
	require.Zero(t, b.Calls("DeleteKey"))

	m, b = newManager(t, kms.Options{AllowImmediateDeletion: true, DefaultKeyID: "k"})
	_, err = m.DeleteKey(t.Context(), now)
	require.ErrorIs(t, err, kms.ErrKeyInUse)
	require.Zero(t, b.Calls("DeleteKey"))

	m, _ = newManager(t, kms.Options{AllowImmediateDeletion: true})
	_, err = m.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "x"})
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
	_, err = m.DeleteKey(t.Context(), now)
	require.NoError(t, err)
	_, err = m.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyNotFound)
}

func TestTheDefaultKeyIsNeverSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, kms.Options{DefaultKeyID: "k"})
		createKey(t, m, "other")
		for _, id := range []string{"k", "other"} {
			_, err := m.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, PendingWindowDays: 7})
			require.NoError(t, err)
		}
		time.Sleep(8 * 24 * time.Hour)
		removed, err := m.RemoveExpiredKeys(t.Context(), time.Now())
		require.ErrorIs(t, err, kms.ErrKeyInUse)
		require.Empty(t, removed)
		_, err = m.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionRequest{KeyID: "k"})
		require.NoError(t, err)
		removed, err = m.RemoveExpiredKeys(t.Context(), time.Now())
		require.NoError(t, err)
		require.Equal(t, []string{"other"}, removed)
	})
}

func TestNoKeyIsRemovedByATimeThatHasNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newManager(t, kms.Options{})
		resp, err := m.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", PendingWindowDays: 7})
		require.NoError(t, err)
		_, err = m.RemoveExpiredKeys(t.Context(), resp.Key.DeletionDate)
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		require.Zero(t, b.Calls("RemoveExpiredKeys"))
		time.Sleep(time.Until(resp.Key.DeletionDate))
		removed, err := m.RemoveExpiredKeys(t.Context(), resp.Key.DeletionDate)
		require.NoError(t, err)
		require.Equal(t, []string{"k"}, removed)
	})
}

func TestAnyCallIsAuthorized(t *testing.T) {
	denied := errors.New("not on my watch")
	var asked []string
	opts := kms.Options{Authorize: func(_ context.Context, op, keyID string, ec kms.EncryptionContext) error {
		asked = append(asked, op+" "+keyID+" "+ec["owner"])
		if op == "RotateKey" {
			return denied
		}
		return nil
	}}
	m, b := newManager(t, opts)
	asked = nil
	_, err := m.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrPermission)
	require.ErrorIs(t, err, denied)
	require.Zero(t, b.Calls("RotateKey"))
	ec := kms.EncryptionContext{"owner": "me"}
	resp, err := m.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k", Context: ec})
	require.NoError(t, err)
	for range 2 {
		_, err = m.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: resp.Ciphertext, Context: ec})
		require.NoError(t, err)
	}
	_, err = m.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: resp.Ciphertext, Context: ec, KeyID: "k"})
	require.NoError(t, err)
	_, err = m.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	require.Equal(t, []string{
		"RotateKey k ", "GenerateDataKey k me", "Decrypt k me", "Decrypt k me", "Decrypt k me", "ListKeys  ",
	}, asked)
	require.Equal(t, 1, b.Calls("Decrypt"), "the cache must have served, and authorization asked all the same")
}

func TestADeniedDecryptAnswersNothing(t *testing.T) {
	deny := false
	m, _ := newManager(t, kms.Options{Authorize: func(context.Context, string, string, kms.EncryptionContext) error {
		if deny {
			return errors.New("denied")
		}
		return nil
	}})
	wrapped, _ := generate(t, m, "k")
	_, err := decrypt(t, m, wrapped)
	require.NoError(t, err)
	deny = true
	resp, err := m.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: wrapped})
	require.ErrorIs(t, err, kms.ErrPermission)
	require.Nil(t, resp)
}

func TestTheObserverSeesEveryOperation(t *testing.T) {
	var mu sync.Mutex
	var seen []kms.Operation
	m, b := newManager(t, kms.Options{Observer: func(_ context.Context, op kms.Operation) {
		mu.Lock()
		defer mu.Unlock()
		op.Duration = 0
		seen = append(seen, op)
	}})
	wrapped, _ := generate(t, m, "k")
	seen = nil
	for range 2 {
		_, err := decrypt(t, m, wrapped)
		require.NoError(t, err)
	}
	other, _ := generate(t, m, "k")
	seen = seen[:2]
	b.FailNext("Decrypt", kms.ErrPermission)
	_, failed := m.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: other, KeyID: "k"})
	require.Error(t, failed)
	b.FailNext("ListKeys", kms.ErrPermission)
	_, err := m.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.Error(t, err)
	_, invalid := m.ListKeys(t.Context(), nil)
	require.Error(t, invalid)
	require.Equal(t, []kms.Operation{
		{Op: "Decrypt", Backend: "mock", KeyID: "k", Attempts: 1},
		{Op: "Decrypt", Backend: "mock", KeyID: "k", CacheHit: true},
		{Op: "Decrypt", Backend: "mock", KeyID: "k", Attempts: 1, Kind: kms.KindBackend, Err: failed},
		{Op: "ListKeys", Backend: "mock", Attempts: 1, Kind: kms.KindBackend, Err: err},
		{Op: "ListKeys", Backend: "mock", Kind: kms.KindRequest, Err: invalid},
	}, seen)
}

func TestARepeatedAttemptIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		m, b := newManager(t, kms.Options{Logger: slog.New(slog.NewTextHandler(&out, nil))})
		b.FailNext("ListKeys", unavailable(7))
		_, err := m.ListKeys(t.Context(), &kms.ListKeysRequest{})
		require.NoError(t, err)
		require.Contains(t, out.String(), "attempt 7")
	})
}

// bare is a Backend with none of the optional interfaces.
type bare struct{ kms.Backend }

func TestWhatABackendLacksIsUnsupported(t *testing.T) {
	m := kms.NewManager(bare{mock.New()}, kms.Options{})
	createKey(t, m, "k")
	calls := mutations(m)
	for _, op := range []string{"EnableKey", "DisableKey", "RotateKey", "ImportKey", "UpdateKeyDescription", "TagKey", "UntagKey", "RemoveExpiredKeys"} {
		err := calls[op](t.Context())
		require.ErrorIs(t, err, kms.ErrUnsupported, op)
		require.Equal(t, 501, kms.HTTPStatus(err), op)
	}
	_, err := m.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{Items: make([]kms.RewrapItem, 1)})
	require.ErrorIs(t, err, kms.ErrUnsupported)
	require.Equal(t, kms.Capabilities{}, m.Capabilities())
	m, _ = newManager(t, kms.Options{})
	require.Equal(t, kms.Capabilities{Rotate: true, EnableDisable: true, Import: true, Update: true, Rewrap: true, RemoveExpired: true}, m.Capabilities())
}

// mute is a backend that answers nothing at all.
type mute struct{ kms.Backend }

func (mute) DescribeKey(context.Context, *kms.DescribeKeyRequest) (*kms.DescribeKeyResponse, error) {
	return nil, nil
}

func (mute) Decrypt(context.Context, *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	return nil, nil
}

func TestABackendThatAnswersNothingIsAnError(t *testing.T) {
	m := kms.NewManager(mute{mock.New()}, kms.Options{})
	_, err := m.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
	require.Error(t, err)
	_, err = decrypt(t, m, []byte("x"))
	require.Error(t, err)
}

func TestARefusalStaysOneWhateverItWraps(t *testing.T) {
	inner := &kms.Error{Kind: kms.KindRequest, Op: "DescribeKey", KeyID: "acl", Err: kms.ErrKeyNotFound}
	for _, refusal := range []error{kms.ErrKeyNotFound, kms.ErrInvalidRequest, fmt.Errorf("acl: %w", inner)} {
		m := kms.NewManager(mock.New(), kms.Options{Authorize: func(context.Context, string, string, kms.EncryptionContext) error { return refusal }})
		_, err := m.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
		require.ErrorIs(t, err, kms.ErrPermission)
		require.NotErrorIs(t, err, kms.ErrKeyNotFound)
		require.Equal(t, 403, kms.HTTPStatus(err))
		e, ok := errors.AsType[*kms.Error](err)
		require.True(t, ok)
		require.Equal(t, "GenerateDataKey", e.Op)
		require.Equal(t, "k", e.KeyID)
		require.ErrorContains(t, err, refusal.Error())
	}
}

// panicking is a backend with a bug.
type panicking struct{ kms.Backend }

func (panicking) HealthCheck(context.Context) error { panic("bug") }

func TestAPanicIsNoSuccessToTheObserver(t *testing.T) {
	var seen []kms.Operation
	m := kms.NewManager(panicking{mock.New()}, kms.Options{Observer: func(_ context.Context, op kms.Operation) { seen = append(seen, op) }})
	require.PanicsWithValue(t, "bug", func() { m.HealthCheck(t.Context()) })
	require.Len(t, seen, 1)
	require.Error(t, seen[0].Err)
	require.NoError(t, m.Close(), "the call has left all the same")
}

func TestTheObserverIsNotCalledAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Bool
		b := mock.New()
		m := kms.NewManager(b, kms.Options{Observer: func(context.Context, kms.Operation) {
			time.Sleep(time.Second)
			require.False(t, closed.Load())
		}})
		go m.HealthCheck(t.Context())
		synctest.Wait()
		require.NoError(t, m.Close())
		closed.Store(true)
		synctest.Wait()
	})
}

// empty is a configuration that opens nothing.
type empty struct{ *mock.Backend }

func (empty) Open(context.Context) (kms.Backend, error) { return nil, nil }

func TestAConfigurationThatOpensNothingIsAnError(t *testing.T) {
	_, err := kms.Open(t.Context(), kms.Config{Backend: empty{mock.New()}})
	require.ErrorIs(t, err, kms.ErrInvalidConfig)
	_, err = kms.Open(t.Context(), kms.Config{Backend: mock.New(), Former: []kms.BackendConfig{empty{mock.New()}}})
	require.ErrorIs(t, err, kms.ErrInvalidConfig)
}

func TestMuteBackendsDoNotPanic(t *testing.T) {
	m := kms.NewManager(mute{mock.New()}, kms.Options{DefaultKeyID: "k"})
	_, err := m.RemoveExpiredKeys(t.Context(), time.Now())
	require.Error(t, err)
	require.Equal(t, "kms: X", (&kms.Error{Op: "X"}).Error())
}

func TestRewrapIsAuthorizedByItsItemsOnly(t *testing.T) {
	ec := kms.EncryptionContext{"tenant": "a"}
	var asked []string
	m, _ := newManager(t, kms.Options{Authorize: func(_ context.Context, op, keyID string, ec kms.EncryptionContext) error {
		asked = append(asked, op+" "+keyID+" "+ec["tenant"])
		return nil
	}})
	resp, err := m.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k", Context: ec})
	require.NoError(t, err)
	asked = nil
	_, err = m.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{KeyID: "k", Items: []kms.RewrapItem{{Ciphertext: resp.Ciphertext, From: ec, To: ec}}})
	require.NoError(t, err)
	require.Equal(t, []string{"RewrapDataKeys k a", "RewrapDataKeys k a"}, asked)
}
