package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
)

// ringCall is one call of a Ring on the key "k", which is Enabled, or "z", which is past its deletion date.
type ringCall func(ctx context.Context, ring *keyring.Ring, blob []byte) error

func ringCalls() map[string]ringCall {
	return map[string]ringCall{
		"CreateKey": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "new"})
			return err
		},
		"ImportKey": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.ImportKey(ctx, &kms.ImportKeyRequest{KeyID: "new", Material: kms.NewSecret(append(make([]byte, 31), 1))})
			return err
		},
		"DescribeKey": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: "k"})
			return err
		},
		"ListKeys": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.ListKeys(ctx, &kms.ListKeysRequest{})
			return err
		},
		"DeleteKey": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "k"})
			return err
		},
		"DeleteKey at once": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
			return err
		},
		"CancelKeyDeletion": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: "z"})
			return err
		},
		"GenerateDataKey": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: "k"})
			return err
		},
		"Encrypt": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.Encrypt(ctx, &kms.EncryptRequest{KeyID: "k", Plaintext: []byte("text")})
			return err
		},
		"Decrypt": func(ctx context.Context, r *keyring.Ring, blob []byte) error {
			_, err := r.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: blob})
			return err
		},
		"DisableKey": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: "k"})
			return err
		},
		"EnableKey": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: "k"})
			return err
		},
		"RotateKey": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: "k"})
			return err
		},
		"UpdateKeyDescription": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionRequest{KeyID: "k", Description: "new"})
			return err
		},
		"TagKey": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.TagKey(ctx, &kms.TagKeyRequest{KeyID: "k", Tags: map[string]string{"new": ""}})
			return err
		},
		"UntagKey": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.UntagKey(ctx, &kms.UntagKeyRequest{KeyID: "k", TagKeys: []string{"old"}})
			return err
		},
		"RewrapDataKeys": func(ctx context.Context, r *keyring.Ring, blob []byte) error {
			resp, err := r.RewrapDataKeys(ctx, &kms.RewrapDataKeysRequest{KeyID: "k", Items: []kms.RewrapItem{{Ciphertext: blob, To: kms.EncryptionContext{"a": "b"}}}})
			if err != nil {
				return err
			}
			return resp.Items[0].Err
		},
		"RemoveExpiredKeys": func(ctx context.Context, r *keyring.Ring, _ []byte) error {
			_, err := r.RemoveExpiredKeys(ctx, time.Now().AddDate(1, 0, 0))
			return err
		},
		"HealthCheck": func(ctx context.Context, r *keyring.Ring, _ []byte) error { return r.HealthCheck(ctx) },
	}
}

// faultyRing returns a ring whose caches are empty, over a store with the keys that ringCalls need.
func faultyRing(t *testing.T) (*memStore, *keyring.Ring, []byte) {
	store := newStore()
	maker := openRing(t, store)
	_, err := maker.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k", Tags: map[string]string{"old": ""}})
	require.NoError(t, err)
	createKey(t, maker, "z")
	_, err = maker.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "z"})
	require.NoError(t, err)
	blob := encrypt(t, maker, "k", nil)
	return store, openRing(t, store), blob
}

func TestAStoreThatFailsAnywhereLeavesEverythingAsItWas(t *testing.T) {
	broken := errors.New("disk is on fire")
	for name, call := range ringCalls() {
		t.Run(name, func(t *testing.T) {
			faults := 0
			for n := 1; ; n++ {
				store, ring, blob := faultyRing(t)
				before := maps.Clone(store.records)
				calls := 0
				store.fault = func(string) error {
					if calls++; calls == n {
						return broken
					}
					return nil
				}
				err := call(t.Context(), ring, blob)
				store.fault = nil
				if calls < n {
					require.NoError(t, err)
					break
				}
				faults++
				require.ErrorIs(t, err, broken)
				require.True(t, maps.EqualFunc(before, store.records, bytes.Equal))
				require.NoError(t, call(t.Context(), ring, blob), "a later try works")
			}
			require.Positive(t, faults)
		})
	}
}

func TestAnErrorAfterTheWriteIsToldAndTheTruthIsReadNext(t *testing.T) {
	store, ring, blob := faultyRing(t)
	lost := errors.New("answer was lost")
	store.mutated = func() error { return lost }
	for name, call := range ringCalls() {
		switch name {
		case "DeleteKey", "DeleteKey at once", "RemoveExpiredKeys", "CancelKeyDeletion", "DisableKey", "EnableKey":
			continue
		}
		writes := store.writes
		if err := call(t.Context(), ring, blob); store.writes > writes {
			require.Equal(t, lost, err)
		}
	}
	store.mutated = nil
	require.NoError(t, describeErr(t, ring, "new"))
	key := describeKey(t, ring, "k")
	require.Equal(t, uint32(2), key.Version)
	require.Equal(t, map[string]string{"new": ""}, key.Tags)
	require.Equal(t, "new", key.Description)
	require.NoError(t, decrypt(t, ring, encrypt(t, ring, "k", nil), nil))
}

func TestNoOpsWriteNothing(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	_, err := ring.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k", Description: "d", Tags: map[string]string{"a": "b"}})
	require.NoError(t, err)
	writes := store.writes
	ctx := t.Context()
	_, err = ring.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	_, err = ring.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionRequest{KeyID: "k", Description: "d"})
	require.NoError(t, err)
	_, err = ring.TagKey(ctx, &kms.TagKeyRequest{KeyID: "k", Tags: map[string]string{"a": "b"}})
	require.NoError(t, err)
	_, err = ring.UntagKey(ctx, &kms.UntagKeyRequest{KeyID: "k", TagKeys: []string{"c"}})
	require.NoError(t, err)
	require.Equal(t, writes, store.writes)
	_, err = ring.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	_, err = ring.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	require.Equal(t, writes+1, store.writes)
}
