package kms_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

func TestAuthorizeDataKeyMakesNone(t *testing.T) {
	m, b := newManager(t, kms.Options{DefaultKeyID: "k"})
	_, err := m.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "k", Tags: map[string]string{"a": "b"}})
	require.NoError(t, err)
	req := &kms.GenerateDataKeyRequest{}
	for range 3 {
		resp, err := m.AuthorizeDataKey(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, "k", resp.Key.ID)
		require.Equal(t, uint32(1), resp.Key.Version)
		require.Equal(t, map[string]string{"a": "b"}, resp.Key.Tags)
		resp.Key.Tags["a"] = "the receiver's own"
	}
	require.Empty(t, req.KeyID, "the caller's request must not change")
	require.Equal(t, 1, b.Calls("DescribeKey"))
	require.Zero(t, b.Calls("GenerateDataKey"))
	_, err = m.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	resp, err := m.AuthorizeDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	require.Equal(t, uint32(2), resp.Key.Version)
}

func TestAuthorizeDataKeyFailsAsGenerateDataKeyDoes(t *testing.T) {
	denied := errors.New("not you")
	type use struct {
		op, keyID string
		context   kms.EncryptionContext
	}
	var asked []use
	m, b := newManager(t, kms.Options{Authorize: func(_ context.Context, op, keyID string, ec kms.EncryptionContext) error {
		asked = append(asked, use{op, keyID, ec})
		if ec["user"] == "eve" {
			return denied
		}
		return nil
	}})
	createKey(t, m, "disabled")
	createKey(t, m, "pending")
	_, err := m.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "disabled"})
	require.NoError(t, err)
	_, err = m.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "pending"})
	require.NoError(t, err)
	tests := []struct {
		name string
		req  *kms.GenerateDataKeyRequest
		want error
	}{
		{"no request", nil, kms.ErrInvalidRequest},
		{"no key", &kms.GenerateDataKeyRequest{}, kms.ErrInvalidRequest},
		{"another spec", &kms.GenerateDataKeyRequest{KeyID: "k", Spec: "RSA"}, kms.ErrInvalidRequest},
		{"a key that is not there", &kms.GenerateDataKeyRequest{KeyID: "missing"}, kms.ErrKeyNotFound},
		{"a disabled key", &kms.GenerateDataKeyRequest{KeyID: "disabled"}, kms.ErrKeyDisabled},
		{"a key pending deletion", &kms.GenerateDataKeyRequest{KeyID: "pending"}, kms.ErrKeyPendingDeletion},
		{"a use that is not allowed", &kms.GenerateDataKeyRequest{KeyID: "k", Context: kms.EncryptionContext{"user": "eve"}}, denied},
		{"a use that is allowed", &kms.GenerateDataKeyRequest{KeyID: "k", Context: kms.EncryptionContext{"user": "bob"}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked = nil
			_, err := m.AuthorizeDataKey(t.Context(), tt.req)
			require.ErrorIs(t, err, tt.want)
			askedHere := asked
			asked = nil
			resp, want := m.GenerateDataKey(t.Context(), tt.req)
			require.Equal(t, asked, askedHere)
			if tt.want == nil {
				require.NoError(t, want)
				resp.Plaintext.Destroy()
				return
			}
			require.ErrorIs(t, want, tt.want)
			got, ok := errors.AsType[*kms.Error](err)
			require.True(t, ok)
			require.Equal(t, "GenerateDataKey", got.Op)
		})
	}
	unavailable := kms.NewManager(keysInState{b, kms.KeyUnavailable}, kms.Options{})
	_, err = unavailable.AuthorizeDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrUnavailable)

	require.NoError(t, m.Close())
	_, err = m.AuthorizeDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrClosed)
}

func TestTheObserverSeesWhoAuthorizedADataKey(t *testing.T) {
	var seen []kms.Operation
	m, _ := newManager(t, kms.Options{Observer: func(_ context.Context, op kms.Operation) {
		op.Duration = time.Duration(0)
		seen = append(seen, op)
	}})
	seen = nil
	for range 2 {
		_, err := m.AuthorizeDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
		require.NoError(t, err)
	}
	_, failed := m.AuthorizeDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "missing"})
	require.Equal(t, []kms.Operation{
		{Op: "GenerateDataKey", Backend: "mock", KeyID: "k", Attempts: 1},
		{Op: "GenerateDataKey", Backend: "mock", KeyID: "k", CacheHit: true},
		{Op: "GenerateDataKey", Backend: "mock", KeyID: "missing", Attempts: 1, Kind: kms.KindRequest, Err: failed},
	}, seen)
}
