package vault_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

const rootEntry = "objectkms/root"

// remove removes an entry with all that the engine knows of it, as somebody else would.
func (f *fakeVault) remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.entries, name)
}

// replace makes an entry have one version only.
func (f *fakeVault) replace(name, data string) {
	f.remove(name)
	f.put(name, data)
}

func TestAllWhoOpenAtOnceShareOneRootKey(t *testing.T) {
	f := newFakeVault()
	backends := make([]*vault.Backend, workers)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for i := range backends {
		wg.Go(func() { backends[i], errs[i] = f.tryOpen(t, vault.KV2) })
	}
	wg.Wait()
	for i, b := range backends {
		require.NoError(t, errs[i])
		defer b.Close()
		id := fmt.Sprintf("k%d", i)
		createKey(t, b, id)
		require.NoError(t, decrypt(t, backends[0], encrypt(t, b, id, nil), nil))
	}
	_, versions := f.get(rootEntry)
	require.Equal(t, 1, versions)
}

func TestARootKeyThatIsMissingOrDamagedIsNeverMadeAnew(t *testing.T) {
	good := func(key []byte) string {
		text, _ := json.Marshal(map[string]any{"format": 1, "key": key})
		return string(text)
	}
	tests := []struct {
		name string
		root string // empty: removed; null: deleted in Vault
	}{
		{"removed", ""},
		{"deleted", "null"},
		{"another one", good(randomBytes(32))},
		{"all zero", good(make([]byte, 32))},
		{"too short", good(randomBytes(31))},
		{"too long", good(randomBytes(33))},
		{"another format", strings.Replace(good(randomBytes(32)), "1", "2", 1)},
		{"more in it", strings.Replace(good(randomBytes(32)), "{", `{"more":1,`, 1)},
		{"not base64", `{"format":1,"key":"!"}`},
		{"no object", `"root"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeVault()
			createKey(t, f.open(t, vault.KV2), "k")
			was, _ := f.get(rootEntry)
			switch tt.root {
			case "":
				f.remove(rootEntry)
			case "null":
				f.entries[rootEntry][0].data = nil
			default:
				f.replace(rootEntry, tt.root)
			}
			now, versions := f.get(rootEntry)
			_, err := f.tryOpen(t, vault.KV2)
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
			require.NotContains(t, err.Error(), "AAAA", "an error holds nothing of a root key")
			stands, still := f.get(rootEntry)
			require.Equal(t, now, stands)
			require.Equal(t, versions, still)

			f.replace(rootEntry, was)
			require.Equal(t, uint32(1), describeKey(t, f.open(t, vault.KV2), "k").Version)
		})
	}
}

func TestNoMasterKeyAndNoRootKeyIsInARecord(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.KV2)
	material := randomBytes(32)
	_, err := b.ImportKey(t.Context(), &kms.ImportKeyRequest{KeyID: "k", Material: kms.NewSecret(append([]byte(nil), material...))})
	require.NoError(t, err)
	record, _ := f.get("objectkms/keys/k")
	require.NotContains(t, record, base64.StdEncoding.EncodeToString(material))
	require.NotContains(t, record, string(material))
}

func TestEveryRecordIsKeptInTheHistory(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.KV2)
	createKey(t, b, "k")
	for generation := 1; generation <= 12; generation++ {
		record, version := f.get("objectkms/keys/k")
		require.Equal(t, generation, version)
		kept, versions := f.get(fmt.Sprintf("objectkms/history/k/%d", generation))
		require.JSONEq(t, record, kept)
		require.Equal(t, 1, versions)
		_, err := b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
		require.NoError(t, err)
	}
}

// A copy that could not be written is made up for by the next change, before the record is replaced.
func TestACopyThatFailedIsMadeUpFor(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.KV2)
	createKey(t, b, "k")
	f.set(func(_, path string, _ []byte) (int, string) {
		if strings.HasSuffix(path, "history/k/2") {
			return 503, `{"errors":[]}`
		}
		return 0, ""
	}, nil)
	_, err := b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.NoError(t, err, "the change is made")
	record, _ := f.get("objectkms/keys/k")
	_, err = b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrUnavailable, "no record is replaced of which there is no copy")
	f.set(nil, nil)
	_, err = b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	kept, _ := f.get("objectkms/history/k/2")
	require.JSONEq(t, record, kept)
}

// A policy that lets nobody write to the history twice makes a conflict a refusal.
func TestACopyThatAnotherProcessHasWrittenIsOne(t *testing.T) {
	for _, there := range []bool{true, false} {
		f := newFakeVault()
		b := f.open(t, vault.KV2)
		createKey(t, b, "k")
		looked := false
		f.set(func(method, path string, _ []byte) (int, string) {
			switch {
			case path != "secret/data/objectkms/history/k/1":
			case method == "POST":
				return 403, `{"errors":["permission denied"]}`
			case !looked || !there:
				looked = true
				return 404, `{"errors":[]}`
			}
			return 0, ""
		}, nil)
		_, err := b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
		if there {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, kms.ErrPermission)
		}
	}
}

func TestDeletedKeysMakeNoPageLonger(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.KV2)
	for _, id := range []string{"a", "b", "c", "d"} {
		createKey(t, b, id)
	}
	removeKey(t, b, "b")
	removeKey(t, b, "d")
	list, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{Limit: 2})
	require.NoError(t, err)
	require.Len(t, list.Keys, 2)
	require.False(t, list.Truncated)
}

func TestARecordThatWasLostIsSeenAndCanBePutBack(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.KV2)
	createKey(t, b, "k")
	_, err := b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	blob := encrypt(t, b, "k", nil)
	f.remove("objectkms/keys/k")

	b = f.open(t, vault.KV2)
	require.ErrorIs(t, decrypt(t, b, blob, nil), kms.ErrKeyNotFound)
	_, err = b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial, "the id of a lost key is not given to another one")

	// As docs/VAULT.md says: anything as often as the versions before it, and then the record.
	kept, _ := f.get("objectkms/history/k/2")
	f.put("objectkms/keys/k", `{"record":"room"}`)
	f.put("objectkms/keys/k", kept)
	require.NoError(t, decrypt(t, b, blob, nil))
	require.Equal(t, uint32(2), describeKey(t, b, "k").Version)
	_, err = b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
}

func TestARecordThatSomebodyElseHasWrittenIsRefused(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		const name = "objectkms/keys/k"
		tests := []struct {
			name   string
			change func(f *fakeVault, first string)
		}{
			{"an older one was put back", func(f *fakeVault, first string) { f.put(name, first) }},
			{"the same one was written again", func(f *fakeVault, _ string) { now, _ := f.get(name); f.put(name, now) }},
			{"one of another key", func(f *fakeVault, _ string) {
				other, _ := f.get("objectkms/keys/other")
				f.remove(name)
				f.put(name, other)
			}},
			{"it was deleted in Vault", func(f *fakeVault, _ string) { f.entries[name][len(f.entries[name])-1].data = nil }},
			{"no object", func(f *fakeVault, _ string) { f.put(name, `[]`) }},
			{"nothing in it", func(f *fakeVault, _ string) { f.put(name, `{}`) }},
			{"more in it", func(f *fakeVault, first string) { f.put(name, strings.Replace(first, "{", `{"more":1,`, 1)) }},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				f := newFakeVault()
				b := f.open(t, engine)
				createKey(t, b, "other")
				createKey(t, b, "k")
				blob := encrypt(t, b, "k", nil)
				first, _ := f.get(name)
				_, err := b.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "k", Tags: map[string]string{"a": "b"}})
				require.NoError(t, err)
				tt.change(f, first)
				b = f.open(t, engine)
				require.ErrorIs(t, decrypt(t, b, blob, nil), kms.ErrKeyMaterial)
				_, err = b.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "k", Tags: map[string]string{"c": "d"}})
				require.ErrorIs(t, err, kms.ErrKeyMaterial)
				_, err = b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", Immediate: true, ConfirmKeyID: "k"})
				require.ErrorIs(t, err, kms.ErrKeyMaterial, "a damaged record may be mended: it is not removed")
				list, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
				require.NoError(t, err)
				require.Equal(t, []string{"k"}, list.Damaged)
				require.Len(t, list.Keys, 1)
			})
		}
	})
}

// One process remembers what it has seen, so that removing an entry with its count does not undo a change for it.
func TestARecordThatDisappearsIsMissed(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.Transit)
	createKey(t, b, "k")
	_, err := b.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	f.remove("objectkms/keys/k")
	_, err = b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
	_, err = b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
	require.ErrorIs(t, err, kms.ErrKeyMaterial)
}

// A version of so many that no memory holds a list of those before it.
func TestADeletedKeyHasNoMoreVersionsThanCanBeDestroyed(t *testing.T) {
	for version, want := range map[string]error{"3": nil, "1048576": nil, "1048577": kms.ErrUnavailable, "1152921504606846976": kms.ErrUnavailable} {
		f := newFakeVault()
		b := f.open(t, vault.KV2)
		said := false
		f.set(func(_, path string, _ []byte) (int, string) {
			if said || path != "secret/data/objectkms/keys/k" {
				return 0, ""
			}
			said = true
			return 200, `{"data":{"data":{"deleted":true},"metadata":{"version":` + version + `}}}`
		}, nil)
		f.took()
		_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
		require.True(t, said)
		require.ErrorIs(t, err, want, version)
		require.Equal(t, want == nil, slices.Contains(f.took(), "POST secret/destroy/objectkms/keys/k"), version)
	}
}

func TestMountsAreLookedAt(t *testing.T) {
	mounted := func(path, answer string, status int) func(string, string, []byte) (int, string) {
		return func(_, asked string, _ []byte) (int, string) {
			if asked == "sys/internal/ui/mounts/"+path {
				return status, answer
			}
			return 0, ""
		}
	}
	tests := []struct {
		name, path, answer string
		status             int
		want               error
	}{
		{"KV of version 1", "secret", `{"data":{"type":"kv","options":{"version":"1"}}}`, 200, kms.ErrInvalidConfig},
		{"KV without a version", "secret", `{"data":{"type":"kv","options":null}}`, 200, kms.ErrInvalidConfig},
		{"another engine for KV", "secret", `{"data":{"type":"pki"}}`, 200, kms.ErrInvalidConfig},
		{"below a mount of KV", "secret", `{"data":{"path":"sec/","type":"kv","options":{"version":"2"}}}`, 200, kms.ErrInvalidConfig},
		{"below a mount of Transit", "transit", `{"data":{"path":"tran/","type":"transit"}}`, 200, kms.ErrInvalidConfig},
		{"another engine for Transit", "transit", `{"data":{"type":"kv","options":{"version":"2"}}}`, 200, kms.ErrInvalidConfig},
		{"nothing there", "transit", `{"errors":["preflight capability check returned 403"]}`, 403, kms.ErrPermission},
		{"no answer", "transit", `{"errors":[]}`, 503, kms.ErrUnavailable},
		{"an answer about nothing", "transit", `{"errors":[]}`, 404, kms.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeVault()
			f.set(mounted(tt.path, tt.answer, tt.status), nil)
			_, err := f.tryOpen(t, vault.Transit)
			require.ErrorIs(t, err, tt.want)
			require.Empty(t, f.entries)
		})
	}
}
