package vault_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

// wrapMany wraps n secrets, each with a context of its own.
func wrapMany(t *testing.T, b *vault.Backend, id string, n int) (items []kms.RewrapItem) {
	for i := range n {
		ec := kms.EncryptionContext{"n": fmt.Sprint(i)}
		items = append(items, kms.RewrapItem{Ciphertext: encrypt(t, b, id, ec), From: ec, To: ec})
	}
	return items
}

func rotateKey(t *testing.T, b *vault.Backend, id string) {
	t.Helper()
	_, err := b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: id})
	require.NoError(t, err)
}

func rewrapAll(t *testing.T, b *vault.Backend, id string, items []kms.RewrapItem) []kms.RewrapResult {
	t.Helper()
	resp, err := b.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{KeyID: id, Items: items})
	require.NoError(t, err)
	require.Len(t, resp.Items, len(items))
	return resp.Items
}

func TestTransitRewrapsInBatchesWithoutShowingAnything(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.Transit)
	createKey(t, b, "k")
	items := wrapMany(t, b, "k", 1001)
	rotateKey(t, b, "k")
	items = append(items, wrapMany(t, b, "k", 2)...)
	f.used()
	results := rewrapAll(t, b, "", items)
	require.Equal(t, []string{"GET transit/keys", "POST transit/rewrap", "POST transit/rewrap", "POST transit/rewrap"}, f.used())
	for i, result := range results {
		require.NoError(t, result.Err)
		require.Equal(t, uint32(2), result.KeyVersion)
		require.Equal(t, i >= 1001, result.Current)
		require.Equal(t, i >= 1001, bytes.Equal(items[i].Ciphertext, result.Ciphertext))
	}
	require.NoError(t, decrypt(t, b, results[1000].Ciphertext, items[1000].To))
}

// Transit rewraps for one context and one key only: all else goes through this process.
func TestWhatTransitCannotRewrapIsDecryptedAndEncrypted(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.Transit)
	createKey(t, b, "from")
	createKey(t, b, "to")
	f.make("flat", fakeKey{Type: "aes256-gcm96"})
	other := kms.EncryptionContext{"other": "context"}
	here := []string{"POST transit/decrypt", "POST transit/encrypt"}
	tests := []struct {
		name     string
		from, to string
		context  bool // changes
		current  bool // nothing is to be done
		want     []string
	}{
		{"another key", "from", "to", false, false, here},
		{"another context", "from", "from", true, false, here},
		{"to a key without derivation", "from", "flat", false, false, here},
		{"from a key without derivation", "flat", "from", false, false, here},
		{"a key without derivation, another context", "flat", "flat", true, false, here},
		{"a key without derivation, of the newest version", "flat", "flat", false, true, here[:1]},
		{"a derived key, of the newest version", "from", "from", false, true, []string{"POST transit/rewrap"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			items := wrapMany(t, b, tt.from, 3)
			items[1].From = other // a wrong one, also where it is the one to get
			if tt.context {
				for i := range items {
					items[i].To = other
				}
			} else {
				items[1].To = other
			}
			f.used()
			results := rewrapAll(t, b, tt.to, items)
			var posts []string
			for _, request := range f.used() {
				if strings.HasPrefix(request, "POST") {
					posts = append(posts, request)
				}
			}
			if tt.context {
				// The one item with a wrong context that stays is for Transit to refuse.
				posts = withoutNative(posts)
			}
			require.Equal(t, tt.want, posts)
			require.ErrorIs(t, results[1].Err, kms.ErrDecrypt)
			require.Nil(t, results[1].Ciphertext)
			for _, i := range []int{0, 2} {
				require.NoError(t, results[i].Err)
				require.Equal(t, tt.current, results[i].Current)
				require.Equal(t, tt.from, results[i].SourceKeyID)
				require.Equal(t, tt.to, results[i].KeyID)
				require.NoError(t, decrypt(t, b, results[i].Ciphertext, items[i].To))
			}
		})
	}
}

func withoutNative(requests []string) (rest []string) {
	for _, request := range requests {
		if request != "POST transit/rewrap" {
			rest = append(rest, request)
		}
	}
	return rest
}

func TestAKeyWithoutDerivationIsRewrappedToItsNewestVersion(t *testing.T) {
	f := newFakeVault()
	f.make("flat", fakeKey{Type: "aes256-gcm96"})
	b := f.open(t, vault.Transit)
	items := wrapMany(t, b, "flat", 3)
	rotateKey(t, b, "flat")
	for i, result := range rewrapAll(t, b, "", items) {
		require.NoError(t, result.Err)
		require.False(t, result.Current)
		require.Equal(t, uint32(2), result.KeyVersion)
		require.NoError(t, decrypt(t, b, result.Ciphertext, items[i].To))
	}
}

func TestABatchThatIsNotAnsweredItemByItemChangesNothing(t *testing.T) {
	tests := map[string]func(results []any) any{
		"one too few":     func(results []any) any { return results[1:] },
		"one too many":    func(results []any) any { return append(results, results[0]) },
		"none":            func([]any) any { return []any{} },
		"not a list":      func([]any) any { return "none" },
		"empty items":     func(results []any) any { return []any{map[string]any{}, map[string]any{}, map[string]any{}} },
		"items of no use": func(results []any) any { return []any{1, 2, 3} },
		"the wrong secret": func(results []any) any {
			return []any{item(randomBytes(9)), item(randomBytes(9)), item(nil)}
		},
	}
	for name, change := range tests {
		for _, word := range []string{"rewrap", "decrypt", "encrypt"} {
			t.Run(name+" "+word, func(t *testing.T) {
				f := newFakeVault()
				b := f.open(t, vault.Transit)
				createKey(t, b, "k")
				items := wrapMany(t, b, "k", 3)
				if word != "rewrap" {
					for i := range items {
						items[i].To = nil
					}
				}
				f.set(nil, func(_, path string, answer []byte) []byte {
					if !strings.HasPrefix(path, "transit/"+word+"/") {
						return answer
					}
					return edited(answer, func(data map[string]any) {
						data["batch_results"] = change(data["batch_results"].([]any))
					})
				})
				f.took()
				results := rewrapAll(t, b, "", items)
				if word == "decrypt" {
					require.NotContains(t, f.took(), "POST transit/encrypt/k", "nothing is wrapped that was not there")
				}
				for _, result := range results {
					require.ErrorIs(t, result.Err, kms.ErrUnavailable)
					require.NotErrorIs(t, result.Err, kms.ErrDecrypt)
					require.Nil(t, result.Ciphertext)
				}
			})
		}
	}
}

func item(plaintext []byte) map[string]any {
	return map[string]any{"plaintext": plaintext, "ciphertext": "vault:v1:AAAA"}
}

// A server that mixes the results of items up is found out where sizes differ; where they do not, it is found out when the item is opened.
func TestMixedUpResultsOpenNothing(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.Transit)
	createKey(t, b, "k")
	items := wrapMany(t, b, "k", 2)
	rotateKey(t, b, "k")
	f.set(nil, func(_, path string, answer []byte) []byte {
		if !strings.HasPrefix(path, "transit/rewrap/") {
			return answer
		}
		return edited(answer, func(data map[string]any) {
			results := data["batch_results"].([]any)
			results[0], results[1] = results[1], results[0]
		})
	})
	for i, result := range rewrapAll(t, b, "", items) {
		require.NoError(t, result.Err)
		require.ErrorIs(t, decrypt(t, b, result.Ciphertext, items[i].To), kms.ErrDecrypt)
	}
}

func TestAWholeBatchThatFailsFailsItsItems(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.Transit)
	createKey(t, b, "k")
	items := wrapMany(t, b, "k", 501)
	batches := 0
	f.set(func(_, path string, _ []byte) (int, string) {
		if strings.HasPrefix(path, "transit/rewrap/") {
			if batches++; batches == 1 {
				return 500, `{"errors":["internal error"]}`
			}
		}
		return 0, ""
	}, nil)
	results := rewrapAll(t, b, "", items)
	require.ErrorIs(t, results[0].Err, kms.ErrUnavailable)
	require.ErrorIs(t, results[499].Err, kms.ErrUnavailable)
	require.NoError(t, results[500].Err)
}

func TestItemsOfABatchHaveTheClassOfTheirErrors(t *testing.T) {
	for message, want := range map[string]error{
		"cipher: message authentication failed":                             kms.ErrDecrypt,
		"ciphertext or signature version is disallowed by policy (too old)": kms.ErrPermission,
		"a reason of its own":                                               kms.ErrUnavailable,
	} {
		f := newFakeVault()
		b := f.open(t, vault.Transit)
		createKey(t, b, "k")
		items := wrapMany(t, b, "k", 1)
		f.set(nil, func(_, path string, answer []byte) []byte {
			if strings.HasPrefix(path, "transit/rewrap/") {
				answer, _ = json.Marshal(map[string]any{"data": map[string]any{"batch_results": []any{map[string]any{"error": message}}}})
			}
			return answer
		})
		require.ErrorIs(t, rewrapAll(t, b, "", items)[0].Err, want)
	}
}
