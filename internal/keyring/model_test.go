package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/secret"
)

// modelKey is what the model knows of one key.
type modelKey struct {
	state    kms.KeyState
	origin   kms.Origin
	version  uint32
	tags     map[string]string
	deletion time.Time
	serial   int // tells a key from an earlier one of its id
}

// modelBlob is a ciphertext and what it must open to.
type modelBlob struct {
	id      string
	serial  int
	version uint32
	ec      kms.EncryptionContext
	text    string
	blob    []byte
}

// A machine runs random operations on two rings over one store, and on a model that is a map.
type machine struct {
	store  *memStore
	rings  []*keyring.Ring
	keys   map[string]*modelKey
	blobs  []modelBlob
	serial int
}

func (m *machine) ring(t *rapid.T) *keyring.Ring {
	return rapid.SampledFrom(m.rings).Draw(t, "ring")
}

func drawID(t *rapid.T) string { return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id") }

func drawContext(t *rapid.T) kms.EncryptionContext {
	return rapid.MapOfN(rapid.StringMatching("[ab]?"), rapid.StringMatching("[ab]?"), 0, 2).Draw(t, "context")
}

// wantState returns the error for an operation that needs one of the states.
func (k *modelKey) wantState(states ...kms.KeyState) error {
	switch {
	case k == nil:
		return kms.ErrKeyNotFound
	case slices.Contains(states, k.state):
		return nil
	case k.state == kms.KeyDisabled:
		return kms.ErrKeyDisabled
	}
	return kms.ErrKeyPendingDeletion
}

func checkErr(t *rapid.T, err, wanted error) bool {
	if !errors.Is(err, wanted) {
		t.Fatalf("got the error %v, want %v", err, wanted)
	}
	return wanted == nil
}

func (m *machine) create(t *rapid.T, origin kms.Origin) {
	id, ring := drawID(t), m.ring(t)
	var err error
	if origin == kms.OriginKMS {
		_, err = ring.CreateKey(context.Background(), &kms.CreateKeyRequest{KeyID: id})
	} else {
		_, err = ring.ImportKey(context.Background(), &kms.ImportKeyRequest{KeyID: id, Material: kms.NewSecret(append(make([]byte, 31), byte(m.serial)+1))})
	}
	if m.keys[id] != nil {
		checkErr(t, err, kms.ErrKeyExists)
		return
	}
	checkErr(t, err, nil)
	m.serial++
	m.keys[id] = &modelKey{state: kms.KeyEnabled, origin: origin, version: 1, serial: m.serial}
}

func (m *machine) setState(t *rapid.T, state kms.KeyState) {
	id, ring := drawID(t), m.ring(t)
	var err error
	if state == kms.KeyEnabled {
		_, err = ring.EnableKey(context.Background(), &kms.EnableKeyRequest{KeyID: id})
	} else {
		_, err = ring.DisableKey(context.Background(), &kms.DisableKeyRequest{KeyID: id})
	}
	if checkErr(t, err, m.keys[id].wantState(kms.KeyEnabled, kms.KeyDisabled)) {
		m.keys[id].state = state
	}
}

func (m *machine) rotate(t *rapid.T) {
	id := drawID(t)
	_, err := m.ring(t).RotateKey(context.Background(), &kms.RotateKeyRequest{KeyID: id})
	if checkErr(t, err, m.keys[id].wantState(kms.KeyEnabled)) {
		m.keys[id].version++
	}
}

func (m *machine) tag(t *rapid.T) {
	id := drawID(t)
	tags := rapid.MapOfN(rapid.StringMatching("[abc]"), rapid.StringMatching("[ab]?"), 1, 2).Draw(t, "tags")
	_, err := m.ring(t).TagKey(context.Background(), &kms.TagKeyRequest{KeyID: id, Tags: tags})
	if checkErr(t, err, m.keys[id].wantState(kms.KeyEnabled, kms.KeyDisabled)) {
		if m.keys[id].tags == nil {
			m.keys[id].tags = make(map[string]string)
		}
		maps.Copy(m.keys[id].tags, tags)
	}
}

func (m *machine) schedule(t *rapid.T) {
	id := drawID(t)
	days := rapid.IntRange(7, 30).Draw(t, "days")
	_, err := m.ring(t).DeleteKey(context.Background(), &kms.DeleteKeyRequest{KeyID: id, PendingWindowDays: days})
	if checkErr(t, err, m.keys[id].wantState(kms.KeyEnabled, kms.KeyDisabled)) {
		m.keys[id].state = kms.KeyPendingDeletion
		m.keys[id].deletion = time.Now().UTC().Truncate(time.Second).AddDate(0, 0, days)
	}
}

func (m *machine) deleteNow(t *rapid.T) {
	id := drawID(t)
	_, err := m.ring(t).DeleteKey(context.Background(), &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})
	if m.keys[id] == nil {
		checkErr(t, err, kms.ErrKeyNotFound)
		return
	}
	checkErr(t, err, nil)
	delete(m.keys, id)
}

func (m *machine) cancel(t *rapid.T) {
	id := drawID(t)
	_, err := m.ring(t).CancelKeyDeletion(context.Background(), &kms.CancelKeyDeletionRequest{KeyID: id})
	key := m.keys[id]
	switch {
	case key == nil:
		checkErr(t, err, kms.ErrKeyNotFound)
	case key.state != kms.KeyPendingDeletion:
		checkErr(t, err, kms.ErrInvalidRequest)
	default:
		checkErr(t, err, nil)
		key.state, key.deletion = kms.KeyDisabled, time.Time{}
	}
}

func (m *machine) sweep(t *rapid.T) {
	removed, err := m.ring(t).RemoveExpiredKeys(context.Background(), time.Now())
	checkErr(t, err, nil)
	var wanted []string
	for id, key := range m.keys {
		if key.state == kms.KeyPendingDeletion && !key.deletion.After(time.Now()) {
			wanted = append(wanted, id)
			delete(m.keys, id)
		}
	}
	slices.Sort(wanted)
	require.Equal(t, wanted, removed)
}

func (m *machine) encrypt(t *rapid.T) {
	id, ec := drawID(t), drawContext(t)
	text := rapid.StringN(1, 10, 40).Draw(t, "text")
	resp, err := m.ring(t).Encrypt(context.Background(), &kms.EncryptRequest{KeyID: id, Plaintext: []byte(text), Context: ec})
	key := m.keys[id]
	if checkErr(t, err, key.wantState(kms.KeyEnabled)) {
		require.Equal(t, key.version, resp.KeyVersion)
		m.blobs = append(m.blobs, modelBlob{id, key.serial, key.version, ec, text, resp.Ciphertext})
	}
}

func (m *machine) decrypt(t *rapid.T) {
	if len(m.blobs) == 0 {
		return
	}
	blob := rapid.SampledFrom(m.blobs).Draw(t, "blob")
	ec := rapid.OneOf(rapid.Just(blob.ec), rapid.Custom(drawContext)).Draw(t, "opening context")
	resp, err := m.ring(t).Decrypt(context.Background(), &kms.DecryptRequest{Ciphertext: blob.blob, Context: ec})
	if checkErr(t, err, m.wantDecrypt(blob, ec)) {
		require.Equal(t, blob.text, string(resp.Plaintext.Bytes()))
		require.Equal(t, blob.id, resp.KeyID)
		require.Equal(t, blob.version, resp.KeyVersion)
	}
}

func (m *machine) wantDecrypt(blob modelBlob, ec kms.EncryptionContext) error {
	key := m.keys[blob.id]
	switch {
	case key == nil:
		return kms.ErrKeyNotFound
	case key.state == kms.KeyPendingDeletion && !key.deletion.After(time.Now()):
		return kms.ErrKeyPendingDeletion
	case key.serial != blob.serial || !maps.Equal(ec, blob.ec):
		return kms.ErrDecrypt
	}
	return nil
}

// check compares all keys with the model.
func (m *machine) check(t *rapid.T) {
	for _, ring := range m.rings {
		list, err := ring.ListKeys(context.Background(), &kms.ListKeysRequest{})
		checkErr(t, err, nil)
		require.Empty(t, list.Damaged)
		require.Len(t, list.Keys, len(m.keys))
		for _, got := range list.Keys {
			key := m.keys[got.ID]
			require.NotNil(t, key)
			require.Equal(t, fmt.Sprint(key.state, key.origin, key.version, key.tags, key.deletion),
				fmt.Sprint(got.State, got.Origin, got.Version, got.Tags, got.DeletionDate))
		}
	}
}

// inBubble runs a sequence in a bubble of its own. In one for all of them rapid would take the days that pass there for its own time, and stop early.
// rapid ends a sequence with a panic, which must leave the bubble, and tells two ends apart by the line that they come from.
func inBubble(t *testing.T, run func()) {
	var ended any
	synctest.Test(t, func(*testing.T) {
		defer func() { ended = recover() }()
		run()
	})
	if fmt.Sprintf("%T", ended) == "rapid.invalidData" {
		panic(ended) // no more than a sequence that cannot be
	}
	if ended != nil {
		panic(ended)
	}
}

func TestRandomOperationsAgreeWithTheModel(t *testing.T) {
	sequences := 0
	rapid.Check(t, func(rt *rapid.T) {
		inBubble(t, func() { runSequence(rt) })
		sequences++
	})
	require.GreaterOrEqual(t, sequences, 20)
}

func runSequence(t *rapid.T) {
	m := &machine{store: newStore(), keys: make(map[string]*modelKey)}
	for _, slots := range []int{2, 16} {
		ring, err := keyring.Open(m.store, testRoot(), keyring.Options{Memory: secret.Plain, Slots: slots, Records: slots})
		require.NoError(t, err)
		m.rings = append(m.rings, ring)
	}
	t.Repeat(map[string]func(*rapid.T){
		"":         m.check,
		"create":   func(t *rapid.T) { m.create(t, kms.OriginKMS) },
		"import":   func(t *rapid.T) { m.create(t, kms.OriginExternal) },
		"enable":   func(t *rapid.T) { m.setState(t, kms.KeyEnabled) },
		"disable":  func(t *rapid.T) { m.setState(t, kms.KeyDisabled) },
		"rotate":   m.rotate,
		"tag":      m.tag,
		"schedule": m.schedule,
		"delete":   m.deleteNow,
		"cancel":   m.cancel,
		"sweep":    m.sweep,
		"encrypt":  m.encrypt,
		"decrypt":  m.decrypt,
		"wait":     func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(1, 240).Draw(t, "hours")) * time.Hour) },
		"unstable": func(*rapid.T) { m.store.unstable = !m.store.unstable },
	})
}
