package mock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

func create(t *testing.T, b kms.Backend, id string) {
	t.Helper()
	_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
	require.NoError(t, err)
}

func describe(t *testing.T, b kms.Backend, id string) error {
	t.Helper()
	_, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: id})
	return err
}

func TestFailNextFailsOneCallEach(t *testing.T) {
	b := mock.New()
	create(t, b, "k")
	first, second := errors.New("first"), errors.New("second")
	b.FailNext("DescribeKey", first)
	b.FailNext("DescribeKey", nil)
	b.FailNext("DescribeKey", second)
	require.NoError(t, b.HealthCheck(t.Context()))
	require.Equal(t, first, describe(t, b, "k"))
	require.NoError(t, describe(t, b, "k"))
	require.Equal(t, second, describe(t, b, "k"))
	require.NoError(t, describe(t, b, "k"))
	require.Equal(t, 4, b.Calls("DescribeKey"))
	require.Equal(t, 0, b.Calls("Decrypt"))
}

func TestAFailedCallChangesNothing(t *testing.T) {
	b := mock.New()
	b.FailNext("CreateKey", kms.ErrUnavailable)
	_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrUnavailable)
	require.ErrorIs(t, describe(t, b, "k"), kms.ErrKeyNotFound)
}

func TestATypoInAnOperationFailsEveryCall(t *testing.T) {
	misuses := map[string]func(b *mock.Backend){
		`FailNext("Decypt")`: func(b *mock.Backend) { b.FailNext("Decypt", kms.ErrDecrypt) },
		`Delay("decrypt")`:   func(b *mock.Backend) { b.Delay("decrypt", time.Hour) },
		`Calls("")`:          func(b *mock.Backend) { require.Equal(t, -1, b.Calls("")) },
	}
	for text, misuse := range misuses {
		b := mock.New()
		create(t, b, "k")
		misuse(b)
		require.ErrorContains(t, describe(t, b, "k"), text)
		require.ErrorContains(t, b.HealthCheck(t.Context()), text)
		_, err := b.Open(t.Context())
		require.ErrorContains(t, err, text)
		require.ErrorContains(t, b.Close(), text)
	}
}

func TestDelayWaitsAndObeysTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mock.New()
		create(t, b, "k")
		b.Delay("DescribeKey", time.Minute)
		start := time.Now()
		require.NoError(t, describe(t, b, "k"))
		require.Equal(t, time.Minute, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: "k"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute+time.Second, time.Since(start))

		b.Delay("DescribeKey", 0)
		require.NoError(t, describe(t, b, "k"))
		require.Equal(t, time.Minute+time.Second, time.Since(start))
	})
}

func TestEveryOperationGoesThroughTheScript(t *testing.T) {
	b := mock.New()
	fault := errors.New("fault")
	ctx := t.Context()
	calls := map[string]func() error{
		"CreateKey":            func() error { _, err := b.CreateKey(ctx, nil); return err },
		"DescribeKey":          func() error { _, err := b.DescribeKey(ctx, nil); return err },
		"ListKeys":             func() error { _, err := b.ListKeys(ctx, nil); return err },
		"DeleteKey":            func() error { _, err := b.DeleteKey(ctx, nil); return err },
		"CancelKeyDeletion":    func() error { _, err := b.CancelKeyDeletion(ctx, nil); return err },
		"GenerateDataKey":      func() error { _, err := b.GenerateDataKey(ctx, nil); return err },
		"Encrypt":              func() error { _, err := b.Encrypt(ctx, nil); return err },
		"Decrypt":              func() error { _, err := b.Decrypt(ctx, nil); return err },
		"EnableKey":            func() error { _, err := b.EnableKey(ctx, nil); return err },
		"DisableKey":           func() error { _, err := b.DisableKey(ctx, nil); return err },
		"RotateKey":            func() error { _, err := b.RotateKey(ctx, nil); return err },
		"ImportKey":            func() error { _, err := b.ImportKey(ctx, nil); return err },
		"UpdateKeyDescription": func() error { _, err := b.UpdateKeyDescription(ctx, nil); return err },
		"TagKey":               func() error { _, err := b.TagKey(ctx, nil); return err },
		"UntagKey":             func() error { _, err := b.UntagKey(ctx, nil); return err },
		"RewrapDataKeys":       func() error { _, err := b.RewrapDataKeys(ctx, nil); return err },
	}
	for op, call := range calls {
		b.FailNext(op, fault)
		require.Equal(t, fault, call(), op)
		require.ErrorIs(t, call(), kms.ErrInvalidRequest, op)
		require.Equal(t, 2, b.Calls(op), op)
	}
	noRequest := map[string]func() error{
		"RemoveExpiredKeys": func() error { _, err := b.RemoveExpiredKeys(ctx, time.Now()); return err },
		"HealthCheck":       func() error { return b.HealthCheck(ctx) },
		"Open":              func() error { _, err := b.Open(ctx); return err },
		"Close":             b.Close,
	}
	for _, op := range []string{"RemoveExpiredKeys", "HealthCheck", "Open", "Close"} {
		b.FailNext(op, fault)
		require.Equal(t, fault, noRequest[op](), op)
		require.NoError(t, noRequest[op](), op)
		require.Equal(t, 2, b.Calls(op), op)
	}
}

func TestOpenedBackendsShareKeysAndCloseAlone(t *testing.T) {
	b := mock.New()
	create(t, b, "k")
	require.Equal(t, "mock", b.BackendType())
	require.NoError(t, b.Validate())
	one, err := b.Open(t.Context())
	require.NoError(t, err)
	two, err := b.Open(t.Context())
	require.NoError(t, err)
	require.NoError(t, describe(t, one, "k"))
	require.NoError(t, one.Close())
	require.ErrorIs(t, describe(t, one, "k"), kms.ErrClosed)
	require.NoError(t, describe(t, two, "k"))
	require.NoError(t, b.Close())
	require.ErrorIs(t, describe(t, b, "k"), kms.ErrClosed)

	again, err := b.Open(t.Context())
	require.NoError(t, err)
	require.NoError(t, describe(t, again, "k"))
	b.FailNext("DescribeKey", kms.ErrUnavailable)
	require.ErrorIs(t, describe(t, again, "k"), kms.ErrUnavailable)
}

func TestOpenObeysTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b, err := mock.New().Open(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, b)
}

func TestConcurrentUseOfTheScript(t *testing.T) {
	b := mock.New()
	create(t, b, "k")
	fault := errors.New("fault")
	const n = 50
	var wg sync.WaitGroup
	var mu sync.Mutex
	failed := 0
	for range n {
		b.FailNext("DescribeKey", fault)
	}
	for range 2 * n {
		wg.Go(func() {
			b.Delay("Encrypt", 0)
			if _, err := b.DescribeKey(context.Background(), &kms.DescribeKeyRequest{KeyID: "k"}); err == fault {
				mu.Lock()
				failed++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Equal(t, n, failed)
	require.Equal(t, 2*n, b.Calls("DescribeKey"))
}
