package model_test

import (
	"bytes"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/objectkms/kms"
)

// keyOps are the operations on keys that the service and a backend have in common.
type keyOps interface {
	kms.KeyService
	kms.KeyStateChanger
	kms.KeyRotator
}

func drawID(t *rapid.T) string {
	return rapid.SampledFrom([]string{defaultKey, "a", "b"}).Draw(t, "id")
}

func (m *machine) nextSerial() int {
	m.serial++
	return m.serial
}

func (m *machine) create(t *rapid.T) {
	id, origin := drawID(t), kms.OriginKMS
	if rapid.Bool().Draw(t, "import") {
		origin = kms.OriginExternal
	}
	var err error
	serial := m.nextSerial()
	if origin == kms.OriginKMS {
		_, err = m.enc.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id})
	} else {
		material := kms.NewSecret(bytes.Repeat([]byte{byte(serial), byte(serial >> 8), 1, 2}, 8))
		_, err = m.enc.ImportKey(ctx, &kms.ImportKeyRequest{KeyID: id, Material: material})
	}
	keys := m.places[0].keys
	if keys[id] != nil {
		check(t, "create", err, kms.ErrKeyExists)
		return
	}
	check(t, "create", err, nil)
	keys[id] = &modelKey{state: kms.KeyEnabled, origin: origin, versions: []int{serial}}
}

// fill makes the first keys of a place.
func (m *machine) fill(t *rapid.T, p *place) {
	for _, id := range []string{defaultKey, "a", "b"} {
		if rapid.IntRange(0, 2).Draw(t, "fill") == 0 {
			continue
		}
		_, err := p.other.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id})
		check(t, "fill", err, nil)
		p.keys[id] = &modelKey{state: kms.KeyEnabled, origin: kms.OriginKMS, versions: []int{m.nextSerial()}}
	}
}

// change does one operation on a key of the first place, through the service. It is seen at once, whatever the caches hold from before.
func (m *machine) change(t *rapid.T) {
	m.readAllObjects(t)
	m.changeKey(t, m.enc, m.places[0])
	m.readAllObjects(t)
}

// changeElsewhere does one in any place, as another process.
func (m *machine) changeElsewhere(t *rapid.T) {
	p := rapid.SampledFrom(m.places).Draw(t, "place")
	m.changeKey(t, p.other.(keyOps), p)
	settle()
}

func (m *machine) changeKey(t *rapid.T, with keyOps, p *place) {
	id := drawID(t)
	key := p.keys[id]
	switch op := rapid.SampledFrom([]string{"rotate", "disable", "enable", "schedule", "cancel"}).Draw(t, "op"); op {
	case "rotate":
		_, err := with.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: id})
		if check(t, op, err, key.mayUse()) {
			key.versions = append(key.versions, m.nextSerial())
		}
	case "disable":
		_, err := with.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: id})
		if check(t, op, err, key.mayChange()) {
			key.state = kms.KeyDisabled
		}
	case "enable":
		_, err := with.EnableKey(ctx, &kms.EnableKeyRequest{KeyID: id})
		if check(t, op, err, key.mayChange()) {
			key.state = kms.KeyEnabled
		}
	case "schedule":
		_, err := with.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id, PendingWindowDays: 7})
		if check(t, op, err, key.mayChange()) {
			key.state, key.deletion = kms.KeyPendingDeletion, time.Now().UTC().Truncate(time.Second).AddDate(0, 0, 7)
		}
	case "cancel":
		_, err := with.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionRequest{KeyID: id})
		if check(t, op, err, wantCancel(key)) {
			key.state, key.deletion = kms.KeyDisabled, time.Time{}
		}
	}
}

func wantCancel(key *modelKey) error {
	switch {
	case key == nil:
		return kms.ErrKeyNotFound
	case key.state != kms.KeyPendingDeletion:
		return kms.ErrInvalidRequest
	}
	return nil
}

func (m *machine) deleteNow(t *rapid.T) {
	id := drawID(t)
	_, err := m.enc.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})
	keys := m.places[0].keys
	switch {
	case id == defaultKey:
		check(t, "delete", err, kms.ErrKeyInUse)
	case keys[id] == nil:
		check(t, "delete", err, kms.ErrKeyNotFound)
	default:
		check(t, "delete", err, nil)
		delete(keys, id)
	}
}

// sweep removes what is past its date, in the first place only, and nothing while the default key is to go.
func (m *machine) sweep(t *rapid.T) {
	report, err := m.service.SweepExpiredKeys(ctx)
	keys := m.places[0].keys
	var due []string
	for id, key := range keys {
		if key.expired() {
			due = append(due, id)
		}
	}
	if d := keys[defaultKey]; len(due) > 0 && d != nil && d.state == kms.KeyPendingDeletion {
		check(t, "sweep", err, kms.ErrKeyInUse)
		return
	}
	check(t, "sweep", err, nil)
	slices.Sort(due)
	if slices.Sort(report.Removed); !slices.Equal(due, report.Removed) {
		t.Fatalf("a sweep has removed %v, want %v", report.Removed, due)
	}
	outcomes["keys removed by sweeps"] += len(due)
	for _, id := range due {
		delete(keys, id)
	}
}

func (m *machine) wait(t *rapid.T) {
	time.Sleep(time.Duration(rapid.SampledFrom([]int{1, 50, 170, 170}).Draw(t, "hours")) * time.Hour) // a week has 168
}

// expire schedules a key, waits until it is past its date, and sweeps.
func (m *machine) expire(t *rapid.T) {
	id := drawID(t)
	key := m.places[0].keys[id]
	_, err := m.enc.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id})
	if check(t, "schedule", err, key.mayChange()) {
		key.state, key.deletion = kms.KeyPendingDeletion, time.Now().UTC().Truncate(time.Second).AddDate(0, 0, 30)
	}
	time.Sleep(30*24*time.Hour + time.Second)
	m.sweep(t)
}
