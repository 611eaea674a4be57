package encryption_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

func parseState(raw []byte) (*encryption.UploadState, error) {
	state := new(encryption.UploadState)
	return state, state.UnmarshalText([]byte(base64.RawURLEncoding.EncodeToString(raw)))
}

func TestEveryChangedBitOfAnUploadStateIsRefused(t *testing.T) {
	ring := newRing("default", "other")
	for _, p := range protections() {
		u := newUpload(t, ring, photo, p)
		raw, err := base64.RawURLEncoding.DecodeString(u.state)
		require.NoError(t, err)
		for bit := range 8 * len(raw) {
			raw[bit/8] ^= 1 << (bit % 8)
			u.state = base64.RawURLEncoding.EncodeToString(raw)
			_, err := u.open(t.Context())
			require.Error(t, err, "%s %d", p.name, bit)
			raw[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestUploadOpensAsItselfOnly(t *testing.T) {
	ring := newRing("default", "other")
	for _, p := range protections() {
		u := newUpload(t, ring, photo, p)
		for _, other := range []struct {
			id   encryption.ObjectID
			name string
		}{
			{photo, "upload-2"}, {photo, "null"}, {photo, uploadID + "\x00"},
			{encryption.ObjectID{Bucket: "Photos", Key: photo.Key}, uploadID},
			{encryption.ObjectID{Bucket: "photos", Key: "cat.jpg"}, uploadID},
		} {
			u.id, u.name = other.id, other.name
			_, err := u.open(t.Context())
			require.ErrorIs(t, err, kms.ErrDecrypt)
		}
		u.id, u.name = encryption.ObjectID{Bucket: photo.Bucket, Key: photo.Key, Version: "any"}, uploadID
		_, err := u.open(t.Context())
		require.NoError(t, err)
		for _, other := range []struct {
			id   encryption.ObjectID
			name string
		}{{photo, ""}, {photo, "\xff"}, {encryption.ObjectID{Bucket: "photos"}, uploadID}, {encryption.ObjectID{Key: "a"}, uploadID}} {
			u.id, u.name = other.id, other.name
			_, err := u.open(t.Context())
			require.ErrorIs(t, err, kms.ErrInvalidRequest)
			_, err = u.service().CreateUpload(t.Context(), other.id, other.name, p.write())
			require.ErrorIs(t, err, kms.ErrInvalidRequest)
		}
	}
}

func TestFieldsOfTwoUploadsDoNotMix(t *testing.T) {
	ring := newRing("default", "other")
	for _, p := range protections() {
		for _, q := range protections() {
			a, b := newUpload(t, ring, photo, p), newUpload(t, ring, photo, q)
			parts := func(u *upload) encryption.Parts {
				state := new(encryption.UploadState)
				require.NoError(t, state.UnmarshalText([]byte(u.state)))
				return state.Parts()
			}
			x, y := parts(a), parts(b)
			for mask := 1; mask < 1<<6-1; mask++ {
				mixed := x
				for i, swap := range []func(){
					func() { mixed.Mode = y.Mode }, func() { mixed.KeyID = y.KeyID }, func() { mixed.Context = y.Context },
					func() { mixed.BucketKey = y.BucketKey }, func() { mixed.Sealed = y.Sealed }, func() { mixed.Wrapped = y.Wrapped },
				} {
					if mask&(1<<i) != 0 {
						swap()
					}
				}
				if same(mixed, x) || same(mixed, y) {
					continue
				}
				text, err := mixed.UploadState().MarshalText()
				require.NoError(t, err)
				u := *a
				u.state = string(text)
				if mixed.Mode == encryption.SSEC {
					u.p = protections()[4]
				} else {
					u.p = protections()[0]
				}
				_, err = u.open(t.Context())
				require.ErrorIs(t, err, kms.ErrDecrypt, "%s and %s: %06b", p.name, q.name, mask)
			}
		}
	}
}

func TestStateIsNoEnvelopeAndNoEnvelopeAState(t *testing.T) {
	ring := newRing("default", "other")
	for _, p := range protections() {
		u := newUpload(t, ring, photo, p)
		_, err := encryption.ParseEnvelope(map[string]string{"objectkms-envelope": u.state})
		require.ErrorIs(t, err, kms.ErrDecrypt)
		require.ErrorContains(t, err, "envelope has layout 0, want 1 or 2")
		u.put(t, 1, nil)
		parts, _ := u.complete(t, 1)
		message, _ := put(t, u.service(), photo, p.write(), nil)
		for _, env := range []*encryption.Envelope{parts, message} {
			err := new(encryption.UploadState).UnmarshalText([]byte(text(t, env)))
			require.ErrorIs(t, err, kms.ErrDecrypt)
			require.ErrorContains(t, err, "upload state has layout")
		}
	}
}

func TestMalformedStatesAreRefused(t *testing.T) {
	u := newUpload(t, newRing("default"), photo, protections()[0])
	raw, err := base64.RawURLEncoding.DecodeString(u.state)
	require.NoError(t, err)
	for n := 1; n < len(raw); n++ {
		_, err := parseState(raw[:n])
		require.ErrorIs(t, err, kms.ErrDecrypt, n)
	}
	state := new(encryption.UploadState)
	for _, bad := range []string{u.state + "A", u.state + "\n", u.state + "=", "!", strings.Repeat("A", 1<<20)} {
		require.ErrorIs(t, state.UnmarshalText([]byte(bad)), kms.ErrDecrypt)
		require.Equal(t, encryption.None, state.Mode(), "left alone")
	}
	require.ErrorIs(t, state.UnmarshalText(nil), kms.ErrInvalidRequest)
	for _, none := range []*encryption.UploadState{nil, {}} {
		require.Equal(t, encryption.None, none.Mode())
		_, err := none.MarshalText()
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
		_, err = u.service().OpenUpload(t.Context(), photo, uploadID, none, nil)
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
	}
	require.NoError(t, state.UnmarshalText([]byte(u.state)))
	require.Equal(t, encryption.SSES3, state.Mode())
}

func TestRequestsThatDoNotFitAnUpload(t *testing.T) {
	ring := newRing("default", "other")
	const needs = "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters."
	for _, p := range protections() {
		u := newUpload(t, ring, photo, p)
		open := func(req *encryption.Request) *encryption.Error {
			t.Helper()
			state := new(encryption.UploadState)
			require.NoError(t, state.UnmarshalText([]byte(u.state)))
			_, err := u.service().OpenUpload(t.Context(), photo, uploadID, state, req)
			require.Error(t, err)
			if req != nil {
				require.Zero(t, req.CustomerKey.Len(), "destroyed")
			}
			return encryption.S3Error(err)
		}
		if p.write().Mode != encryption.SSEC {
			answer := open(&encryption.Request{CustomerKey: customerKey()})
			require.Equal(t, needs, answer.Message)
			require.ErrorIs(t, answer, kms.ErrInvalidRequest)
			require.ErrorIs(t, open(&encryption.Request{KeyID: "third"}), kms.ErrInvalidRequest)
			require.ErrorIs(t, open(&encryption.Request{Context: kms.EncryptionContext{"a": "b"}}), kms.ErrInvalidRequest)
			continue
		}
		for _, req := range []*encryption.Request{nil, {}, {Mode: encryption.SSEC}} {
			answer := open(req)
			require.Equal(t, needs, answer.Message)
			require.Equal(t, 400, answer.Status)
			require.ErrorIs(t, answer, kms.ErrInvalidRequest)
		}
		answer := open(&encryption.Request{CustomerKey: kms.NewSecret(random(32))})
		require.Equal(t, "The provided encryption parameters did not match the ones used originally.", answer.Message)
		require.Equal(t, "InvalidRequest", answer.Code)
		require.ErrorIs(t, answer, kms.ErrDecrypt)
	}
	_, err := encryption.NewService(ring, encryption.Options{}).CreateUpload(t.Context(), photo, uploadID, nil)
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
}

func TestErrorsOfTheKeyServiceComeThroughUploads(t *testing.T) {
	keys := newMock(t)
	svc := encryption.NewService(keys, encryption.Options{})
	write := &encryption.Request{Mode: encryption.SSES3, KeyID: "default"}
	keys.FailNext("GenerateDataKey", kms.ErrUnavailable)
	_, err := svc.CreateUpload(t.Context(), photo, uploadID, write)
	require.Equal(t, kms.ErrUnavailable, err)
	u, err := svc.CreateUpload(t.Context(), photo, uploadID, write)
	require.NoError(t, err)
	defer u.Close()
	keys.FailNext("Decrypt", kms.ErrKeyDisabled)
	_, err = svc.OpenUpload(t.Context(), photo, uploadID, u.State(), nil)
	require.Equal(t, kms.ErrKeyDisabled, err)
}
