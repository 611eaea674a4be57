package encryption_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/mock"
)

// newMock returns a mock backend with the keys "default" and "other".
func newMock(t testing.TB) *mock.Backend {
	keys := mock.New()
	for _, id := range []string{"default", "other"} {
		_, err := keys.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
		require.NoError(t, err)
	}
	return keys
}

// newManager returns a Manager of the backend with a default key.
func newManager(t testing.TB, keys kms.Backend) *kms.Manager {
	manager := kms.NewManager(keys, kms.Options{DefaultKeyID: "default"})
	t.Cleanup(func() { require.NoError(t, manager.Close()) })
	return manager
}

func TestServiceIsTheKeyServiceItWasMadeFrom(t *testing.T) {
	svc := encryption.NewService(newManager(t, newMock(t)), encryption.Options{})
	_, err := svc.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "third"})
	require.NoError(t, err)
	dk, err := svc.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "third"})
	require.NoError(t, err)
	dk.Plaintext.Destroy()
	require.NoError(t, svc.HealthCheck(t.Context()))
}

func TestObjectsWithTheKeysOfAManager(t *testing.T) {
	svc := encryption.NewService(newManager(t, newMock(t)), encryption.Options{})
	for _, p := range protections() {
		plain := random(2*chunk + 5)
		env, body := put(t, svc, photo, p.write(), plain)
		got, err := get(t.Context(), svc, photo, env, p.read(), bytes.NewReader(body))
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, got))
		require.Less(t, len(text(t, env)), 700)
	}
}

// failDecrypt lets the next Decrypt fail. A key that is not found is not there for DescribeKey either.
func failDecrypt(keys *mock.Backend, failure error) {
	keys.FailNext("Decrypt", failure)
	if failure == kms.ErrKeyNotFound {
		keys.FailNext("DescribeKey", failure)
	}
}

func TestErrorsOfTheKeyServicePassThrough(t *testing.T) {
	keys := newMock(t)
	svc := encryption.NewService(keys, encryption.Options{CreateDefaultKey: true})
	write := func() *encryption.Request { return &encryption.Request{Mode: encryption.SSEKMS, KeyID: "default"} }
	env, body := put(t, svc, photo, write(), random(5))
	failures := []error{
		kms.ErrUnavailable, kms.ErrKeyNotFound, kms.ErrKeyDisabled, kms.ErrKeyPendingDeletion, kms.ErrPermission, kms.ErrKeyMaterial,
		kms.ErrNotRunning, context.Canceled, errors.New("an error of someone else"), &kms.Error{Kind: kms.KindBackend, Op: "Decrypt", Err: kms.ErrUnavailable},
	}
	for _, failure := range failures {
		keys.FailNext("GenerateDataKey", failure)
		stored := &countingReader{r: strings.NewReader("plaintext")}
		_, err := svc.EncryptStream(t.Context(), photo, write(), stored)
		require.Equal(t, failure, err)
		require.Zero(t, stored.n)

		failDecrypt(keys, failure)
		stored = &countingReader{r: bytes.NewReader(body)}
		_, err = svc.DecryptStream(t.Context(), photo, env, nil, stored)
		require.Equal(t, failure, err)
		require.Zero(t, stored.n)

		failDecrypt(keys, failure)
		_, err = svc.OpenObject(t.Context(), photo, env, nil, int64(len(body)))
		require.Equal(t, failure, err)

		failDecrypt(keys, failure)
		_, err = svc.Rewrap(t.Context(), photo, env, nil, photo, write())
		require.Equal(t, failure, err)

		keys.FailNext("GenerateDataKey", failure)
		_, err = svc.Rewrap(t.Context(), photo, env, nil, photo, write())
		require.Equal(t, failure, err)
	}
	_, err := get(t.Context(), svc, photo, env, nil, bytes.NewReader(body))
	require.NoError(t, err)
}

func TestCancelledRequestAsksNobody(t *testing.T) {
	svc := encryption.NewService(newManager(t, newMock(t)), encryption.Options{})
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, random(5))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := svc.EncryptStream(ctx, photo, &encryption.Request{Mode: encryption.SSES3}, strings.NewReader("abc"))
	require.ErrorIs(t, err, context.Canceled)
	_, err = svc.DecryptStream(ctx, photo, env, nil, bytes.NewReader(body))
	require.ErrorIs(t, err, context.Canceled)
}

func TestDisabledKeyStopsReadsThroughAManager(t *testing.T) {
	manager := newManager(t, newMock(t))
	svc := encryption.NewService(manager, encryption.Options{})
	env, body := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, random(5))
	_, err := manager.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "default"})
	require.NoError(t, err)
	_, err = svc.DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(body))
	require.ErrorIs(t, err, kms.ErrKeyDisabled)
	e, ok := errors.AsType[*kms.Error](err)
	require.True(t, ok)
	require.Equal(t, "Decrypt", e.Op)
}

func TestRewrapBringsAnObjectToTheNewestVersionOfItsKey(t *testing.T) {
	keys := newMock(t)
	manager := newManager(t, keys)
	svc := encryption.NewService(manager, encryption.Options{})
	version := func(env *encryption.Envelope, context kms.EncryptionContext) uint32 {
		t.Helper()
		dk, err := svc.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: env.Parts().Wrapped, Context: context})
		require.NoError(t, err)
		dk.Plaintext.Destroy()
		return dk.KeyVersion
	}
	for _, p := range protections() {
		if p.write().Mode == encryption.SSEC {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			plain := random(chunk + 9)
			env, body := put(t, svc, photo, p.write(), plain)
			context := env.Parts().EffectiveContext(photo)
			before := version(env, context)
			_, err := manager.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: env.KeyID()})
			require.NoError(t, err)

			target := &encryption.Request{Mode: env.Mode(), KeyID: env.KeyID(), Context: env.Context(), BucketKey: env.BucketKey()}
			env, err = svc.Rewrap(t.Context(), photo, env, nil, photo, target)
			require.NoError(t, err)
			require.Equal(t, before+1, version(env, context))
			got, err := get(t.Context(), svc, photo, env, nil, bytes.NewReader(body))
			require.NoError(t, err)
			require.True(t, bytes.Equal(plain, got))
		})
	}
}

func TestMissingDefaultKeyIsNotMade(t *testing.T) {
	keys := mock.New()
	svc := encryption.NewService(newManager(t, keys), encryption.Options{})
	for _, mode := range []encryption.Mode{encryption.SSES3, encryption.SSEKMS} {
		_, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: mode}, strings.NewReader(""))
		require.ErrorIs(t, err, kms.ErrKeyNotFound)
	}
	require.Zero(t, keys.Calls("CreateKey"))
}

func TestMissingDefaultKeyIsMadeWhereAsked(t *testing.T) {
	keys := mock.New()
	svc := encryption.NewService(newManager(t, keys), encryption.Options{CreateDefaultKey: true})
	_, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3, KeyID: "other"}, strings.NewReader(""))
	require.ErrorIs(t, err, kms.ErrKeyNotFound, "a key with a name is not made")
	require.Zero(t, keys.Calls("CreateKey"))

	for range 2 {
		env, _ := put(t, svc, photo, &encryption.Request{Mode: encryption.SSES3}, nil)
		require.Equal(t, "default", env.KeyID())
		require.Equal(t, 1, keys.Calls("CreateKey"))
	}
}

func TestDefaultKeyIsMadeOnceByManyWriters(t *testing.T) {
	keys := mock.New()
	svc := encryption.NewService(newManager(t, keys), encryption.Options{CreateDefaultKey: true})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			object, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3}, strings.NewReader(""))
			if err != nil {
				t.Error(err)
				return
			}
			object.Close()
		})
	}
	wg.Wait()
	list, err := keys.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	require.Len(t, list.Keys, 1)
}

func TestDefaultKeyThatCannotBeMade(t *testing.T) {
	keys := mock.New()
	svc := encryption.NewService(newManager(t, keys), encryption.Options{CreateDefaultKey: true})
	write := func() error {
		_, err := svc.EncryptStream(t.Context(), photo, &encryption.Request{Mode: encryption.SSES3}, strings.NewReader(""))
		return err
	}
	keys.FailNext("CreateKey", kms.ErrPermission)
	require.ErrorIs(t, write(), kms.ErrPermission)
	keys.FailNext("CreateKey", kms.ErrKeyExists) // made by someone else, and gone again
	require.ErrorIs(t, write(), kms.ErrKeyNotFound)
	keys.FailNext("GenerateDataKey", kms.ErrKeyDisabled)
	calls := keys.Calls("CreateKey")
	require.ErrorIs(t, write(), kms.ErrKeyDisabled)
	require.Equal(t, calls, keys.Calls("CreateKey"))

	// A backend has no default key, so nobody knows which one to make.
	svc = encryption.NewService(keys, encryption.Options{CreateDefaultKey: true})
	keys.FailNext("GenerateDataKey", kms.ErrKeyNotFound)
	require.Equal(t, kms.ErrKeyNotFound, write())
	keys.FailNext("GenerateDataKey", &kms.Error{Err: kms.ErrKeyNotFound})
	require.ErrorIs(t, write(), kms.ErrKeyNotFound)
	require.Equal(t, calls, keys.Calls("CreateKey"))
}
