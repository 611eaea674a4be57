package vault_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

// make makes a Transit key as an operator does.
func (f *fakeVault) make(name string, key fakeKey) *fakeKey {
	f.mu.Lock()
	defer f.mu.Unlock()
	key.add(randomBytes(32))
	f.keys[name] = &key
	return &key
}

// names returns the names of all Transit keys.
func (f *fakeVault) names() (names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.keys {
		names = append(names, name)
	}
	return names
}

// used returns the requests to Transit since took was called last, without names.
func (f *fakeVault) used() (words []string) {
	for _, request := range f.took() {
		if method, path, _ := strings.Cut(request, " "); strings.HasPrefix(path, "transit/") {
			words = append(words, method+" "+path[:strings.LastIndex(path, "/")])
		}
	}
	return words
}

func TestADataKeyCostsOneRoundTrip(t *testing.T) {
	for _, engine := range []vault.Engine{vault.Transit, vault.KV2} {
		f := newFakeVault()
		b := f.open(t, engine)
		createKey(t, b, "k")
		want := []string{"POST transit/datakey/plaintext/k", "POST transit/datakey/wrapped/k", "POST transit/decrypt/k"}
		if engine == vault.KV2 {
			want = nil
		}
		blob := encrypt(t, b, "k", nil)
		f.took()
		for range 2 {
			_, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
			require.NoError(t, err)
			_, err = b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k", WithoutPlaintext: true})
			require.NoError(t, err)
			require.NoError(t, decrypt(t, b, blob, nil))
			require.Equal(t, want, f.took())
		}
	}
}

func TestKeysOfOthersAreUsedAsTheyAre(t *testing.T) {
	tests := []struct {
		name string
		key  fakeKey
	}{
		{"derived", fakeKey{Type: "aes256-gcm96", Derived: true}},
		{"derived and imported", fakeKey{Type: "aes256-gcm96", Derived: true, Imported: true}},
		{"not derived", fakeKey{Type: "aes256-gcm96"}},
		{"another cipher, not derived", fakeKey{Type: "chacha20-poly1305"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeVault()
			f.make("theirs", tt.key)
			b := f.open(t, vault.Transit)
			key := describeKey(t, b, "theirs")
			origin := kms.OriginKMS
			if tt.key.Imported {
				origin = kms.OriginExternal
			}
			require.Equal(t, kms.Key{
				ID: "theirs", State: kms.KeyEnabled, Usage: kms.EncryptDecrypt, Origin: origin, Version: 1, CreatedAt: key.CreatedAt, NativeRewrap: tt.key.Derived,
			}, key)
			require.WithinDuration(t, time.Now(), key.CreatedAt, time.Minute)

			ec := kms.EncryptionContext{"a": "b"}
			made, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "theirs", Context: ec})
			require.NoError(t, err)
			opened, err := b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: made.Ciphertext, Context: ec})
			require.NoError(t, err)
			require.Equal(t, made.Plaintext.Bytes(), opened.Plaintext.Bytes())
			require.ErrorIs(t, decrypt(t, b, made.Ciphertext, nil), kms.ErrDecrypt)
			bare, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "theirs", Context: ec, WithoutPlaintext: true})
			require.NoError(t, err)
			require.Nil(t, bare.Plaintext)
			require.ErrorIs(t, decrypt(t, b, encrypt(t, b, "theirs", ec), nil), kms.ErrDecrypt)

			_, err = b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "theirs"})
			require.ErrorIs(t, err, kms.ErrKeyExists)
			_, version := f.get("objectkms/keys/theirs")
			require.Zero(t, version, "using a key writes nothing")

			_, err = b.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "theirs", Tags: map[string]string{"ours": "now"}})
			require.NoError(t, err)
			_, err = b.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "theirs"})
			require.NoError(t, err)
			key.State, key.Tags = kms.KeyDisabled, map[string]string{"ours": "now"}
			require.Equal(t, key, describeKey(t, f.open(t, vault.Transit), "theirs"))

			removeKey(t, b, "theirs")
			require.Empty(t, f.names())
			_, err = b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "theirs"})
			require.ErrorIs(t, err, kms.ErrKeyNotFound)
		})
	}
}

// Transit takes no associated_data with datakey, and no context that counts with a key without derivation.
func TestAKeyWithoutDerivationIsBoundByAssociatedData(t *testing.T) {
	f := newFakeVault()
	f.make("theirs", fakeKey{Type: "aes256-gcm96"})
	b := f.open(t, vault.Transit)
	var bodies []string
	f.set(func(_, path string, body []byte) (int, string) {
		if strings.HasPrefix(path, "transit/") && len(body) > 0 {
			bodies = append(bodies, string(body))
		}
		return 0, ""
	}, nil)
	f.took()
	made, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "theirs"})
	require.NoError(t, err)
	_, err = b.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{Items: []kms.RewrapItem{{Ciphertext: made.Ciphertext, To: kms.EncryptionContext{"a": "b"}}}})
	require.NoError(t, err)
	require.NotContains(t, strings.Join(f.used(), " "), "datakey")
	require.Len(t, bodies, 3)
	for _, body := range bodies {
		require.Contains(t, body, `"associated_data"`)
		require.NotContains(t, body, `"context"`)
	}
}

func TestKeysThatBindNothingAreUnavailable(t *testing.T) {
	f := newFakeVault()
	f.make("convergent", fakeKey{Type: "aes256-gcm96", Derived: true, Convergent: true})
	f.make("signs", fakeKey{Type: "rsa-2048"})
	f.make("odd", fakeKey{Type: "hmac"})
	b := f.open(t, vault.Transit)
	createKey(t, b, "good")
	list, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{State: kms.KeyUnavailable})
	require.NoError(t, err)
	require.Len(t, list.Keys, 3)
	for _, key := range list.Keys {
		require.Equal(t, kms.KeyUnavailable, describeKey(t, b, key.ID).State)
		for name, err := range everyUse(t, b, key.ID) {
			require.ErrorIs(t, err, kms.ErrUnsupported, "%s of %s", name, key.ID)
		}
		_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: key.ID})
		require.ErrorIs(t, err, kms.ErrKeyExists)
	}
	require.Len(t, f.names(), 4)
}

// everyUse returns the error of each operation that uses or changes a key.
func everyUse(t *testing.T, b *vault.Backend, id string) map[string]error {
	ctx, errs := t.Context(), make(map[string]error)
	_, errs["GenerateDataKey"] = b.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: id})
	_, errs["Encrypt"] = b.Encrypt(ctx, &kms.EncryptRequest{KeyID: id, Plaintext: []byte("x")})
	_, errs["RotateKey"] = b.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: id})
	_, errs["DisableKey"] = b.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: id})
	_, errs["TagKey"] = b.TagKey(ctx, &kms.TagKeyRequest{KeyID: id, Tags: map[string]string{"a": "b"}})
	_, errs["DeleteKey"] = b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id})
	_, errs["DeleteKey at once"] = b.DeleteKey(ctx, &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})
	return errs
}

func TestATransitKeyThatIsGoneOrReplacedIsSeen(t *testing.T) {
	for name, change := range map[string]func(f *fakeVault){
		"gone":     func(f *fakeVault) { f.mu.Lock(); delete(f.keys, "k"); f.mu.Unlock() },
		"replaced": func(f *fakeVault) { f.make("k", fakeKey{Type: "aes256-gcm96"}) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeVault()
			b := f.open(t, vault.Transit)
			createKey(t, b, "k")
			blob := encrypt(t, b, "k", nil)
			change(f)
			b = f.open(t, vault.Transit)
			require.Equal(t, kms.KeyUnavailable, describeKey(t, b, "k").State)
			require.ErrorIs(t, decrypt(t, b, blob, nil), kms.ErrKeyMaterial)
			_, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
			_, err = b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
		})
	}
}

func TestADeletionIsTakenBackAlsoWithoutATransitKey(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.Transit)
	createKey(t, b, "k")
	_, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	delete(f.keys, "k")
	require.Equal(t, kms.KeyPendingDeletion, describeKey(t, b, "k").State)
	resp, err := b.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionRequest{KeyID: "k"})
	require.NoError(t, err)
	require.Equal(t, kms.KeyUnavailable, resp.Key.State)
}

// Transit says nothing to a key that is there already: what was made is looked at.
func TestAKeyThatSomebodyElseMadeFirstIsNotTaken(t *testing.T) {
	for name, theirs := range map[string]fakeKey{
		"not derived":    {Type: "aes256-gcm96"},
		"convergent":     {Type: "aes256-gcm96", Derived: true, Convergent: true},
		"imported":       {Type: "aes256-gcm96", Derived: true, Imported: true},
		"another cipher": {Type: "chacha20-poly1305", Derived: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeVault()
			b := f.open(t, vault.Transit)
			f.set(func(method, path string, _ []byte) (int, string) {
				if method == "POST" && path == "transit/keys/k" {
					f.make("k", theirs)
				}
				return 0, ""
			}, nil)
			_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
			require.ErrorIs(t, err, kms.ErrKeyMaterial)
			_, err = b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
			require.ErrorIs(t, err, kms.ErrKeyNotFound)
		})
	}
}

// Without derivation Transit ignores a context, and opens for any: what was wrapped without binding must not pass as what is bound.
func TestACiphertextOfTheOtherKindIsRefused(t *testing.T) {
	f := newFakeVault()
	flat := f.make("flat", fakeKey{Type: "aes256-gcm96"})
	b := f.open(t, vault.Transit)
	unbound := flat.seal(fakeItem{Plaintext: []byte(secretText)}).Ciphertext
	blob := append([]byte{1, 2, 4}, "flat\x00\x00\x00\x01"+unbound...)
	f.took()
	require.ErrorIs(t, decrypt(t, b, blob, nil), kms.ErrDecrypt)
	for _, to := range []kms.EncryptionContext{nil, {"a": "b"}} {
		require.ErrorIs(t, rewrapAll(t, b, "", []kms.RewrapItem{{Ciphertext: blob, To: to}})[0].Err, kms.ErrDecrypt)
	}
	require.NotContains(t, strings.Join(f.took(), " "), "POST")
}

func TestVersionsBelowTheLeastOneAreRefused(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.Transit)
	createKey(t, b, "k")
	old := encrypt(t, b, "k", nil)
	_, err := b.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	f.keys["k"].Least = 2
	err = decrypt(t, b, old, nil)
	require.ErrorIs(t, err, kms.ErrPermission)
	require.NotErrorIs(t, err, kms.ErrDecrypt)
	require.ErrorContains(t, err, "version 1 ")
	resp, err := b.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{Items: []kms.RewrapItem{{Ciphertext: old}, {Ciphertext: encrypt(t, b, "k", nil)}}})
	require.NoError(t, err)
	require.ErrorIs(t, resp.Items[0].Err, kms.ErrPermission)
	require.ErrorContains(t, resp.Items[0].Err, "version 1 ")
	require.True(t, resp.Items[1].Current)
}

// A name of a Transit key is never used twice, so that what a slow process still asks for a former key does not meet a later one.
func TestTransitKeysHaveNamesOfTheirOwn(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.Transit)
	seen := make(map[string]bool)
	for round := range 3 {
		createKey(t, b, "k")
		names := f.names()
		require.Len(t, names, 1)
		require.False(t, seen[names[0]])
		require.Equal(t, round == 0, names[0] == "k", "the first one is found under its id")
		seen[names[0]] = true
		removeKey(t, b, "k")
		require.Empty(t, f.names())
	}
	for _, id := range []string{"a.", "a-", "a..b", "a...b."} {
		_, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: id})
		require.ErrorIs(t, err, kms.ErrKeyNotFound)
		createKey(t, b, id)
		require.NoError(t, decrypt(t, b, encrypt(t, b, id, nil), nil))
	}
	for _, name := range f.names() {
		require.Regexp(t, `^\w[\w.-]*\w$`, name)
		require.NotContains(t, name, "..")
	}
}

func TestAnotherProcessIsSeenInTime(t *testing.T) {
	for _, engine := range []vault.Engine{vault.Transit, vault.KV2} {
		t.Run(fmt.Sprint(engine), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeVault()
				one, two := f.open(t, engine), f.open(t, engine)
				createKey(t, one, "k")
				require.NoError(t, decrypt(t, two, encrypt(t, one, "k", nil), nil), "a new key is seen at once")
				_, err := two.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
				require.NoError(t, err)

				_, err = one.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
				require.NoError(t, err)
				time.Sleep(5*time.Second + time.Millisecond)
				_, err = two.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
				require.ErrorIs(t, err, kms.ErrKeyDisabled)

				removeKey(t, one, "k")
				time.Sleep(5*time.Second + time.Millisecond)
				_, err = two.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
				require.ErrorIs(t, err, kms.ErrKeyNotFound)
				one.Close()
				two.Close()
			})
		})
	}
}

// A view of the key from before serves a use; it never refuses one, and never outlives the key.
func TestAnOldViewRefusesNothing(t *testing.T) {
	f := newFakeVault()
	one, two := f.open(t, vault.Transit), f.open(t, vault.Transit)
	generate := func(b *vault.Backend) error {
		_, err := b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
		return err
	}
	createKey(t, one, "k")
	_, err := one.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	require.ErrorIs(t, generate(two), kms.ErrKeyDisabled)
	_, err = one.EnableKey(t.Context(), &kms.EnableKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	require.NoError(t, generate(two), "a refusal is never an old one")

	removeKey(t, one, "k")
	createKey(t, one, "k")
	require.NoError(t, generate(two), "the key that has the id now is found behind the one that is gone")
	require.NoError(t, decrypt(t, two, encrypt(t, one, "k", nil), nil))
	removeKey(t, one, "k")
	require.ErrorIs(t, generate(two), kms.ErrKeyNotFound)
}

func TestManyCallersShareALook(t *testing.T) {
	f := newFakeVault()
	createKey(t, f.open(t, vault.Transit), "k")
	synctest.Test(t, func(t *testing.T) {
		b := f.open(t, vault.Transit)
		f.took()
		f.set(func(method, _ string, _ []byte) (int, string) {
			if method == "GET" {
				time.Sleep(time.Second)
			}
			return 0, ""
		}, nil)
		errs := make([]error, 50)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { _, errs[i] = b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"}) })
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
		gets := 0
		for _, request := range f.took() {
			if strings.HasPrefix(request, "GET ") {
				gets++
			}
		}
		require.Equal(t, 2, gets)
		b.Close()
	})
}

// A call that comes after a change does not wait for an answer from before it.
func TestALookFromBeforeAChangeIsNotShared(t *testing.T) {
	f := newFakeVault()
	createKey(t, f.open(t, vault.Transit), "k")
	synctest.Test(t, func(t *testing.T) {
		b := f.open(t, vault.Transit)
		slow := true
		f.set(nil, func(method, path string, answer []byte) []byte {
			if method == "GET" && path == "transit/keys/k" && slow {
				slow = false
				time.Sleep(10 * time.Second)
			}
			return answer
		})
		var wg sync.WaitGroup
		wg.Go(func() { b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"}) })
		synctest.Wait()
		_, err := b.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "k"})
		require.NoError(t, err)
		_, err = b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
		require.ErrorIs(t, err, kms.ErrKeyDisabled)
		wg.Wait()
		_, err = b.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{KeyID: "k"})
		require.ErrorIs(t, err, kms.ErrKeyDisabled, "what was seen before the change is not remembered after it")
		b.Close()
	})
}

func TestAKeyPastItsDateOpensNothing(t *testing.T) {
	bothEngines(t, func(t *testing.T, engine vault.Engine) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeVault()
			b := f.open(t, engine)
			createKey(t, b, "k")
			blob := encrypt(t, b, "k", nil)
			_, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", PendingWindowDays: 7})
			require.NoError(t, err)
			time.Sleep(6 * 24 * time.Hour)
			require.NoError(t, decrypt(t, b, blob, nil))
			time.Sleep(25 * time.Hour)
			require.ErrorIs(t, decrypt(t, b, blob, nil), kms.ErrKeyPendingDeletion)
			results := rewrapAll(t, b, "", []kms.RewrapItem{{Ciphertext: blob}})
			require.ErrorIs(t, results[0].Err, kms.ErrKeyPendingDeletion)
			b.Close()
		})
	})
}

// A clock that is behind does not shorten the window: it begins at the latest time that is known of the key.
func TestAWindowBeginsWhenTheNewestVersionWasMade(t *testing.T) {
	f := newFakeVault()
	b := f.open(t, vault.Transit)
	createKey(t, b, "k")
	rotateKey(t, b, "k")
	ahead := time.Now().AddDate(0, 0, 3)
	f.keys["k"].times[1] = ahead.Unix()
	resp, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "k", PendingWindowDays: 7})
	require.NoError(t, err)
	require.WithinDuration(t, ahead.AddDate(0, 0, 7), resp.Key.DeletionDate, time.Minute)
}
