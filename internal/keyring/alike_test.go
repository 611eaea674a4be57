package keyring_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/keyring"
	"github.com/objectkms/kms/internal/secret"
)

// messageParts are the places of a message, from its end, at which a bit may be wrong.
var messageParts = map[string]int{"tag": 1, "ciphertext": cobblestone.Overhead + 1, "commitment": cobblestone.Overhead + 33, "salt": cobblestone.Overhead + 65}

// spoiled returns a copy with a wrong bit so many bytes before the end.
func spoiled(b []byte, fromEnd int) []byte {
	b = bytes.Clone(b)
	b[len(b)-fromEnd] ^= 0x10
	return b
}

// Nobody learns from an error what was wrong with a wrapped data key: the key, the context, or which part of it.
func TestFailuresToOpenAWrappedDataKeyAreAlike(t *testing.T) {
	ring, other := ringWith(t, bytes.Repeat([]byte{1}, 32)), ringWith(t, bytes.Repeat([]byte{2}, 32))
	right := kms.EncryptionContext{"a": "b"}
	resp, err := ring.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k", Context: right})
	require.NoError(t, err)
	blob := resp.Ciphertext
	open := func(ring *keyring.Ring, blob []byte, ec kms.EncryptionContext) error {
		_, err := ring.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob, Context: ec})
		return err
	}
	require.NoError(t, open(ring, blob, right))
	failures := map[string]error{
		"another key":     open(other, blob, right),
		"no context":      open(ring, blob, nil),
		"another context": open(ring, blob, kms.EncryptionContext{"a": "c"}),
		"cut":             open(ring, blob[:len(blob)-1], right),
		"extended":        open(ring, append(bytes.Clone(blob), 0), right),
	}
	for part, at := range messageParts {
		failures[part] = open(ring, spoiled(blob, at), right)
	}
	for name, err := range failures {
		require.Equal(t, kms.ErrDecrypt, err, name)
	}
}

func TestFailuresToOpenABundleAreAlike(t *testing.T) {
	store := newStore()
	ring := openRing(t, store)
	createKey(t, ring, "k")
	bundle := exportAll(t, ring)
	head := bytes.IndexByte(bundle, '\n')
	open := func(bundle []byte, key *kms.Secret) error {
		_, err := openOther(t, newStore()).Import(t.Context(), bytes.NewReader(bundle), kms.ImportOptions{Key: key})
		return err
	}
	require.NoError(t, open(bundle, bundleKey()))
	// The last digit but the padding of the salt has bits that count for nothing, and are refused: this is an earlier one.
	salt := bytes.Clone(bundle)
	digit := &salt[head-10]
	*digit = map[bool]byte{true: 'B', false: 'A'}[*digit == 'A']
	failures := map[string]error{
		"another key":     open(bundle, kms.NewSecret(bytes.Repeat([]byte{0x43}, 32))),
		"salt of the KDF": open(salt, bundleKey()),
		"cut":             open(bundle[:len(bundle)-1], bundleKey()),
		"extended":        open(append(bytes.Clone(bundle), 0), bundleKey()),
		"only a head":     open(bundle[:head+1], bundleKey()),
	}
	for part, at := range messageParts {
		failures[part] = open(spoiled(bundle, at), bundleKey())
	}
	for name, err := range failures {
		require.Equal(t, kms.ErrDecrypt, err, name)
	}
}

func TestFailuresToOpenARecordAreAlike(t *testing.T) {
	store := newStore()
	createKey(t, openRing(t, store), "k")
	good := store.raw("k")
	text := recordText(t, good)
	seal := bytes.Index(good, []byte(`"seal":"`)) + len(`"seal":"`)
	digit := func(at int) []byte {
		b := bytes.Clone(good)
		b[seal+at] = map[bool]byte{true: 'B', false: 'A'}[b[seal+at] == 'A']
		return b
	}
	foreign := testRoot()
	foreign.Key = bytes.Repeat([]byte{9}, 32)
	errors := map[string]error{}
	for name, tt := range map[string]struct {
		root keyring.Root
		raw  []byte
	}{
		"another root key": {foreign, good},
		"salt":             {testRoot(), digit(0)},
		"commitment":       {testRoot(), digit(40)},
		"tag":              {testRoot(), digit(90)},
		"record":           {testRoot(), bytes.Replace(good, []byte(text), []byte(strings.Replace(text, "Enabled", "enabled", 1)), 1)},
		"no JSON":          {testRoot(), bytes.Replace(good, []byte(text), []byte(strings.Replace(text, "{", "[", 1)), 1)},
	} {
		store.put("k", tt.raw)
		ring, err := keyring.Open(store, tt.root, keyring.Options{Memory: secret.Plain})
		require.NoError(t, err)
		errors[name] = describeErr(t, ring, "k")
		require.NoError(t, ring.Close())
	}
	for name, err := range errors {
		require.ErrorIs(t, err, kms.ErrKeyMaterial, name)
		require.EqualError(t, err, errors["tag"].Error(), name)
	}
}
