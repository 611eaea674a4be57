package backendtest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/objectkms/kms"
)

func (s *suite) description(t *testing.T) {
	b := s.open(t)
	updater, ok := b.(kms.KeyUpdater)
	if !ok {
		t.Skip("the backend is no KeyUpdater")
	}
	before := create(t, b, "k")
	for _, text := range []string{"one", "two\nlines <&> \u00e9", strings.Repeat("d", 8192), ""} {
		resp, err := updater.UpdateKeyDescription(t.Context(), &kms.UpdateKeyDescriptionRequest{KeyID: "k", Description: text})
		wantOK(t, "UpdateKeyDescription accepts up to 8,192 bytes of UTF-8, and none", err)
		before.Description = text
		wantSameKey(t, "UpdateKeyDescription replaces the description and nothing else", resp.Key, before)
		wantSameKey(t, "DescribeKey answers what UpdateKeyDescription answered", describe(t, b, "k"), before)
	}
	for _, bad := range []string{strings.Repeat("d", 8193), "\xff"} {
		_, err := updater.UpdateKeyDescription(t.Context(), &kms.UpdateKeyDescriptionRequest{KeyID: "k", Description: bad})
		wantErr(t, "UpdateKeyDescription with more than 8,192 bytes or no UTF-8 is ErrInvalidRequest", err, kms.ErrInvalidRequest)
	}
	wantSameKey(t, "a refused UpdateKeyDescription changes nothing", describe(t, b, "k"), before)
}

func (s *suite) tags(t *testing.T) {
	b := s.open(t)
	updater, ok := b.(kms.KeyUpdater)
	if !ok {
		t.Skip("the backend is no KeyUpdater")
	}
	created, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k", Tags: map[string]string{"old": "1", "kept": "2"}})
	wantOK(t, "CreateKey accepts tags", err)
	before := created.Key
	tagged, err := updater.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "k", Tags: map[string]string{"old": "3", "new": ""}})
	wantOK(t, "TagKey adds and replaces tags", err)
	before.Tags = map[string]string{"old": "3", "kept": "2", "new": ""}
	wantSameKey(t, "TagKey adds tags, replaces those of the same name, and keeps the others", tagged.Key, before)
	wantSameKey(t, "DescribeKey answers what TagKey answered", describe(t, b, "k"), before)

	untagged, err := updater.UntagKey(t.Context(), &kms.UntagKeyRequest{KeyID: "k", TagKeys: []string{"old", "never-there", "new"}})
	wantOK(t, "UntagKey removes tags, and passes over names that the key does not have", err)
	before.Tags = map[string]string{"kept": "2"}
	wantSameKey(t, "UntagKey removes the named tags only", untagged.Key, before)
	wantSameKey(t, "DescribeKey answers what UntagKey answered", describe(t, b, "k"), before)
	s.tagLimit(t, b, updater, before)
}

func (s *suite) tagLimit(t *testing.T, b kms.Backend, updater kms.KeyUpdater, before kms.Key) {
	many := make(map[string]string)
	for i := range 50 {
		many[fmt.Sprintf("tag-%d", i)] = "v"
	}
	invalid := func(rule string, tags map[string]string) {
		t.Helper()
		_, err := updater.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "k", Tags: tags})
		wantErr(t, rule+" is ErrInvalidRequest", err, kms.ErrInvalidRequest)
	}
	invalid("TagKey that would make 51 tags in all", many)
	invalid("TagKey without tags", nil)
	invalid("TagKey with a tag without a name", map[string]string{"": "v"})
	invalid("TagKey with a value above 256 bytes", map[string]string{"n": strings.Repeat("v", 257)})
	for _, names := range [][]string{nil, {""}, {strings.Repeat("n", 129)}} {
		_, err := updater.UntagKey(t.Context(), &kms.UntagKeyRequest{KeyID: "k", TagKeys: names})
		wantErr(t, "UntagKey without names, or with one that no tag has, is ErrInvalidRequest", err, kms.ErrInvalidRequest)
	}
	wantSameKey(t, "a refused change of tags changes nothing", describe(t, b, "k"), before)

	delete(many, "tag-0")
	resp, err := updater.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "k", Tags: many})
	wantOK(t, "a key has up to 50 tags", err)
	want(t, "a key has up to 50 tags", len(resp.Key.Tags), 50)
	_, err = updater.TagKey(t.Context(), &kms.TagKeyRequest{KeyID: "k", Tags: map[string]string{"kept": "again"}})
	wantOK(t, "a tag can be replaced on a key with 50 tags", err)
	want(t, "a tag can be replaced on a key with 50 tags", describe(t, b, "k").Tags["kept"], "again")
}
