package encryption_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/mock"
)

// changes are the operations of a Service that change the state of a key.
func changes(svc *encryption.Service, keyID string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"DeleteKey": func(ctx context.Context) error {
			_, err := svc.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: keyID})
			return err
		},
		"CancelKeyDeletion": func(ctx context.Context) error {
			_, err := svc.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: keyID})
			return err
		},
		"EnableKey": func(ctx context.Context) error {
			_, err := svc.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: keyID})
			return err
		},
		"DisableKey": func(ctx context.Context) error {
			_, err := svc.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: keyID})
			return err
		},
		"RotateKey": func(ctx context.Context) error {
			_, err := svc.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: keyID})
			return err
		},
		"ImportKey": func(ctx context.Context) error {
			_, err := svc.ImportKey(ctx, &kms.ImportKeyRequest{KeyID: keyID, Material: kms.NewSecret(random(32))})
			return err
		},
		"RemoveExpiredKeys": func(ctx context.Context) error {
			_, err := svc.RemoveExpiredKeys(ctx, time.Now())
			return err
		},
	}
}

// updates are the optional operations of a Service that leave the state of a key alone.
func updates(svc *encryption.Service, keyID string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"UpdateKeyDescription": func(ctx context.Context) error {
			_, err := svc.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionRequest{KeyID: keyID, Description: "d"})
			return err
		},
		"TagKey": func(ctx context.Context) error {
			_, err := svc.TagKey(ctx, &kms.TagKeyRequest{KeyID: keyID, Tags: map[string]string{"a": "b"}})
			return err
		},
		"UntagKey": func(ctx context.Context) error {
			_, err := svc.UntagKey(ctx, &kms.UntagKeyRequest{KeyID: keyID, TagKeys: []string{"a"}})
			return err
		},
		"RewrapDataKeys": func(ctx context.Context) error {
			_, err := svc.RewrapDataKeys(ctx, &kms.RewrapDataKeysRequest{KeyID: keyID, Items: []kms.RewrapItem{{Ciphertext: []byte{1}}}})
			return err
		},
	}
}

func TestTheServiceHasTheOptionalOperationsOfItsKeyService(t *testing.T) {
	svc, keys := newSharing(t, sharing())
	first := wrappedOf(t, svc, photo, shared())
	for op, do := range updates(svc, "default") {
		require.NoError(t, do(t.Context()), op)
		require.Equal(t, 1, keys.Calls(op), op)
		require.Equal(t, first, wrappedOf(t, svc, photo, shared()), op)
	}
	for _, op := range []string{"RotateKey", "DisableKey", "EnableKey", "DeleteKey", "CancelKeyDeletion", "RemoveExpiredKeys"} {
		require.NoError(t, changes(svc, "default")[op](t.Context()), op)
		require.Equal(t, 1, keys.Calls(op), op)
	}
	require.NoError(t, changes(svc, "imported")["ImportKey"](t.Context()))
	described, err := svc.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "imported"})
	require.NoError(t, err)
	require.Equal(t, kms.OriginExternal, described.Key.Origin)
}

func TestWhatTheKeyServiceLacksIsUnsupported(t *testing.T) {
	svc := encryption.NewService(plainKeys{newManager(t, newMock(t))}, sharing())
	for op, do := range updates(svc, "default") {
		require.ErrorIs(t, do(t.Context()), kms.ErrUnsupported, op)
		require.ErrorContains(t, do(t.Context()), op)
	}
	for _, op := range []string{"RotateKey", "DisableKey", "EnableKey", "ImportKey", "RemoveExpiredKeys"} {
		require.ErrorIs(t, changes(svc, "default")[op](t.Context()), kms.ErrUnsupported, op)
		require.ErrorContains(t, changes(svc, "default")[op](t.Context()), op)
	}
	require.NoError(t, changes(svc, "default")["DeleteKey"](t.Context()))
}

func TestNilRequestsOfChangesAreErrors(t *testing.T) {
	svc, _ := newSharing(t, sharing())
	_, del := svc.DeleteKey(t.Context(), nil)
	_, cancel := svc.CancelKeyDeletion(t.Context(), nil)
	_, enable := svc.EnableKey(t.Context(), nil)
	_, disable := svc.DisableKey(t.Context(), nil)
	_, rotate := svc.RotateKey(t.Context(), nil)
	_, imported := svc.ImportKey(t.Context(), nil)
	for _, err := range []error{del, cancel, enable, disable, rotate, imported} {
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
	}
}

// watched is a KeyService that keeps the secrets that it has answered.
type watched struct {
	*kms.Manager
	mu       sync.Mutex
	answered []*kms.Secret
}

func (w *watched) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	resp, err := w.Manager.GenerateDataKey(ctx, req)
	if err == nil {
		w.mu.Lock()
		w.answered = append(w.answered, resp.Plaintext)
		w.mu.Unlock()
	}
	return resp, err
}

func TestSharedDataKeysAreWiped(t *testing.T) {
	tests := map[string]func(t *testing.T, svc *encryption.Service){
		"cleared": func(_ *testing.T, svc *encryption.Service) { svc.ClearBucketKeys() },
		"changed": func(t *testing.T, svc *encryption.Service) {
			require.NoError(t, changes(svc, "default")["RotateKey"](t.Context()))
		},
		"used up": func(t *testing.T, svc *encryption.Service) {
			for range 3 {
				wrappedOf(t, svc, photo, shared())
			}
		},
		"expired": func(_ *testing.T, svc *encryption.Service) {
			svc.BucketKeyStats() // under the lock that orders what was read before and what is wiped after
			time.Sleep(time.Minute)
			synctest.Wait()
		},
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				keys := &watched{Manager: newManager(t, newMock(t))}
				svc := encryption.NewService(keys, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: time.Minute, MaxObjects: 4}})
				object, err := svc.EncryptStream(t.Context(), photo, shared(), bytes.NewReader(nil))
				require.NoError(t, err)
				synctest.Wait()
				require.Zero(t, keys.answered[0].Len(), "what was answered is destroyed by who received it")
				held := encryption.SharedDataKeys(svc)
				require.Len(t, held, 1)
				require.Equal(t, 32, held[0].Len())
				require.Equal(t, held[0].Bytes(), object.Keys()[1].Bytes())
				end(t, svc)
				require.Zero(t, held[0].Len())
				require.Equal(t, 32, object.Keys()[1].Len(), "each use is a copy")
				object.Close()
				svc.ClearBucketKeys()
				keys.ClearCache()
			})
		})
	}
}

// Nobody who waits takes the data key from where it is held.
func TestADataKeyThatIsUsedUpByThoseWhoWaitedIsWiped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc, keys := newSharing(t, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: time.Hour, MaxObjects: 4}})
		for writers, want := range map[int]int{3: 32, 4: 0} {
			svc.ClearBucketKeys()
			keys.Delay("GenerateDataKey", time.Second)
			var group sync.WaitGroup
			for range writers {
				group.Go(func() { wrappedOf(t, svc, photo, shared()) })
			}
			group.Wait()
			require.Len(t, encryption.SharedDataKeys(svc), 1)
			require.Equal(t, want, encryption.SharedDataKeys(svc)[0].Len())
		}
		require.Equal(t, 2, keys.Calls("GenerateDataKey"))
		svc.ClearBucketKeys()
	})
}

func TestAWriterWhoLeavesHarmsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc, keys := newSharing(t, sharing())
		keys.Delay("GenerateDataKey", time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		var left, stayed error
		go func() { _, left = svc.EncryptStream(ctx, photo, shared(), bytes.NewReader(nil)) }()
		go func() { _, stayed = svc.EncryptStream(t.Context(), photo, shared(), bytes.NewReader(nil)) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		require.ErrorIs(t, left, context.Canceled)
		time.Sleep(time.Second)
		synctest.Wait()
		require.NoError(t, stayed)
		svc.ClearBucketKeys()
	})
}

func TestAFailedDataKeyIsNotShared(t *testing.T) {
	svc, keys := newSharing(t, sharing())
	failure := errors.New("no answer")
	keys.FailNext("GenerateDataKey", failure)
	_, err := svc.EncryptStream(t.Context(), photo, shared(), bytes.NewReader(nil))
	require.ErrorIs(t, err, failure)
	wrappedOf(t, svc, photo, shared())
	keys.FailNext("DescribeKey", kms.ErrPermission)
	require.NoError(t, changes(svc, "default")["RotateKey"](t.Context()))
	_, err = svc.EncryptStream(t.Context(), photo, shared(), bytes.NewReader(nil))
	require.ErrorIs(t, err, kms.ErrPermission)
	require.Equal(t, 2, keys.Calls("GenerateDataKey"))
}

func TestTheDefaultKeyIsMadeForASharedDataKeyToo(t *testing.T) {
	keys := newMock(t)
	manager := kms.NewManager(keys, kms.Options{DefaultKeyID: "new"})
	opts := sharing()
	svc := encryption.NewService(manager, opts)
	_, err := svc.EncryptStream(t.Context(), photo, shared(), bytes.NewReader(nil))
	require.ErrorIs(t, err, kms.ErrKeyNotFound)
	opts.CreateDefaultKey = true
	svc = encryption.NewService(manager, opts)
	t.Cleanup(svc.ClearBucketKeys)
	for range 5 {
		wrappedOf(t, svc, photo, shared())
	}
	require.Equal(t, uint64(3), svc.BucketKeyStats().Hits)
}

// reconfigured is a KeyService whose Manager is replaced.
type reconfigured struct{ *kms.Manager }

func TestASharedDataKeyIsNotOneOfAnotherDefaultKey(t *testing.T) {
	keys := newMock(t)
	worn := &reconfigured{newManager(t, keys)}
	svc := encryption.NewService(worn, sharing())
	t.Cleanup(svc.ClearBucketKeys)
	first, _ := put(t, svc, photo, shared(), nil)
	require.Equal(t, "default", first.KeyID())
	again, err := keys.Open(t.Context())
	require.NoError(t, err)
	worn.Manager = kms.NewManager(again, kms.Options{DefaultKeyID: "other"})
	second, _ := put(t, svc, photo, shared(), nil)
	require.Equal(t, "other", second.KeyID())
	require.NoError(t, worn.Manager.Close())
	_, err = svc.EncryptStream(t.Context(), photo, shared(), bytes.NewReader(nil))
	require.ErrorIs(t, err, kms.ErrClosed)
}

// late is a KeyService whose default key becomes another one between two questions.
type late struct {
	*kms.Manager
	next kms.KeyService
}

func (l late) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	return l.next.GenerateDataKey(ctx, req)
}

func TestADataKeyOfAnotherDefaultKeyIsNotHeld(t *testing.T) {
	keys := newMock(t)
	svc := encryption.NewService(late{newManager(t, keys), kms.NewManager(keys, kms.Options{DefaultKeyID: "other"})}, sharing())
	for range 2 {
		env, _ := put(t, svc, photo, shared(), nil)
		require.Equal(t, "other", env.KeyID())
	}
	require.Zero(t, svc.BucketKeyStats().Entries)
}

func TestAKeyMadeAgainUnderItsIDSharesNothingOfTheFormerOne(t *testing.T) {
	keys := kms.NewManager(mock.New(), kms.Options{AllowImmediateDeletion: true})
	t.Cleanup(func() { keys.Close() })
	svc := encryption.NewService(keys, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: time.Hour}})
	t.Cleanup(svc.ClearBucketKeys)
	put := func() (*encryption.Envelope, []byte) {
		req := &encryption.Request{Mode: encryption.SSEKMS, KeyID: "k", BucketKey: true}
		object, err := svc.EncryptStream(t.Context(), photo, req, strings.NewReader("body"))
		require.NoError(t, err)
		body, err := io.ReadAll(object)
		require.NoError(t, err)
		env, err := object.Envelope()
		require.NoError(t, err)
		return env, body
	}
	create := func() {
		_, err := keys.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
		require.NoError(t, err)
	}
	create()
	put()
	_, err := keys.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
	require.NoError(t, err)
	create()
	env, body := put()
	plain, err := svc.DecryptStream(t.Context(), photo, env, nil, bytes.NewReader(body))
	require.NoError(t, err)
	got, err := io.ReadAll(plain)
	require.NoError(t, err)
	require.Equal(t, "body", string(got))
}
