package clock_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/destruction/clock/jumpclock"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/mock"
)

// inBubble runs a test for each jump.
func inBubble(test func(t *testing.T, jump time.Duration)) func(t *testing.T) {
	return func(t *testing.T) {
		for _, jump := range []time.Duration{60 * day, -3650 * day} {
			t.Run(fmt.Sprintf("%+d days", jump/day), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					jumpclock.Set(0)
					defer jumpclock.Set(0)
					test(t, jump)
				})
			})
		}
	}
}

const ttl = 5 * time.Minute

// manage returns a Manager of this process, and the keys, which others change too.
func manage(t *testing.T) (*kms.Manager, *mock.Backend) {
	t.Helper()
	keys := mock.New()
	b, err := keys.Open(t.Context())
	require.NoError(t, err)
	m := kms.NewManager(b, kms.Options{Cache: kms.CacheOptions{TTL: ttl}})
	t.Cleanup(func() { m.Close() })
	_, err = m.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	return m, keys
}

func open(t *testing.T, keys kms.KeyService, blob []byte) error {
	t.Helper()
	opened, err := keys.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob})
	if err == nil {
		opened.Plaintext.Destroy()
	}
	return err
}

// What is cached serves for as long as it would have, and no longer: a jump neither empties a cache nor keeps it.
func cachesLiveByTheMonotonicClock(t *testing.T, jump time.Duration) {
	m, keys := manage(t)
	made, err := m.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k", WithoutPlaintext: true})
	require.NoError(t, err)
	require.NoError(t, open(t, m, made.Ciphertext))
	asked := keys.Calls("Decrypt")

	jumpclock.Set(jump)
	_, err = keys.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	time.Sleep(ttl - time.Second)
	require.NoError(t, open(t, m, made.Ciphertext), "what another process does is seen within the TTL")
	require.Equal(t, asked, keys.Calls("Decrypt"))
	time.Sleep(2 * time.Second)
	require.ErrorIs(t, open(t, m, made.Ciphertext), kms.ErrKeyDisabled)
}

// A change through the Manager itself is seen at once also where the clock has jumped between.
func changesAreSeenAtOnce(t *testing.T, jump time.Duration) {
	m, _ := manage(t)
	made, err := m.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k", WithoutPlaintext: true})
	require.NoError(t, err)
	require.NoError(t, open(t, m, made.Ciphertext))
	jumpclock.Set(jump)
	_, err = m.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	require.ErrorIs(t, open(t, m, made.Ciphertext), kms.ErrKeyDisabled)
	jumpclock.Set(0)
	require.ErrorIs(t, open(t, m, made.Ciphertext), kms.ErrKeyDisabled)
	_, err = m.EnableKey(t.Context(), &kms.EnableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	require.NoError(t, open(t, m, made.Ciphertext))
}

// A bucket key is shared for its TTL, and for no longer.
func bucketKeysLiveByTheMonotonicClock(t *testing.T, jump time.Duration) {
	m, keys := manage(t)
	service := encryption.NewService(m, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: ttl}})
	defer service.ClearBucketKeys()
	put(t, service)
	jumpclock.Set(jump)
	put(t, service)
	time.Sleep(ttl - time.Second)
	put(t, service)
	require.Equal(t, 1, keys.Calls("GenerateDataKey"))
	time.Sleep(2 * time.Second)
	put(t, service)
	require.Equal(t, 2, keys.Calls("GenerateDataKey"))
	jumpclock.Set(0)
	put(t, service)
	require.Equal(t, 2, keys.Calls("GenerateDataKey"))
}

func put(t *testing.T, service *encryption.Service) {
	t.Helper()
	id := encryption.ObjectID{Bucket: "photos", Key: "cat.jpg"}
	req := &encryption.Request{Mode: encryption.SSEKMS, KeyID: "k", BucketKey: true}
	object, err := service.EncryptStream(t.Context(), id, req, bytes.NewReader([]byte("meow")))
	require.NoError(t, err)
	defer object.Close()
	stored, err := io.ReadAll(object)
	require.NoError(t, err)
	env, err := object.Envelope()
	require.NoError(t, err)
	r, err := service.DecryptStream(context.Background(), id, env, nil, bytes.NewReader(stored))
	require.NoError(t, err)
	defer r.Close()
	plain, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "meow", string(plain))
}
