package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/secret"
)

// A clockStore is a memStore whose generations can be compared with those of others.
type clockStore struct{ *memStore }

func (clockStore) ClockGenerations() {}

// A batchStore is a memStore that stores many records at once.
type batchStore struct {
	*memStore
	batches int
}

func (s *batchStore) Batch(ctx context.Context, change func(keyring.Batch) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failure(ctx, "Batch"); err != nil {
		return err
	}
	s.generation++
	b := &memBatch{s.memStore, map[string][]byte{}}
	if err := change(b); err != nil {
		return err
	}
	if err := s.failure(ctx, "store"); err != nil {
		return err
	}
	s.batches++
	for id, raw := range b.put {
		s.set(id, raw)
	}
	return nil
}

type memBatch struct {
	s   *memStore
	put map[string][]byte
}

func (b *memBatch) Generation() uint64 { return b.s.generation }

func (b *memBatch) Get(id string) ([]byte, error) { return bytes.Clone(b.s.records[id]), nil }

func (b *memBatch) Put(id string, record []byte) error {
	b.put[id] = bytes.Clone(record)
	return nil
}

func bundleKey() *kms.Secret { return kms.NewSecret(bytes.Repeat([]byte{0x42}, 32)) }

// exportAll returns a bundle of all keys of a Ring.
func exportAll(t testing.TB, ring *keyring.Ring) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := ring.Export(t.Context(), &b, kms.ExportOptions{Key: bundleKey()})
	require.NoError(t, err)
	return b.Bytes()
}

// importAll imports a bundle, and returns the outcomes.
func importAll(t testing.TB, ring *keyring.Ring, bundle []byte) map[string]kms.ImportOutcome {
	t.Helper()
	report, err := ring.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey()})
	require.NoError(t, err)
	return outcomes(report)
}

func outcomes(report *kms.ImportReport) map[string]kms.ImportOutcome {
	all := make(map[string]kms.ImportOutcome)
	for _, key := range report.Keys {
		all[key.Key.ID] = key.Outcome
	}
	return all
}

// openOther returns a Ring over a store with another root key.
func openOther(t testing.TB, store keyring.Store) *keyring.Ring {
	t.Helper()
	root := keyring.Root{Version: 7, Key: bytes.Repeat([]byte{0xa5}, 32)}
	ring, err := keyring.Open(store, root, keyring.Options{Memory: secret.Plain})
	require.NoError(t, err)
	t.Cleanup(func() { ring.Close() })
	return ring
}

// fullRing returns a Ring with keys in every state, and what was wrapped under all their versions.
func fullRing(t testing.TB, store keyring.Store) (*keyring.Ring, map[string][]byte) {
	t.Helper()
	ring, blobs := openRing(t, store), make(map[string][]byte)
	wrap := func(id string) {
		blobs[fmt.Sprint(id, " ", describeKey(t, ring, id).Version)] = encrypt(t, ring, id, nil)
	}
	for _, id := range []string{"disabled", "pending", "plain", "rotated"} {
		createKey(t, ring, id)
		wrap(id)
	}
	for range 3 {
		rotateKey(t, ring, "rotated")
		wrap("rotated")
	}
	_, err := ring.ImportKey(t.Context(), &kms.ImportKeyRequest{
		KeyID: "external", Description: "größe <&>", Tags: map[string]string{"team": "images"}, Material: kms.NewSecret(bytes.Repeat([]byte{9}, 32)),
	})
	require.NoError(t, err)
	wrap("external")
	_, err = ring.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "disabled"})
	require.NoError(t, err)
	_, err = ring.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "pending"})
	require.NoError(t, err)
	return ring, blobs
}

func listKeys(t testing.TB, ring *keyring.Ring) []kms.Key {
	t.Helper()
	list, err := ring.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	require.Empty(t, list.Damaged)
	return list.Keys
}

func TestBundleBringsEveryKeyToAnotherStore(t *testing.T) {
	for name, target := range map[string]keyring.Store{"key by key": newStore(), "in one batch": &batchStore{memStore: newStore()}} {
		t.Run(name, func(t *testing.T) {
			ring, blobs := fullRing(t, newStore())
			var bundle bytes.Buffer
			made, err := ring.Export(t.Context(), &bundle, kms.ExportOptions{Key: bundleKey()})
			require.NoError(t, err)
			require.Equal(t, listKeys(t, ring), made.Keys)
			require.WithinDuration(t, time.Now(), made.Created, time.Hour)

			other := openOther(t, target)
			report, err := other.Import(t.Context(), iotest.OneByteReader(&bundle), kms.ImportOptions{Key: bundleKey()})
			require.NoError(t, err)
			require.Equal(t, made.Created, report.Created)
			require.Equal(t, listKeys(t, ring), listKeys(t, other))
			for i, key := range report.Keys {
				require.Equal(t, kms.ImportedKey{Key: made.Keys[i], Outcome: kms.ImportAdded, Detail: key.Detail}, key)
			}
			for version, blob := range blobs {
				require.NoError(t, decrypt(t, other, blob, nil), version)
			}
			rotateKey(t, other, "rotated")
			require.Error(t, decrypt(t, ring, encrypt(t, other, "rotated", nil), nil))
		})
	}
}

func TestBundleGoesThereAndBack(t *testing.T) {
	store := newStore()
	ring, blobs := fullRing(t, store)
	other := openOther(t, newStore())
	importAll(t, other, exportAll(t, ring))
	back := openRing(t, newStore())
	importAll(t, back, exportAll(t, other))
	require.Equal(t, listKeys(t, ring), listKeys(t, back))
	for version, blob := range blobs {
		require.NoError(t, decrypt(t, back, blob, nil), version)
	}
	for id, outcome := range importAll(t, ring, exportAll(t, back)) {
		require.Equal(t, kms.ImportUnchanged, outcome, id)
	}
}

func TestBundleUnderAPassphrase(t *testing.T) {
	ring := openRing(t, newStore())
	createKey(t, ring, "a")
	var bundle bytes.Buffer
	phrase := kms.NewSecret([]byte("correct horse"))
	_, err := ring.Export(t.Context(), &bundle, kms.ExportOptions{Passphrase: phrase})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(bundle.String(), `{"bundle":1,"kdf":"argon2id","params":"m=65536,t=3,p=4","salt":"`))
	other := openOther(t, newStore())
	for _, opts := range []kms.ImportOptions{{Passphrase: kms.NewSecret([]byte("correct horse "))}} {
		_, err = other.Import(t.Context(), bytes.NewReader(bundle.Bytes()), opts)
		require.ErrorIs(t, err, kms.ErrDecrypt)
	}
	_, err = other.Import(t.Context(), bytes.NewReader(bundle.Bytes()), kms.ImportOptions{Key: bundleKey()})
	require.ErrorIs(t, err, kms.ErrInvalidConfig)
	require.Empty(t, listKeys(t, other))
	_, err = other.Import(t.Context(), bytes.NewReader(bundle.Bytes()), kms.ImportOptions{Passphrase: phrase})
	require.NoError(t, err)
	require.Equal(t, listKeys(t, ring), listKeys(t, other))
	require.Equal(t, "correct horse", string(phrase.Bytes()))
}

func TestBundleSecretsAreChecked(t *testing.T) {
	ring := openRing(t, newStore())
	destroyed := bundleKey()
	destroyed.Destroy()
	for name, secrets := range map[string]struct{ key, passphrase *kms.Secret }{
		"none":             {nil, nil},
		"both":             {bundleKey(), kms.NewSecret([]byte("x"))},
		"short key":        {kms.NewSecret(make([]byte, 31)), nil},
		"zero key":         {kms.NewSecret(make([]byte, 32)), nil},
		"destroyed key":    {destroyed, nil},
		"empty passphrase": {nil, kms.NewSecret(nil)},
	} {
		var bundle bytes.Buffer
		_, err := ring.Export(t.Context(), &bundle, kms.ExportOptions{Key: secrets.key, Passphrase: secrets.passphrase})
		require.ErrorIs(t, err, kms.ErrInvalidConfig, name)
		require.Zero(t, bundle.Len())
		_, err = ring.Import(t.Context(), iotest.ErrReader(errors.New("read")), kms.ImportOptions{Key: secrets.key, Passphrase: secrets.passphrase})
		require.ErrorIs(t, err, kms.ErrInvalidConfig, name)
	}
}

func TestExportOfChosenKeys(t *testing.T) {
	ring, _ := fullRing(t, newStore())
	var bundle bytes.Buffer
	report, err := ring.Export(t.Context(), &bundle, kms.ExportOptions{Key: bundleKey(), KeyIDs: []string{"rotated", "plain", "rotated"}})
	require.NoError(t, err)
	require.Len(t, report.Keys, 2)
	other := openOther(t, newStore())
	require.Equal(t, map[string]kms.ImportOutcome{"plain": kms.ImportAdded, "rotated": kms.ImportAdded}, importAll(t, other, bundle.Bytes()))
	bundle.Reset()
	_, err = ring.Export(t.Context(), &bundle, kms.ExportOptions{Key: bundleKey(), KeyIDs: []string{"plain", "none"}})
	require.ErrorIs(t, err, kms.ErrKeyNotFound)
	require.Zero(t, bundle.Len())
}

func TestExportOfMoreKeysThanAPage(t *testing.T) {
	ring, other := openRing(t, newStore()), openOther(t, &batchStore{memStore: newStore()})
	for i := range 1001 {
		createKey(t, ring, fmt.Sprintf("key-%04d", i))
	}
	require.Len(t, importAll(t, other, exportAll(t, ring)), 1001)
}

func TestExportOfAnEmptyStore(t *testing.T) {
	bundle := exportAll(t, openRing(t, newStore()))
	require.Empty(t, importAll(t, openOther(t, newStore()), bundle))
}

func TestDamagedRecordsAreNotLeftOutUnasked(t *testing.T) {
	store := newStore()
	ring, _ := fullRing(t, store)
	store.put("plain", []byte("damaged"))
	var bundle bytes.Buffer
	_, err := ring.Export(t.Context(), &bundle, kms.ExportOptions{Key: bundleKey()})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	require.ErrorContains(t, err, "plain")
	require.Zero(t, bundle.Len())
	report, err := ring.Export(t.Context(), &bundle, kms.ExportOptions{Key: bundleKey(), SkipDamaged: true})
	require.NoError(t, err)
	require.Equal(t, []string{"plain"}, report.Damaged)
	require.Len(t, importAll(t, openOther(t, newStore()), bundle.Bytes()), 4)
}

func TestExportPassesOverKeysThatAreDeletedMeanwhile(t *testing.T) {
	store := newStore()
	ring, _ := fullRing(t, store)
	var bundle bytes.Buffer
	store.fault = func(op string) error {
		if op == "Stamp" { // the keys are listed
			store.set("plain", nil)
		}
		return nil
	}
	report, err := ring.Export(t.Context(), &bundle, kms.ExportOptions{Key: bundleKey()})
	require.NoError(t, err)
	require.Len(t, report.Keys, 4)
	require.Empty(t, report.Damaged)
}

func TestExportPassesErrorsOn(t *testing.T) {
	store := newStore()
	ring, _ := fullRing(t, store)
	broken := errors.New("broken")
	_, err := ring.Export(t.Context(), failingWriter{broken}, kms.ExportOptions{Key: bundleKey()})
	require.ErrorIs(t, err, broken)
	_, err = ring.Export(t.Context(), &hiccup{err: broken}, kms.ExportOptions{Key: bundleKey()})
	require.ErrorIs(t, err, broken, "the first line is lost")
	for _, op := range []string{"List", "Stamp"} {
		store.fault = failOn(op, broken)
		_, err = ring.Export(t.Context(), io.Discard, kms.ExportOptions{Key: bundleKey()})
		require.ErrorIs(t, err, broken, op)
	}
	store.fault = nil
	keyring.FreeRoot(ring)
	_, err = ring.Export(t.Context(), io.Discard, kms.ExportOptions{Key: bundleKey()})
	require.Error(t, err)
	require.NoError(t, ring.Close())
	_, err = ring.Export(t.Context(), io.Discard, kms.ExportOptions{Key: bundleKey()})
	require.ErrorIs(t, err, kms.ErrClosed)
	_, err = ring.Import(t.Context(), strings.NewReader(""), kms.ImportOptions{Key: bundleKey()})
	require.ErrorIs(t, err, kms.ErrClosed)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// A hiccup is a writer that fails once.
type hiccup struct{ err error }

func (w *hiccup) Write(p []byte) (int, error) {
	err := w.err
	if w.err = nil; err != nil {
		return 0, err
	}
	return len(p), nil
}

func failOn(op string, err error) func(string) error {
	return func(called string) error {
		if called == op {
			return err
		}
		return nil
	}
}

// No byte of a bundle can be changed, lost or added without being seen before anything is written.
func TestChangedBundleIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	ring := openRing(t, newStore())
	createKey(t, ring, "a")
	createKey(t, ring, "b")
	bundle := exportAll(t, ring)
	store := newStore()
	other := openOther(t, store)
	refused := func(bundle []byte, what string) {
		_, err := other.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: bundleKey()})
		require.True(t, errors.Is(err, kms.ErrDecrypt) || errors.Is(err, kms.ErrKeyMaterial), "%s: %v", what, err)
		require.Zero(t, store.writes)
	}
	for at := range bundle {
		changed := bytes.Clone(bundle)
		changed[at] ^= 1 << (at % 8)
		refused(changed, fmt.Sprint("byte ", at))
		refused(bundle[:at], fmt.Sprint("cut at ", at))
	}
	refused(append(bytes.Clone(bundle), 0), "one byte more")
	refused(append([]byte(" "), bundle...), "a space in front")
	refused(append(bytes.Clone(bundle), bundle...), "twice")
	_, err := other.Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: kms.NewSecret(bytes.Repeat([]byte{0x43}, 32))})
	require.ErrorIs(t, err, kms.ErrDecrypt)
	broken := errors.New("broken")
	_, err = other.Import(t.Context(), io.MultiReader(bytes.NewReader(bundle), iotest.ErrReader(broken)), kms.ImportOptions{Key: bundleKey()})
	require.ErrorIs(t, err, broken)
	require.Zero(t, store.writes)
}

func TestBundleShowsNothingOfItsKeys(t *testing.T) {
	ring, _ := fullRing(t, newStore())
	bundle := exportAll(t, ring)
	for _, text := range []string{"rotated", "Enabled", "images", string(bytes.Repeat([]byte{9}, 32))} {
		require.NotContains(t, string(bundle), text)
	}
	require.NotEqual(t, bundle[:120], exportAll(t, ring)[:120], "the salt")
}
