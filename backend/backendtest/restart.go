package backendtest

import (
	"fmt"
	"testing"

	"github.com/objectkms/kms"
)

// reopen restarts a backend.
func (s *suite) reopen(t *testing.T, b kms.Backend) kms.Backend {
	t.Helper()
	again := s.h.Reopen(t, b)
	if again == nil {
		t.Fatal("Harness.Reopen returned nil")
	}
	t.Cleanup(func() { again.Close() })
	return again
}

func (s *suite) restartOfData(t *testing.T) {
	b, id := s.openWithKey(t)
	ec := kms.EncryptionContext{"a": "b"}
	before := describe(t, b, id)
	blob := encrypt(t, b, id, "text", ec)
	for range 3 {
		b = s.reopen(t, b)
		wantOpens(t, "what was wrapped before a restart opens after it", b, blob, ec, "text")
		_, err := decrypt(t, b, blob, nil)
		wantErr(t, "what was wrapped before a restart is still bound to its encryption context", err, kms.ErrDecrypt)
		wantSameKey(t, "a restart changes no key", describe(t, b, id), before)
	}
}

func (s *suite) restart(t *testing.T) {
	b := s.open(t)
	_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "enabled", Description: "text\n<&>", Tags: map[string]string{"a": "b", "c": ""}})
	wantOK(t, "CreateKey makes a key with description and tags", err)
	for _, id := range []string{"disabled", "pending", "deleted"} {
		create(t, b, id)
	}
	blobs := map[string][]byte{"one": encrypt(t, b, "enabled", "one", nil), "disabled": encrypt(t, b, "disabled", "disabled", nil)}
	if rotator, ok := b.(kms.KeyRotator); ok {
		rotate(t, rotator, "enabled")
		blobs["two"] = encrypt(t, b, "enabled", "two", nil)
	}
	disable(t, b, "disabled")
	schedule(t, b, "pending")
	deleteNow(t, b, "deleted")
	before := listAll(t, b, &kms.ListKeysRequest{})

	b = s.reopen(t, b)
	after := listAll(t, b, &kms.ListKeysRequest{})
	want(t, "a restart loses no key and brings none back", len(after), len(before))
	for i := range min(len(after), len(before)) {
		wantSameKey(t, "a restart changes no key", after[i], before[i])
	}
	for text, blob := range blobs {
		wantOpens(t, "what any version wrapped before a restart opens after it", b, blob, nil, text)
	}
	_, err = b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "deleted"})
	wantErr(t, "a deleted key stays deleted after a restart", err, kms.ErrKeyNotFound)
	_, err = b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "pending"})
	wantErr(t, "an id is taken after a restart", err, kms.ErrKeyExists)
	create(t, b, "deleted")
	if rotator, ok := b.(kms.KeyRotator); ok {
		want(t, "versions are counted on after a restart", rotate(t, rotator, "enabled").Version, 3)
	}
}

func (s *suite) damagedRecord(t *testing.T) {
	b := s.open(t)
	create(t, b, "bad")
	create(t, b, "good")
	blob, good := encrypt(t, b, "bad", "text", nil), encrypt(t, b, "good", "text", nil)
	s.h.Damage(t, b, "bad")
	for _, op := range operations(b) {
		if op.keyed {
			wantErr(t, op.name+" of a key whose record is damaged is ErrKeyMaterial", op.call(t.Context(), "bad", blob), kms.ErrKeyMaterial)
		}
	}
	_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "bad"})
	wantErr(t, "CreateKey never replaces a damaged record: ErrKeyExists, or ErrKeyMaterial", err, kms.ErrKeyExists, kms.ErrKeyMaterial)
	wantOpens(t, "a damaged record harms no other key", b, good, nil, "text")
	wantOK(t, "HealthCheck answers nil beside a damaged record", b.HealthCheck(t.Context()))

	remover, ok := b.(kms.ExpiredKeyRemover)
	if !ok {
		return
	}
	date := schedule(t, b, "good").DeletionDate
	ids, err := remover.RemoveExpiredKeys(t.Context(), date)
	wantTrue(t, "RemoveExpiredKeys goes on after a damaged record", len(ids) == 1 && ids[0] == "good")
	if err != nil {
		wantErr(t, "RemoveExpiredKeys beside a damaged record is nil or ErrKeyMaterial", err, kms.ErrKeyMaterial)
	}
}

func (s *suite) damagedRecordInPages(t *testing.T) {
	b := s.open(t)
	ids := make(map[kms.KeyState][]string)
	var damaged []string
	for i := range 12 {
		id := fmt.Sprintf("k%02d", i)
		create(t, b, id)
		if i%6 == 0 || i%4 == 3 {
			damaged = append(damaged, id)
			s.h.Damage(t, b, id)
			continue
		}
		state := kms.KeyEnabled
		if i%3 == 1 {
			state = kms.KeyDisabled
			disable(t, b, id)
		}
		ids[state] = append(ids[state], id)
		ids[""] = append(ids[""], id)
	}
	for state, sound := range ids {
		for _, limit := range []int{0, 1, 2, 3, 5, 9, 10} {
			got := listPages(t, b, &kms.ListKeysRequest{Limit: limit, State: state}, nil)
			wantIDs(t, fmt.Sprintf("pages of %d hold every sound key once beside damaged records", limit), got.ids(), sound)
			wantIDs(t, fmt.Sprintf("pages of %d name every damaged record once", limit), got.damaged, damaged)
		}
	}
}
