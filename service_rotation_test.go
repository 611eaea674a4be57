package kms_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

func TestRotationIsDueByTheAgeOfTheNewestVersion(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	key := func(change func(*kms.Key)) kms.Key {
		k := kms.Key{ID: "k", State: kms.KeyEnabled, Origin: kms.OriginKMS, CreatedAt: now.Add(-90 * day)}
		change(&k)
		return k
	}
	tests := []struct {
		name  string
		key   kms.Key
		after time.Duration
		want  bool
	}{
		{"just old enough", key(func(*kms.Key) {}), 90 * day, true},
		{"a moment too young", key(func(*kms.Key) {}), 90*day + 1, false},
		{"rotated since", key(func(k *kms.Key) { k.RotatedAt = now.Add(-time.Hour) }), 90 * day, false},
		{"rotated long ago", key(func(k *kms.Key) { k.RotatedAt = now.Add(-80 * day) }), 80 * day, true},
		{"disabled", key(func(k *kms.Key) { k.State = kms.KeyDisabled }), day, false},
		{"pending deletion", key(func(k *kms.Key) { k.State = kms.KeyPendingDeletion }), day, false},
		{"imported", key(func(k *kms.Key) { k.Origin = kms.OriginExternal }), day, false},
		{"never", key(func(*kms.Key) {}), 0, false},
		{"from the future", key(func(k *kms.Key) { k.CreatedAt = now.Add(day) }), time.Hour, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, tt.key.RotationDue(now, tt.after))
		})
	}
}

func version(t *testing.T, keys kms.KeyService, id string) uint32 {
	t.Helper()
	resp, err := keys.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: id})
	require.NoError(t, err)
	return resp.Key.Version
}

func TestKeysAreRotatedByTheirAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceConfigured)
		s.service.Rotation = kms.RotationOptions{Interval: time.Hour, Jitter: -1, RotateAfter: 30 * day}
		require.NoError(t, start(t, s))
		wrapped, _ := generate(t, s.service, "k")
		pass(29 * day)
		createKey(t, s.service, "young")
		require.Equal(t, uint32(1), version(t, s.service, "k"))
		pass(day)
		require.Equal(t, uint32(2), version(t, s.service, "k"))
		require.Equal(t, kms.RotationStatus{At: time.Now(), Rotated: []string{"k"}}, s.service.Status().Rotation)
		require.Equal(t, uint32(1), version(t, s.service, "young"))
		pass(29 * day)
		require.Equal(t, uint32(2), version(t, s.service, "k"))
		require.Equal(t, uint32(2), version(t, s.service, "young"))
		_, err := decrypt(t, s.service, wrapped)
		require.NoError(t, err, "what was wrapped before opens still")

		require.NoError(t, stop(t, s))
		pass(90 * day)
		require.NoError(t, start(t, s))
		synctest.Wait()
		require.Equal(t, uint32(3), version(t, s.service, "k"), "once, however long it was not done")
	})
}

func TestARotationThatFailsKeepsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceRunning)
		createKey(t, s.service, "a")
		pass(2 * day)
		s.backend.FailNext("RotateKey", errDown)
		rotated, err := s.service.RotateDueKeys(t.Context(), day)
		require.ErrorIs(t, err, errDown)
		require.Equal(t, []string{"k"}, rotated)
		s.backend.FailNext("ListKeys", errDown)
		_, err = s.service.RotateDueKeys(t.Context(), day)
		require.ErrorIs(t, err, errDown)
		rotated, err = s.service.RotateDueKeys(t.Context(), day)
		require.NoError(t, err)
		require.Equal(t, []string{"a"}, rotated)
	})
}

func TestManyPagesOfKeysAreRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, kms.ServiceRunning)
		const n = 1203
		for i := range n - 1 {
			createKey(t, s.service, fmt.Sprintf("k%04d", i))
		}
		pass(2 * day)
		rotated, err := s.service.RotateDueKeys(t.Context(), day)
		require.NoError(t, err)
		require.Len(t, rotated, n)
	})
}

func TestAKeyThatAnotherNodeHasRotatedIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mock.New()
		var service kms.ServiceManager
		require.NoError(t, service.Reconfigure(t.Context(), kms.Config{Backend: staleList{b}}))
		defer service.Stop(t.Context())
		createKey(t, &service, "k")
		pass(2 * day)
		rotated, err := service.RotateDueKeys(t.Context(), day)
		require.NoError(t, err)
		require.Empty(t, rotated)
		require.Equal(t, uint32(2), version(t, b, "k"))
	})
}

// staleList is a backend whose keys another node rotates just after they were listed.
type staleList struct{ *mock.Backend }

func (b staleList) Open(context.Context) (kms.Backend, error) { return b, nil }

func (b staleList) ListKeys(ctx context.Context, req *kms.ListKeysRequest) (*kms.ListKeysResponse, error) {
	list, err := b.Backend.ListKeys(ctx, req)
	if err == nil {
		for _, key := range list.Keys {
			_, err = b.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: key.ID})
		}
	}
	return list, err
}
