package backendtest

import (
	"slices"
	"testing"
	"time"

	"github.com/objectkms/kms"
)

const day = 24 * time.Hour

func (s *suite) scheduledDeletion(t *testing.T) {
	b := s.open(t)
	for days, wanted := range map[int]time.Duration{0: 30 * day, 7: 7 * day, 8: 8 * day, 29: 29 * day, 30: 30 * day} {
		id := create(t, b, "").ID
		resp, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, PendingWindowDays: days})
		wantOK(t, "DeleteKey accepts a window of 7 to 30 days, and 0 for 30", err)
		want(t, "DeleteKey answers the key as PendingDeletion", resp.Key.State, kms.KeyPendingDeletion)
		wantTime(t, "the deletion date is the window from now", resp.Key.DeletionDate, time.Now().Add(wanted))
		wantSameKey(t, "DescribeKey answers what DeleteKey answered", describe(t, b, id), resp.Key)
	}
	id := create(t, b, "").ID
	before := describe(t, b, id)
	for _, days := range []int{-1, 1, 6, 31, 1 << 30} {
		_, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, PendingWindowDays: days})
		wantErr(t, "DeleteKey with a window outside 7 to 30 days is ErrInvalidRequest", err, kms.ErrInvalidRequest)
	}
	_, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, ConfirmKeyID: "another"})
	wantErr(t, "DeleteKey with another id to confirm is ErrInvalidRequest", err, kms.ErrInvalidRequest)
	wantSameKey(t, "a refused DeleteKey changes nothing", describe(t, b, id), before)
}

func (s *suite) immediateDeletion(t *testing.T) {
	b := s.open(t)
	create(t, b, "doomed")
	create(t, b, "bystander")
	for _, req := range []*kms.DeleteKeyRequest{
		{KeyID: "doomed", Immediate: true},
		{KeyID: "doomed", Immediate: true, ConfirmKeyID: "bystander"},
		{KeyID: "doomed", Immediate: true, ConfirmKeyID: "doomed", PendingWindowDays: 7},
	} {
		_, err := b.DeleteKey(t.Context(), req)
		wantErr(t, "DeleteKey with Immediate needs the key's id repeated, and no window: else ErrInvalidRequest", err, kms.ErrInvalidRequest)
	}
	blob, other := encrypt(t, b, "doomed", "text", nil), encrypt(t, b, "bystander", "text", nil)
	last := deleteNow(t, b, "doomed")
	want(t, "DeleteKey with Immediate answers the key as it last was", last.ID, "doomed")
	wantTime(t, "DeleteKey with Immediate answers the time of the deletion", last.DeletionDate, time.Now())

	_, err := decrypt(t, b, blob, nil)
	wantErr(t, "what a deleted key wrapped is ErrKeyNotFound", err, kms.ErrKeyNotFound)
	for _, op := range operations(b) {
		if op.keyed {
			wantErr(t, op.name+" of a deleted key is ErrKeyNotFound", op.call(t.Context(), "doomed", blob), kms.ErrKeyNotFound)
		}
	}
	wantOpens(t, "a deletion harms no other key", b, other, nil, "text")

	again := create(t, b, "doomed")
	want(t, "a key made again under the id of a deleted one starts at version 1", again.Version, 1)
	_, err = decrypt(t, b, blob, nil)
	wantErr(t, "a key made again under the id of a deleted one does not open what that one wrapped", err, kms.ErrDecrypt)
	wantOpens(t, "a key made again under the id of a deleted one works", b, encrypt(t, b, "doomed", "new", nil), nil, "new")
}

func (s *suite) cancelDeletion(t *testing.T) {
	b := s.open(t)
	create(t, b, "k")
	blob := encrypt(t, b, "k", "text", nil)
	before := describe(t, b, "k")
	schedule(t, b, "k")
	resp, err := b.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionRequest{KeyID: "k"})
	wantOK(t, "CancelKeyDeletion takes a scheduled deletion back", err)
	before.State = kms.KeyDisabled
	wantSameKey(t, "CancelKeyDeletion leaves the key Disabled, without a deletion date, and else as it was", resp.Key, before)
	wantSameKey(t, "DescribeKey answers what CancelKeyDeletion answered", describe(t, b, "k"), before)
	wantOpens(t, "a backend decrypts with a Disabled key", b, blob, nil, "text")
	if b, ok := b.(kms.KeyStateChanger); ok {
		_, err := b.EnableKey(t.Context(), &kms.EnableKeyRequest{KeyID: "k"})
		wantOK(t, "EnableKey enables a key whose deletion was cancelled", err)
		before.State = kms.KeyEnabled
	}
	wantSameKey(t, "EnableKey leaves a key as it was but for its state", describe(t, b, "k"), before)
	schedule(t, b, "k")
	want(t, "a deletion that was cancelled can be scheduled again", describe(t, b, "k").State, kms.KeyPendingDeletion)
}

func (s *suite) expiredKeys(t *testing.T) {
	b := s.open(t)
	remover, ok := b.(kms.ExpiredKeyRemover)
	if !ok {
		t.Skip("the backend is no ExpiredKeyRemover")
	}
	removes := func(rule string, now time.Time, wanted ...string) {
		t.Helper()
		ids, err := remover.RemoveExpiredKeys(t.Context(), now)
		wantOK(t, rule, err)
		slices.Sort(ids)
		wantTrue(t, rule, slices.Equal(ids, wanted))
	}
	for _, id := range []string{"cancelled", "disabled", "early", "enabled", "late"} {
		create(t, b, id)
	}
	disable(t, b, "disabled")
	disable(t, b, "cancelled")
	early := schedule(t, b, "early").DeletionDate
	_, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "late", PendingWindowDays: 30})
	wantOK(t, "DeleteKey schedules the deletion of a key", err)

	removes("RemoveExpiredKeys removes no key before its deletion date", time.Now())
	removes("RemoveExpiredKeys removes no key a moment before its deletion date", early.Add(-time.Nanosecond))
	removes("RemoveExpiredKeys removes a key at its deletion date, and answers its id", early, "early")
	removes("RemoveExpiredKeys removes a key once", early)
	_, err = b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "early"})
	wantErr(t, "a key that RemoveExpiredKeys removed is ErrKeyNotFound", err, kms.ErrKeyNotFound)
	want(t, "RemoveExpiredKeys leaves keys alone whose date is still to come", describe(t, b, "late").State, kms.KeyPendingDeletion)
	removes("RemoveExpiredKeys removes a key past its deletion date", time.Now().Add(31*day), "late")
	for id, state := range map[string]kms.KeyState{"cancelled": kms.KeyDisabled, "disabled": kms.KeyDisabled, "enabled": kms.KeyEnabled} {
		want(t, "RemoveExpiredKeys leaves keys alone that are not pending deletion", describe(t, b, id).State, state)
	}
}
