package manual

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

// kv reads an entry of the KV engine, and its version.
func (m manual) kv(t *testing.T, path string) (data map[string]any, version int64) {
	t.Helper()
	read, err := m.Client().Logical().ReadWithContext(t.Context(), "secret/data/"+path)
	require.NoError(t, err)
	require.NotNil(t, read, path)
	version, err = read.Data["metadata"].(map[string]any)["version"].(json.Number).Int64()
	require.NoError(t, err)
	data, _ = read.Data["data"].(map[string]any)
	return data, version
}

func (m manual) put(t *testing.T, path string, cas int64, data map[string]any) {
	t.Helper()
	m.Write(t, "secret/data/"+path, map[string]any{"options": map[string]any{"cas": cas}, "data": data})
}

// tag makes a change of the key, so that its record gets another version.
func tag(t *testing.T, b *vault.Backend, value string) {
	t.Helper()
	_, err := b.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "k", Tags: map[string]string{"a": value}})
	require.NoError(t, err)
}

func described(t *testing.T, config vault.Config) (kms.Key, error) {
	t.Helper()
	got, err := open(t, config).DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
	if err != nil {
		return kms.Key{}, err
	}
	return got.Key, nil
}

// A record of engine Transit that was overwritten is refused, and is put back with the number of the version that it will be.
func TestATransitRecordIsPutBack(t *testing.T) {
	m := setUp(t)
	config := m.Config(vault.Transit)
	b := open(t, config)
	key := create(t, b, "k")
	tag(t, b, "good")
	const path = "objectkms/keys/k"
	good, version := m.kv(t, path)
	m.put(t, path, version, map[string]any{"over": "written"})
	_, err := described(t, config)
	require.ErrorIs(t, err, kms.ErrKeyMaterial)

	m.put(t, path, version+1, good)
	_, err = described(t, config)
	require.ErrorIs(t, err, kms.ErrKeyMaterial, "as it was: it looks rolled back")

	good["generation"] = version + 3
	m.put(t, path, version+2, good)
	got, err := described(t, config)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "good"}, got.Tags)
	require.NoError(t, key.Open(t.Context(), open(t, config)))
}

// A record of engine KV2 that was overwritten is in its history, and is put back as the version that it was.
func TestAKV2RecordIsPutBackFromItsHistory(t *testing.T) {
	m := setUp(t)
	config := m.Config(vault.KV2)
	b := open(t, config)
	create(t, b, "another") // with no sound record at all the engine would not open
	key := create(t, b, "k")
	tag(t, b, "older")
	tag(t, b, "good")
	const path = "objectkms/keys/k"
	_, version := m.kv(t, path)
	m.put(t, path, version, map[string]any{"over": "written"})
	_, err := described(t, config)
	require.ErrorIs(t, err, kms.ErrKeyMaterial)

	list, err := m.Client().Logical().ListWithContext(t.Context(), "secret/metadata/objectkms/history/k")
	require.NoError(t, err)
	require.Len(t, list.Data["keys"], int(version))
	good, _ := m.kv(t, fmt.Sprint("objectkms/history/k/", version))
	_, err = m.Client().Logical().DeleteWithContext(t.Context(), "secret/metadata/"+path)
	require.NoError(t, err)
	for i := range version - 1 {
		m.put(t, path, i, map[string]any{"record": "room"})
	}
	m.put(t, path, version-1, good)
	got, err := described(t, config)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "good"}, got.Tags)
	require.NoError(t, key.Open(t.Context(), open(t, config)))
}

// Without its root key engine KV2 does not open, and makes no new one.
func TestTheRootKeyOfKV2IsNeverMadeAnew(t *testing.T) {
	m := setUp(t)
	config := m.Config(vault.KV2)
	key := create(t, open(t, config), "k")
	root, _ := m.kv(t, "objectkms/root")
	_, err := m.Client().Logical().DeleteWithContext(t.Context(), "secret/metadata/objectkms/root")
	require.NoError(t, err)
	_, err = config.Open(t.Context())
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	m.put(t, "objectkms/root", 0, root)
	require.NoError(t, key.Open(t.Context(), open(t, config)))
}

// The page's way to retire a version: what it wrapped is refused by policy, and comes back with it.
func TestAVersionIsRetired(t *testing.T) {
	m := setUp(t)
	config := m.Config(vault.Transit)
	b := open(t, config)
	key := create(t, b, "k")
	_, err := b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	rewrapped, err := b.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{Items: []kms.RewrapItem{{Ciphertext: key.Ciphertext}}})
	require.NoError(t, err)
	require.NoError(t, rewrapped.Items[0].Err)
	m.Write(t, "transit/keys/k/config", map[string]any{"min_decryption_version": 2})
	err = key.Open(t.Context(), b)
	require.ErrorIs(t, err, kms.ErrPermission)
	require.ErrorContains(t, err, "version 1")
	_, err = b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: rewrapped.Items[0].Ciphertext})
	require.NoError(t, err)
	m.Write(t, "transit/keys/k/config", map[string]any{"min_decryption_version": 1})
	require.NoError(t, key.Open(t.Context(), b))
}
