package encryption_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

func TestRewrapMovesAnObjectWithoutItsData(t *testing.T) {
	svc := encryption.NewService(newRing("default", "other"), encryption.Options{})
	plain := random(chunk + 1)
	for _, from := range protections() {
		for _, to := range protections() {
			for _, copied := range []encryption.ObjectID{photo, {Bucket: "archive", Key: photo.Key}, {Bucket: photo.Bucket, Key: photo.Key, Version: "2"}} {
				t.Run(from.name+" to "+to.name+" "+copied.Bucket+copied.Version, func(t *testing.T) {
					env, body := put(t, svc, photo, from.write(), plain)
					moved, err := svc.Rewrap(t.Context(), photo, env, from.read(), copied, to.write())
					require.NoError(t, err)
					require.Equal(t, to.write().Mode, moved.Mode())
					require.Equal(t, to.write().Context, moved.Context())
					require.Equal(t, to.write().BucketKey, moved.BucketKey())
					require.Equal(t, env.PlainSize(), moved.PlainSize())
					require.NotEqual(t, text(t, env), text(t, moved))

					parsed, err := encryption.ParseEnvelope(moved.Map())
					require.NoError(t, err)
					got, err := get(t.Context(), svc, copied, parsed, to.read(), bytes.NewReader(body))
					require.NoError(t, err)
					require.True(t, bytes.Equal(plain, got))
					_, err = get(t.Context(), svc, photo, env, from.read(), bytes.NewReader(body))
					require.NoError(t, err, "the source is as it was")
					if copied != photo {
						_, err = get(t.Context(), svc, photo, parsed, to.read(), bytes.NewReader(body))
						requireNotOpened(t, parsed.Mode(), err)
						_, err = get(t.Context(), svc, copied, env, from.read(), bytes.NewReader(body))
						requireNotOpened(t, env.Mode(), err)
					}
				})
			}
		}
	}
}

func TestRewrapOpensBeforeItSeals(t *testing.T) {
	ring := newRing("default")
	svc := encryption.NewService(ring, encryption.Options{})
	target := func() *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} }
	s3, _ := put(t, svc, photo, target(), nil)
	c, _ := put(t, svc, photo, &encryption.Request{Mode: encryption.SSEC, CustomerKey: customerKey()}, nil)
	generated := len(ring.requests)
	other := encryption.ObjectID{Bucket: "b", Key: "k"}

	_, err := svc.Rewrap(t.Context(), other, s3, nil, photo, target())
	require.Equal(t, kms.ErrDecrypt, err, "another object")
	_, err = svc.Rewrap(t.Context(), photo, c, &encryption.Request{CustomerKey: kms.NewSecret(random(32))}, photo, target())
	requireNotOpened(t, encryption.SSEC, err)
	_, err = svc.Rewrap(t.Context(), photo, c, nil, photo, target())
	require.ErrorIs(t, err, kms.ErrInvalidRequest, "no customer key")
	_, err = svc.Rewrap(t.Context(), photo, s3, &encryption.Request{KeyID: "other"}, photo, target())
	require.ErrorIs(t, err, kms.ErrInvalidRequest, "another key id")
	require.Len(t, ring.requests, generated)

	unwrapped := len(ring.unwraps)
	for _, invalid := range []*encryption.Request{nil, {}, {Mode: encryption.SSEC}} {
		_, err = svc.Rewrap(t.Context(), photo, s3, nil, photo, invalid)
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
	}
	require.Len(t, ring.unwraps, unwrapped)
	_, err = svc.Rewrap(t.Context(), photo, s3, nil, photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "missing"})
	require.ErrorIs(t, err, kms.ErrKeyNotFound)
}
