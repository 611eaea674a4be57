package encryption_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

const internalMessage = "We encountered an internal error. Please try again."

func TestS3ErrorsOfTheKeyService(t *testing.T) {
	const unavailable = "The key management service is not available. Please try again."
	const notImplemented = "A header you provided implies functionality that is not implemented."
	of := func(keyID string, err error) error {
		return &kms.Error{Op: "GenerateDataKey", KeyID: keyID, Err: fmt.Errorf("%w: details", err)}
	}
	tests := []struct {
		name    string
		err     error
		code    string
		status  int
		message string
	}{
		{"key not found", of("id", kms.ErrKeyNotFound), "KMS.NotFoundException", 400, "Key 'id' does not exist"},
		{"key not found, not named", kms.ErrKeyNotFound, "KMS.NotFoundException", 400, "The key does not exist"},
		{"key disabled", of("id", kms.ErrKeyDisabled), "KMS.DisabledException", 400, "id is disabled."},
		{"key disabled, not named", kms.ErrKeyDisabled, "KMS.DisabledException", 400, "The key is disabled."},
		{"key pending deletion", of("arn:aws:kms:r:a:key/id", kms.ErrKeyPendingDeletion), "KMS.KMSInvalidStateException", 400, "arn:aws:kms:r:a:key/id is pending deletion."},
		{"key id that cannot be shown", of("a\x00b", kms.ErrKeyDisabled), "KMS.DisabledException", 400, "The key is disabled."},
		{"key id that is too long", of(strings.Repeat("x", 2049), kms.ErrKeyDisabled), "KMS.DisabledException", 400, "The key is disabled."},
		{"key id that is not UTF-8", of("a\xff", kms.ErrKeyDisabled), "KMS.DisabledException", 400, "The key is disabled."},
		{"key id of no backend", of("alias/x", kms.ErrInvalidRequest), "KMS.NotFoundException", 400, "Invalid keyId 'alias/x'"},
		{"right key id, wrong request", of("id", kms.ErrInvalidRequest), "InvalidRequest", 400, "The request is not valid for this object or key."},
		{"no key id, wrong request", of("", kms.ErrInvalidRequest), "InvalidRequest", 400, "The request is not valid for this object or key."},
		{"invalid request", fmt.Errorf("%w: secret-ish", kms.ErrInvalidRequest), "InvalidRequest", 400, "The request is not valid for this object or key."},
		{"permission", of("id", kms.ErrPermission), "AccessDenied", 403, "Access Denied"},
		{"permission, for a reason", of("id", fmt.Errorf("%w: %w", kms.ErrPermission, kms.ErrKeyNotFound)), "AccessDenied", 403, "Access Denied"},
		{"permission, for a wrong id", of("alias/x", fmt.Errorf("%w: %w", kms.ErrPermission, kms.ErrInvalidRequest)), "AccessDenied", 403, "Access Denied"},
		{"not configured", kms.ErrNotConfigured, "NotImplemented", 501, "No key management service is configured."},
		{"unsupported", of("id", kms.ErrUnsupported), "NotImplemented", 501, notImplemented},
		{"not running", kms.ErrNotRunning, "ServiceUnavailable", 503, unavailable},
		{"unavailable", of("id", kms.ErrUnavailable), "ServiceUnavailable", 503, unavailable},
		{"closed", kms.ErrClosed, "ServiceUnavailable", 503, unavailable},
		{"attempt timed out", fmt.Errorf("%w: %w", kms.ErrUnavailable, context.DeadlineExceeded), "ServiceUnavailable", 503, unavailable},
		{"deadline", context.DeadlineExceeded, "ServiceUnavailable", 503, unavailable},
		{"canceled", of("id", context.Canceled), "RequestCanceled", 499, "The request was canceled."},
		{"not authentic", kms.ErrDecrypt, "InternalError", 500, internalMessage},
		{"key material", kms.ErrKeyMaterial, "InternalError", 500, internalMessage},
		{"configuration", kms.ErrInvalidConfig, "InternalError", 500, internalMessage},
		{"key exists", kms.ErrKeyExists, "InternalError", 500, internalMessage},
		{"someone else's", io.ErrUnexpectedEOF, "InternalError", 500, internalMessage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := encryption.S3Error(tt.err)
			require.Equal(t, &encryption.Error{Code: tt.code, Status: tt.status, Message: tt.message, Err: tt.err}, got)
			require.ErrorIs(t, got, tt.err)
		})
	}
}

func TestS3ErrorOfNothingIsNil(t *testing.T) {
	require.Nil(t, encryption.S3Error(nil))
}

func TestS3ErrorInAChainIsTheAnswer(t *testing.T) {
	inner := &encryption.Error{Code: "X", Status: 418, Message: "m", Err: kms.ErrKeyNotFound}
	require.Same(t, inner, encryption.S3Error(inner))
	require.Same(t, inner, encryption.S3Error(fmt.Errorf("put: %w", inner)))
	require.Same(t, inner, encryption.S3Error(errors.Join(io.EOF, &kms.Error{Err: inner})))
	require.Nil(t, encryption.S3Error(encryption.S3Error(nil)))
}

func TestTextOfAnError(t *testing.T) {
	require.Equal(t, "X: m", (&encryption.Error{Code: "X", Message: "m"}).Error())
	require.NoError(t, errors.Unwrap(&encryption.Error{Code: "X"}))
	require.Equal(t, "X: m (key not found)", (&encryption.Error{Code: "X", Message: "m", Err: kms.ErrKeyNotFound}).Error())
}

// The answers of the service to requests that do not fit what is stored.
func TestErrorsOfTheService(t *testing.T) {
	want := map[string]encryption.Error{
		"needs customer key": {Code: "InvalidRequest", Status: 400,
			Message: "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object."},
		"wrong customer key": {Code: "AccessDenied", Status: 403,
			Message: "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key."},
		"not applicable": {Code: "InvalidRequest", Status: 400, Message: "The encryption parameters are not applicable to this object."},
		"part parameters": {Code: "InvalidRequest", Status: 400,
			Message: "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters."},
		"part key": {Code: "InvalidRequest", Status: 400, Message: "The provided encryption parameters did not match the ones used originally."},
	}
	cause := fmt.Errorf("%w: details", kms.ErrDecrypt)
	got := encryption.ServiceErrors(cause)
	require.Len(t, got, len(want))
	for name, err := range got {
		expected := want[name]
		expected.Err = cause
		require.Equal(t, &expected, err, name)
		require.ErrorIs(t, err, kms.ErrDecrypt)
	}
}
