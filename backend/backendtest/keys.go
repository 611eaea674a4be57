package backendtest

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/objectkms/kms"
)

func (s *suite) createKey(t *testing.T) {
	b := s.open(t)
	req := &kms.CreateKeyRequest{
		KeyID:       "a-Key_1.0",
		Description: "the \"first\" key:\n<&>\\ \u00e9 鍵",
		Usage:       kms.EncryptDecrypt,
		Tags:        map[string]string{"team": "storage", "empty": "", "a:b/c=d e": "ü<>&\"\\"},
	}
	resp, err := b.CreateKey(t.Context(), req)
	wantOK(t, "CreateKey makes a key with description and tags", err)
	key := resp.Key
	wantSameKey(t, "DescribeKey answers what CreateKey answered", describe(t, b, req.KeyID), key)
	wantTime(t, "CreatedAt is the time of CreateKey", key.CreatedAt, time.Now())
	wantSameKey(t, "CreateKey answers the key as it was asked for, Enabled, at version 1", key, kms.Key{
		ID: req.KeyID, Description: req.Description, Tags: req.Tags,
		State: kms.KeyEnabled, Usage: kms.EncryptDecrypt, Origin: kms.OriginKMS, Version: 1,
		CreatedAt: key.CreatedAt, NativeRewrap: key.NativeRewrap,
	})
	s.namelessKeys(t, b)

	disable(t, b, req.KeyID)
	disabled := describe(t, b, req.KeyID)
	_, err = b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: req.KeyID})
	wantErr(t, "CreateKey with the id of an existing key is ErrKeyExists", err, kms.ErrKeyExists)
	wantSameKey(t, "a refused CreateKey changes nothing", describe(t, b, req.KeyID), disabled)
}

func (s *suite) namelessKeys(t *testing.T, b kms.Backend) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := make(map[string]bool)
	for range 5 {
		id := create(t, b, "").ID
		wantTrue(t, "CreateKey without an id makes a UUID", uuid.MatchString(id))
		wantTrue(t, "CreateKey without an id never makes the same one twice", !seen[id])
		seen[id] = true
		wantOpens(t, "a key without a given id works", b, encrypt(t, b, id, "text", nil), nil, "text")
	}
}

// keyIDs tries ids that could be taken for paths, and more. A backend may have another grammar than this
// library's own, but an id is either refused, or is a key of its own under exactly this name.
func (s *suite) keyIDs(t *testing.T) {
	b := s.open(t)
	create(t, b, "bystander")
	bystander := describe(t, b, "bystander")
	blob := encrypt(t, b, "bystander", "text", nil)
	ids := map[string]bool{"bystander": true}
	for _, id := range []string{
		"a", "0", "A", "a.", "a..b", "a-", "a_", strings.Repeat("k", 128), "CON", "nul.json", "keys", "root.json", "config",
		".", "..", "../bystander", "../../etc/passwd", "/", "/etc/passwd", "a/b", "a/../bystander", "./bystander", "bystander/", `..\bystander`, `a\b`,
		"%2f", "..%2fbystander", "bystander%00", "bystander?x=1", "bystander#x", "*", "~", "$HOME", "`id`", "a b", " bystander", "bystander ",
		".hidden", "-rf", "_a", "é", "e\u0301", "鍵", "a\u202eb", "\ufeffa", "a:b", "arn:aws:kms:eu-1:1:key/a", strings.Repeat("k", 129), strings.Repeat("k", 2048),
		"\x00", "a\x00b", "a\nb", "\x7f", "\xff", strings.Repeat("k", 2049),
	} {
		if s.keyID(t, b, id, blob) {
			ids[id] = true
		}
	}
	wantSameKey(t, "an id touches no other key", describe(t, b, "bystander"), bystander)
	want(t, "every id that was accepted is one key of the list, and no other is there", len(listAll(t, b, &kms.ListKeysRequest{})), len(ids))
	for _, key := range listAll(t, b, &kms.ListKeysRequest{}) {
		wantTrue(t, "the list has keys under exactly the ids that were given", ids[key.ID])
	}
}

// keyID tries one id, with a ciphertext of another key, and reports whether the backend made a key of it.
func (s *suite) keyID(t *testing.T, b kms.Backend, id string, blob []byte) bool {
	resp, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
	if err != nil {
		wantErr(t, "CreateKey refuses an id that it does not take as ErrInvalidRequest", err, kms.ErrInvalidRequest)
		tooLong := s.h.MaxKeyID > 0 && len(id) > s.h.MaxKeyID
		wantTrue(t, "CreateKey takes every id of the grammar of ValidateKeyID", kms.ValidateKeyID(id) != nil || tooLong)
		for _, op := range operations(b) {
			if op.keyed && op.name != "Decrypt" {
				wantErr(t, op.name+" of an id that no key can have is ErrInvalidRequest or ErrKeyNotFound",
					op.call(t.Context(), id, blob), kms.ErrInvalidRequest, kms.ErrKeyNotFound)
			}
		}
		return false
	}
	want(t, "CreateKey answers the id that was asked for", resp.Key.ID, id)
	want(t, "DescribeKey answers the id that was asked for", describe(t, b, id).ID, id)
	wantOpens(t, "a key works under any id that was accepted", b, encrypt(t, b, id, "text", nil), nil, "text")
	return true
}

func (s *suite) unknownKey(t *testing.T) {
	b := s.open(t)
	create(t, b, "bystander")
	blob := encrypt(t, b, "bystander", "text", nil)
	for _, op := range operations(b) {
		if op.keyed && op.name != "Decrypt" {
			wantErr(t, op.name+" of a key that does not exist is ErrKeyNotFound", op.call(t.Context(), "no-such-key", blob), kms.ErrKeyNotFound)
		}
	}
	_, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "no-such-key", Immediate: true, ConfirmKeyID: "no-such-key"})
	wantErr(t, "DeleteKey with Immediate of a key that does not exist is ErrKeyNotFound", err, kms.ErrKeyNotFound)
	want(t, "a call for a key that does not exist makes no key", len(listAll(t, b, &kms.ListKeysRequest{})), 1)
}

func (s *suite) malformedKeys(t *testing.T) {
	b := s.open(t)
	manyTags := make(map[string]string)
	for i := range 51 {
		manyTags[strings.Repeat("t", i+1)] = ""
	}
	for name, req := range map[string]*kms.CreateKeyRequest{
		"a description above 8,192 bytes":    {Description: strings.Repeat("d", 8193)},
		"a description that is not UTF-8":    {Description: "\xff"},
		"an unknown usage":                   {Usage: "SIGN_VERIFY"},
		"51 tags":                            {Tags: manyTags},
		"a tag without a name":               {Tags: map[string]string{"": "v"}},
		"a tag name above 128 bytes":         {Tags: map[string]string{strings.Repeat("n", 129): "v"}},
		"a tag value above 256 bytes":        {Tags: map[string]string{"n": strings.Repeat("v", 257)}},
		"a tag whose value is not UTF-8":     {Tags: map[string]string{"n": "\xff"}},
		"an id of ours with a control code":  {KeyID: "a\rb"},
		"an id that has more than 2048 byte": {KeyID: strings.Repeat("k", 3000)},
	} {
		_, err := b.CreateKey(t.Context(), req)
		wantErr(t, "CreateKey with "+name+" is ErrInvalidRequest", err, kms.ErrInvalidRequest)
	}
	want(t, "a refused CreateKey makes no key", len(listAll(t, b, &kms.ListKeysRequest{})), 0)

	delete(manyTags, strings.Repeat("t", 51))
	resp, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{Description: strings.Repeat("d", 8192), Tags: manyTags})
	wantOK(t, "CreateKey accepts 8,192 bytes of description and 50 tags", err)
	wantSameKey(t, "DescribeKey answers the largest description and tags as they were given", describe(t, b, resp.Key.ID), resp.Key)
	want(t, "a description is kept whole", len(resp.Key.Description), 8192)
	want(t, "tags are kept whole", len(resp.Key.Tags), 50)
}
