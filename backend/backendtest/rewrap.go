package backendtest

import (
	"bytes"
	"testing"

	"github.com/objectkms/kms"
)

// rewrapAll rewraps items, and checks what is true of every answer.
func rewrapAll(t *testing.T, b kms.DataKeyRewrapper, keyID string, items ...kms.RewrapItem) []kms.RewrapResult {
	t.Helper()
	resp, err := b.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{KeyID: keyID, Items: items})
	wantOK(t, "RewrapDataKeys answers, whatever its items are", err)
	if len(resp.Items) != len(items) {
		t.Fatalf("RewrapDataKeys answers one result for each item\n\tgot: %d\n\twant: %d", len(resp.Items), len(items))
	}
	for _, result := range resp.Items {
		want(t, "a result of RewrapDataKeys has a ciphertext or an error", result.Err == nil, len(result.Ciphertext) > 0)
	}
	return resp.Items
}

func (s *suite) rewrap(t *testing.T) {
	b, id := s.openWithKey(t)
	rewrapper, ok := b.(kms.DataKeyRewrapper)
	if !ok {
		t.Skip("the backend is no DataKeyRewrapper")
	}
	from, to := kms.EncryptionContext{"from": "1"}, kms.EncryptionContext{"to": "2"}
	blob := encrypt(t, b, id, "text", from)
	version := describe(t, b, id).Version

	results := rewrapAll(t, rewrapper, "", kms.RewrapItem{Ciphertext: blob, From: from, To: from})
	wantTrue(t, "an item that is wrapped as wanted already is Current, and its ciphertext is answered unchanged", results[0].Current && bytes.Equal(results[0].Ciphertext, blob))
	wantSource(t, results[0], id, version)
	clear(results[0].Ciphertext)
	wantOpens(t, "the ciphertext of a Current item is a copy: changing it leaves the request's as it was", b, blob, from, "text")

	results = rewrapAll(t, rewrapper, "",
		kms.RewrapItem{Ciphertext: blob, From: from, To: to},
		kms.RewrapItem{Ciphertext: blob, From: to, To: to},
		kms.RewrapItem{Ciphertext: blob[:len(blob)-1], From: from, To: from},
		kms.RewrapItem{From: from, To: from},
		kms.RewrapItem{Ciphertext: blob, From: from, To: kms.EncryptionContext{"k": "\xff"}},
		kms.RewrapItem{Ciphertext: blob, From: from},
	)
	wantErr(t, "an item with a wrong encryption context is ErrDecrypt, also where both are the same", results[1].Err, kms.ErrDecrypt)
	wantErr(t, "an item with a ciphertext that was cut is ErrDecrypt", results[2].Err, kms.ErrDecrypt)
	wantErr(t, "an item without a ciphertext is ErrInvalidRequest", results[3].Err, kms.ErrInvalidRequest)
	wantErr(t, "an item with an encryption context that is not UTF-8 is ErrInvalidRequest", results[4].Err, kms.ErrInvalidRequest)
	wantOK(t, "an item is rewrapped whatever is wrong with those beside it", results[0].Err)
	wantOK(t, "an item is rewrapped whatever is wrong with those beside it", results[5].Err)
	wantTrue(t, "an item that gets another encryption context is not Current", !results[0].Current && !results[5].Current)
	wantSource(t, results[0], id, version)
	wantOpens(t, "a rewrapped item opens with its new encryption context", b, results[0].Ciphertext, to, "text")
	wantOpens(t, "a rewrapped item opens with its new encryption context", b, results[5].Ciphertext, nil, "text")
	_, err := decrypt(t, b, results[0].Ciphertext, from)
	wantErr(t, "a rewrapped item does not open with its old encryption context", err, kms.ErrDecrypt)
	wantOpens(t, "rewrapping leaves the old ciphertext as good as it was", b, blob, from, "text")

	_, err = rewrapper.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{})
	wantErr(t, "RewrapDataKeys without items is ErrInvalidRequest", err, kms.ErrInvalidRequest)
	_, err = rewrapper.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{Items: make([]kms.RewrapItem, 10_001)})
	wantErr(t, "RewrapDataKeys of more than 10,000 items is ErrInvalidRequest", err, kms.ErrInvalidRequest)
}

// wantSource fails unless a result is of the key, from the version, under the key's version now.
func wantSource(t *testing.T, result kms.RewrapResult, id string, version uint32) {
	t.Helper()
	want(t, "a result names the key that wraps the item now", result.KeyID, id)
	want(t, "a result names the version that wraps the item now", result.KeyVersion, version)
	want(t, "a result names the key that had wrapped the item", result.SourceKeyID, id)
	want(t, "a result names the version that had wrapped the item", result.SourceKeyVersion, version)
}

func (s *suite) rewrapToAnotherKey(t *testing.T) {
	b := s.open(t)
	rewrapper, ok := b.(kms.DataKeyRewrapper)
	if !ok {
		t.Skip("the backend is no DataKeyRewrapper")
	}
	create(t, b, "old")
	create(t, b, "new")
	ec := kms.EncryptionContext{"a": "b"}
	item := kms.RewrapItem{Ciphertext: encrypt(t, b, "old", "text", ec), From: ec, To: ec}
	if rotator, ok := b.(kms.KeyRotator); ok {
		rotate(t, rotator, "old")
		result := rewrapAll(t, rewrapper, "", item)[0]
		wantOK(t, "an item of an old version is rewrapped", result.Err)
		wantTrue(t, "an item of an old version is not Current", !result.Current)
		want(t, "a rewrapped item is under the newest version", result.KeyVersion, 2)
		want(t, "a result names the version that had wrapped the item", result.SourceKeyVersion, 1)
		wantOpens(t, "a rewrapped item opens", b, result.Ciphertext, ec, "text")
		again := rewrapAll(t, rewrapper, "old", kms.RewrapItem{Ciphertext: result.Ciphertext, From: ec, To: ec})[0]
		wantTrue(t, "an item that was rewrapped just now is Current", again.Current && bytes.Equal(again.Ciphertext, result.Ciphertext))
	}
	result := rewrapAll(t, rewrapper, "new", item)[0]
	wantOK(t, "an item is rewrapped under another key", result.Err)
	wantTrue(t, "an item that changes its key is not Current", !result.Current)
	want(t, "a result names the key that wraps the item now", result.KeyID, "new")
	want(t, "a result names the key that had wrapped the item", result.SourceKeyID, "old")
	got, err := b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: result.Ciphertext, Context: ec, KeyID: "new"})
	wantOK(t, "an item opens with the key that it was rewrapped under", err)
	want(t, "an item keeps its plaintext when it is rewrapped", string(got.Plaintext.Bytes()), "text")

	disable(t, b, "old")
	wantOK(t, "a key that is Disabled can still be rewrapped away from", rewrapAll(t, rewrapper, "new", item)[0].Err)
	deleteNow(t, b, "old")
	wantErr(t, "an item of a key that is gone is ErrKeyNotFound", rewrapAll(t, rewrapper, "new", item)[0].Err, kms.ErrKeyNotFound)
}
