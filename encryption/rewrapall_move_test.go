package encryption_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

func TestRewrapAllToAnotherKey(t *testing.T) {
	svc, keys := newSharing(t, sharing())
	b := newBucket()
	b.fill(t, svc, 20, func(i int) *encryption.Request {
		return &encryption.Request{Mode: encryption.SSEKMS, BucketKey: i%2 == 0, Context: kms.EncryptionContext{"n": "1"}}
	})
	generated := keys.Calls("GenerateDataKey")
	opts := encryption.RewrapAllOptions{KeyID: "arn:aws:kms:eu-central-1:1:key/other"}
	report := b.rewrap(t, svc, opts)
	require.Equal(t, 20, report.Written)
	require.Equal(t, encryption.Census{version("other", 1): 20}, report.After)
	require.Equal(t, 11, keys.Calls("GenerateDataKey")-generated, "ten objects share one")
	for i, id := range b.ids {
		require.Equal(t, i%2 == 0, b.envelopes[id].BucketKey())
		require.Equal(t, kms.EncryptionContext{"n": "1"}, b.envelopes[id].Context())
	}
	require.Equal(t, 20, b.rewrap(t, svc, opts).Current)
	b.open(t, svc)
	missing := b.rewrap(t, svc, encryption.RewrapAllOptions{KeyID: "missing"})
	require.Equal(t, 20, missing.Failed)
	require.ErrorIs(t, missing.Errors[0], kms.ErrKeyNotFound)
	b.open(t, svc)
}

func TestRewrapAllToAnotherMode(t *testing.T) {
	svc, _ := newSharing(t, encryption.Options{ResolveKeyID: func(name string) (string, error) {
		id, ok := strings.CutPrefix(name, "alias/")
		if !ok {
			return "", kms.ErrKeyNotFound
		}
		return id, nil
	}})
	b := newBucket()
	b.fill(t, svc, 10, func(int) *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} })
	opts := encryption.RewrapAllOptions{Request: func(item encryption.Item) *encryption.Request {
		switch item.ID.Key {
		case "0":
			return nil
		case "1":
			return &encryption.Request{}
		case "2":
			return &encryption.Request{Mode: encryption.SSEKMS, KeyID: "other"}
		}
		return &encryption.Request{Mode: encryption.SSEKMS, KeyID: "alias/other", Context: kms.EncryptionContext{"n": item.ID.Key}}
	}}
	report := b.rewrap(t, svc, opts)
	require.Equal(t, 7, report.Written)
	require.Equal(t, 1, report.Current)
	require.Equal(t, 2, report.Failed)
	require.ErrorIs(t, report.Errors[0], kms.ErrInvalidRequest, "no mode")
	require.ErrorIs(t, report.Errors[1], kms.ErrKeyNotFound, "an id that the Service does not resolve")
	require.Equal(t, kms.EncryptionContext{"n": "3"}, b.envelopes[numbered(3)].Context())
	require.Equal(t, 8, b.rewrap(t, svc, opts).Current)
	b.open(t, svc)

}

// One Request may serve all items, also with a customer key.
func TestRewrapAllToCustomerKeys(t *testing.T) {
	svc, _ := newSharing(t, encryption.Options{})
	b := newBucket()
	b.fill(t, svc, 10, func(int) *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} })
	secret := customerKey()
	target := &encryption.Request{Mode: encryption.SSEC, CustomerKey: secret}
	report := b.rewrap(t, svc, encryption.RewrapAllOptions{BatchSize: 3, Request: func(item encryption.Item) *encryption.Request {
		if item.ID.Key == "4" {
			return nil
		}
		return target
	}})
	require.Equal(t, 9, report.Written)
	require.Equal(t, 1, report.Current)
	require.Empty(t, report.Errors)
	require.Equal(t, testCustomerKey, secret.Bytes(), "the caller's own")
	require.Equal(t, encryption.Census{version("default", 1): 1}, report.After)
	b.open(t, svc)
	secret.Destroy()
	report = b.rewrap(t, svc, encryption.RewrapAllOptions{Request: func(encryption.Item) *encryption.Request { return target }})
	require.Equal(t, 9, report.SSEC)
	require.Equal(t, 1, report.Failed)
	require.ErrorIs(t, report.Errors[0], kms.ErrInvalidRequest)
}

func TestRewrapAllSealsAgainWhereTheContextOrTheBucketKeyChanges(t *testing.T) {
	svc, _ := newSharing(t, encryption.Options{})
	b := newBucket()
	b.fill(t, svc, 4, func(int) *encryption.Request { return &encryption.Request{Mode: encryption.SSEKMS} })
	for _, req := range []encryption.Request{
		{Mode: encryption.SSEKMS, BucketKey: true},
		{Mode: encryption.SSEKMS, BucketKey: true, Context: kms.EncryptionContext{"a": "b"}},
		{Mode: encryption.SSEKMS},
	} {
		opts := encryption.RewrapAllOptions{Request: func(encryption.Item) *encryption.Request { return &req }}
		require.Equal(t, 4, b.rewrap(t, svc, opts).Written)
		require.Equal(t, req.BucketKey, b.envelopes[numbered(0)].BucketKey())
		require.Equal(t, req.Context, b.envelopes[numbered(0)].Context())
		require.Equal(t, 4, b.rewrap(t, svc, opts).Current)
		b.open(t, svc)
	}
}

func TestAKeyServiceThatIsDownEndsTheRunOfMoves(t *testing.T) {
	svc, keys := newSharing(t, encryption.Options{})
	b := newBucket()
	b.fill(t, svc, 4, func(int) *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} })
	keys.FailNext("GenerateDataKey", nil)
	for range 3 {
		keys.FailNext("GenerateDataKey", kms.ErrUnavailable)
	}
	opts := encryption.RewrapAllOptions{KeyID: "other", Store: b.store}
	report, err := svc.RewrapAll(t.Context(), b.from(""), opts)
	require.ErrorIs(t, err, kms.ErrUnavailable)
	require.Equal(t, 1, report.Written)
	require.Equal(t, 1, report.Items)
	require.Equal(t, "0", report.Cursor)
}

// foreignKeys is a KeyService with wrapped data keys of a form of its own, and without any optional operation.
type foreignKeys struct{ plainKeys }

func (k foreignKeys) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	resp, err := k.plainKeys.GenerateDataKey(ctx, req)
	if err == nil {
		resp.Ciphertext = append([]byte("foreign:"), resp.Ciphertext...)
	}
	return resp, err
}

func (k foreignKeys) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	return k.plainKeys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: bytes.TrimPrefix(req.Ciphertext, []byte("foreign:")), Context: req.Context})
}

func TestAVersionThatIsNotKnownIsNeverCurrent(t *testing.T) {
	svc := encryption.NewService(foreignKeys{plainKeys{newManager(t, newMock(t))}}, encryption.Options{})
	b := newBucket()
	b.fill(t, svc, 3, func(int) *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} })
	for range 2 {
		report := b.rewrap(t, svc, encryption.RewrapAllOptions{})
		require.Equal(t, 3, report.Written)
		require.Equal(t, encryption.Census{version("default", 0): 3}, report.After)
	}
	b.open(t, svc)
}

// plainKeys is a KeyService without any optional operation.
type plainKeys struct{ kms.KeyService }

func TestRewrapAllWithoutRewrapDataKeys(t *testing.T) {
	keys := newMock(t)
	svc := encryption.NewService(plainKeys{newManager(t, keys)}, encryption.Options{})
	b := newBucket()
	b.fill(t, svc, 10, func(int) *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} })
	require.Equal(t, 10, b.rewrap(t, svc, encryption.RewrapAllOptions{}).Current)
	rotate(t, keys, "default")
	report := b.rewrap(t, svc, encryption.RewrapAllOptions{})
	require.Equal(t, 10, report.Written)
	require.Zero(t, report.After.MayUse("default", 1))
	require.Equal(t, 10, b.rewrap(t, svc, encryption.RewrapAllOptions{BatchSize: 3}).Current)
	require.Zero(t, keys.Calls("RewrapDataKeys"))
	b.open(t, svc)

	broken := b.envelopes[numbered(0)].Parts()
	broken.Sealed = random(len(broken.Sealed))
	b.envelopes[numbered(0)] = broken.Envelope()
	keys.FailNext("DescribeKey", errors.New("no description"))
	report = b.rewrap(t, svc, encryption.RewrapAllOptions{})
	require.Equal(t, 2, report.Failed)
	require.ErrorIs(t, report.Errors[0], kms.ErrDecrypt)
}

func TestRewrapAllToAnotherBackend(t *testing.T) {
	tests := map[string]func(kms.KeyService) kms.KeyService{
		"with RewrapDataKeys": func(keys kms.KeyService) kms.KeyService { return keys },
		"without":             func(keys kms.KeyService) kms.KeyService { return plainKeys{keys} },
	}
	for name, wear := range tests {
		for _, keyID := range []string{"", "other"} {
			t.Run(name+" "+keyID, func(t *testing.T) {
				source, from := newSharing(t, encryption.Options{})
				target := encryption.NewService(wear(newManager(t, newMock(t))), encryption.Options{})
				b := newBucket()
				b.fill(t, source, 25, anyProtection)
				ctx, cancel := context.WithCancel(t.Context())
				opts := encryption.RewrapAllOptions{Target: target, KeyID: keyID, BatchSize: 4}
				opts.Store = func(ctx context.Context, item encryption.Item, env *encryption.Envelope) error {
					if b.writes == 9 {
						cancel()
					}
					return b.store(ctx, item, env)
				}
				first, err := source.RewrapAll(ctx, b.from(""), opts)
				require.ErrorIs(t, err, context.Canceled)
				require.Equal(t, 10, first.Written)
				opts.Store = b.store
				second := b.rewrap(t, source, opts) // from the beginning, to see what is there already
				require.Equal(t, 10, second.Written)
				require.Equal(t, 10, second.Current)
				require.Equal(t, 5, second.SSEC)
				b.open(t, target)
				_, err = get(t.Context(), source, b.ids[0], b.envelopes[b.ids[0]], nil, bytes.NewReader(b.bodies[b.ids[0]]))
				require.Equal(t, kms.ErrDecrypt, errors.Unwrap(err), "the source's keys are not needed any more")
				decrypted := from.Calls("Decrypt")
				require.Equal(t, 20, b.rewrap(t, source, opts).Current)
				require.Equal(t, decrypted, from.Calls("Decrypt"))
			})
		}
	}
}

// wrongKeys answers to RewrapDataKeys what change makes of the right answer.
type wrongKeys struct {
	*kms.Manager
	change func(*kms.RewrapDataKeysResponse) *kms.RewrapDataKeysResponse
}

func (k wrongKeys) RewrapDataKeys(ctx context.Context, req *kms.RewrapDataKeysRequest) (*kms.RewrapDataKeysResponse, error) {
	resp, err := k.Manager.RewrapDataKeys(ctx, req)
	if err != nil {
		return nil, err
	}
	return k.change(resp), nil
}

func TestAnImpossibleAnswerIsNotStored(t *testing.T) {
	changes := map[string]func(*kms.RewrapDataKeysResponse) *kms.RewrapDataKeysResponse{
		"no answer":   func(*kms.RewrapDataKeysResponse) *kms.RewrapDataKeysResponse { return nil },
		"one too few": func(r *kms.RewrapDataKeysResponse) *kms.RewrapDataKeysResponse { r.Items = r.Items[1:]; return r },
		"another key": func(r *kms.RewrapDataKeysResponse) *kms.RewrapDataKeysResponse { r.Items[1].KeyID = "other"; return r },
		"no data key": func(r *kms.RewrapDataKeysResponse) *kms.RewrapDataKeysResponse { r.Items[1].Ciphertext = nil; return r },
		"one too large": func(r *kms.RewrapDataKeysResponse) *kms.RewrapDataKeysResponse {
			r.Items[1].Ciphertext = random(16<<10 + 1)
			return r
		},
	}
	failed := map[string]int{"no answer": 3, "one too few": 3}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			manager := newManager(t, newMock(t))
			svc := encryption.NewService(wrongKeys{manager, change}, encryption.Options{})
			b := newBucket()
			b.fill(t, svc, 3, func(int) *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} })
			rotate(t, manager, "default")
			report := b.rewrap(t, svc, encryption.RewrapAllOptions{})
			require.Equal(t, max(failed[name], 1), report.Failed)
			for _, err := range report.Errors {
				require.ErrorIs(t, err, kms.ErrKeyMaterial)
			}
			b.open(t, svc)
		})
	}
}

func TestACensusProvesNothingOfWhatIsNotKnown(t *testing.T) {
	b := newBucket()
	svc := encryption.NewService(newRing("default", "other"), encryption.Options{})
	b.fill(t, svc, 4, func(int) *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} })
	parts := b.envelopes[numbered(1)].Parts()
	parts.Wrapped = []byte("vault:v7:abc")
	b.envelopes[numbered(1)] = parts.Envelope()
	parts.Wrapped = []byte{1, 2, 7, 'd', 'e', 'f', 'a', 'u', 'l', 't', 0, 0, 1, 2, 'v'}
	b.envelopes[numbered(2)] = parts.Envelope()
	census := b.rewrap(t, svc, encryption.RewrapAllOptions{DryRun: true}).Before
	require.Equal(t, encryption.Census{version("default", 0): 1, version("default", 1): 2, version("default", 258): 1}, census)
	require.Equal(t, 3, census.MayUse("default", 1))
	require.Equal(t, 1, census.MayUse("default", 2), "one may be")
	require.Zero(t, census.MayUse("other", 1))
}

func TestTheVersionOfAWrappedDataKeyIsReadStrictly(t *testing.T) {
	tests := map[string][]byte{
		"empty":            nil,
		"cut":              {1, 1, 1, 'k', 0, 0, 0},
		"another format":   {2, 1, 1, 'k', 0, 0, 0, 1},
		"kind 0":           {1, 0, 1, 'k', 0, 0, 0, 1},
		"an unknown kind":  {1, 4, 1, 'k', 0, 0, 0, 1},
		"another key":      {1, 1, 1, 'j', 0, 0, 0, 1},
		"a key id too far": {1, 1, 200, 'k', 0, 0, 0, 1},
	}
	for name, wrapped := range tests {
		require.Zero(t, encryption.Parts{KeyID: "k", Wrapped: wrapped}.KeyVersion(), name)
	}
	require.Equal(t, uint32(9), encryption.Parts{KeyID: "k", Wrapped: []byte{1, 3, 1, 'k', 0, 0, 0, 9}}.KeyVersion())
}

// A version is only told by the bytes that a wrapped data key of the same key and version begins with.
func FuzzVersionOfAWrappedDataKey(f *testing.F) {
	f.Add("k", []byte{1, 1, 1, 'k', 0, 0, 0, 9, 'p'})
	f.Add("default", []byte("vault:v7:abc"))
	f.Add("", []byte{1, 2, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, keyID string, wrapped []byte) {
		version := encryption.Parts{KeyID: keyID, Wrapped: wrapped}.KeyVersion()
		if version == 0 {
			return
		}
		require.Contains(t, []byte{1, 2, 3}, wrapped[1])
		header := append([]byte{1, wrapped[1], byte(len(keyID))}, keyID...)
		require.True(t, bytes.HasPrefix(wrapped, binary.BigEndian.AppendUint32(header, version)))
	})
}

func TestACensusIsBounded(t *testing.T) {
	i := 0
	next := func() (encryption.Item, bool) {
		i++
		parts := encryption.Parts{Mode: encryption.SSES3, KeyID: strconv.Itoa(i), Wrapped: []byte{1}}
		return encryption.Item{ID: photo, Envelope: parts.Envelope()}, i <= 10_005
	}
	svc := encryption.NewService(newRing("default"), encryption.Options{})
	report, err := svc.RewrapAll(t.Context(), next, encryption.RewrapAllOptions{DryRun: true})
	require.NoError(t, err)
	require.Equal(t, 10_005, report.Items)
	require.Len(t, report.Before, 10_001)
	require.Equal(t, 5, report.Before[encryption.KeyVersion{}])
	require.Equal(t, 6, report.Before.MayUse("1", 1))
	require.Equal(t, 5, report.Before.MayUse("another", 1))
}
