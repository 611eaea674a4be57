package kms_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

func TestEveryErrorHasAKindAndAStatus(t *testing.T) {
	tests := []struct {
		err    error
		kind   kms.Kind
		status int
	}{
		{nil, kms.KindUnknown, 200},
		{kms.ErrInvalidRequest, kms.KindRequest, 400},
		{kms.ErrInvalidConfig, kms.KindConfiguration, 400},
		{kms.ErrKeyNotFound, kms.KindRequest, 404},
		{kms.ErrKeyExists, kms.KindState, 409},
		{kms.ErrKeyDisabled, kms.KindState, 409},
		{kms.ErrKeyPendingDeletion, kms.KindState, 409},
		{kms.ErrKeyInUse, kms.KindState, 409},
		{kms.ErrDecrypt, kms.KindCrypto, 400},
		{kms.ErrKeyMaterial, kms.KindCrypto, 500},
		{kms.ErrPermission, kms.KindBackend, 403},
		{kms.ErrUnavailable, kms.KindBackend, 503},
		{kms.ErrUnsupported, kms.KindRequest, 501},
		{kms.ErrNotConfigured, kms.KindState, 503},
		{kms.ErrNotRunning, kms.KindState, 503},
		{kms.ErrClosed, kms.KindState, 503},
		{context.Canceled, kms.KindRequest, 499},
		{context.DeadlineExceeded, kms.KindRequest, 504},
		{errors.New("of somebody else"), kms.KindUnknown, 500},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			require.Equal(t, tt.kind, kms.KindOf(tt.err))
			require.Equal(t, tt.status, kms.HTTPStatus(tt.err))
			if tt.err == nil {
				return
			}
			wrapped := &kms.Error{Op: "Decrypt", Err: fmt.Errorf("%w: detail", tt.err)}
			require.Equal(t, tt.kind, kms.KindOf(wrapped))
			require.Equal(t, tt.status, kms.HTTPStatus(wrapped))
		})
	}
}

func TestAnAttemptThatTimedOutIsUnavailable(t *testing.T) {
	err := fmt.Errorf("%w: %w", kms.ErrUnavailable, context.DeadlineExceeded)
	require.Equal(t, kms.KindBackend, kms.KindOf(err))
	require.Equal(t, 503, kms.HTTPStatus(err))
}

func TestTheKindOfAnErrorThatSaysOne(t *testing.T) {
	err := fmt.Errorf("around: %w", &kms.Error{Kind: kms.KindCache, Op: "Decrypt", Err: errors.New("cache is gone")})
	require.Equal(t, kms.KindCache, kms.KindOf(err))
	require.Equal(t, "Cache", kms.KindOf(err).String())
	require.Equal(t, "State", kms.KindState.String())
	require.Equal(t, "Kind(7)", kms.Kind(7).String())
	require.Equal(t, "Kind(99)", kms.Kind(99).String())
}

func TestErrorText(t *testing.T) {
	err := &kms.Error{Op: "RotateKey", KeyID: "a\nb", Err: kms.ErrKeyNotFound}
	require.Equal(t, `kms: RotateKey "a\nb": key not found`, err.Error())
	require.Equal(t, "kms: ListKeys: backend is unavailable", (&kms.Error{Op: "ListKeys", Err: kms.ErrUnavailable}).Error())
}
