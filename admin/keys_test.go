package admin_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/admin"
)

func metadata(fields map[string]any) map[string]any { return fields["key_metadata"].(map[string]any) }

// One key through all that can be done with it.
func TestTheLifeOfAKey(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	made := s.ok(t, "POST", "/kms/keys", `{"key_id":"x","description":"first","key_usage":"ENCRYPT_DECRYPT","tags":{"a":"b"}}`)
	require.Equal(t, "x", made["key_id"])
	require.Equal(t, "first", metadata(made)["description"])
	require.Equal(t, map[string]any{"a": "b"}, metadata(made)["tags"])
	require.Equal(t, "Enabled", metadata(made)["key_state"])
	require.NotContains(t, metadata(made), "rotation_date")
	require.Equal(t, metadata(made), metadata(s.ok(t, "GET", "/kms/keys/x", "")))
	require.Equal(t, "x", s.lastRecord(t).Call.KeyID)

	changed := s.ok(t, "POST", "/kms/keys/update-description", `{"key_id":"x","description":"second"}`)
	require.Equal(t, "second", metadata(changed)["description"])
	changed = s.ok(t, "POST", "/kms/keys/update-description", `{"key_id":"x","description":""}`)
	require.Equal(t, "", metadata(changed)["description"])
	changed = s.ok(t, "POST", "/kms/keys/tag", `{"key_id":"x","tags":{"c":"d"}}`)
	require.Equal(t, map[string]any{"a": "b", "c": "d"}, metadata(changed)["tags"])
	changed = s.ok(t, "POST", "/kms/keys/untag", `{"key_id":"x","tag_keys":["a","none"]}`)
	require.Equal(t, map[string]any{"c": "d"}, metadata(changed)["tags"])
	changed = s.ok(t, "POST", "/kms/keys/rotate", `{"key_id":"x"}`)
	require.Equal(t, 2.0, metadata(changed)["version"])
	require.Contains(t, metadata(changed), "rotation_date")
	require.Equal(t, "Disabled", metadata(s.ok(t, "POST", "/kms/keys/disable", `{"key_id":"x"}`))["key_state"])
	require.Equal(t, "Enabled", metadata(s.ok(t, "POST", "/kms/keys/enable", `{"key_id":"x"}`))["key_state"])

	changed = s.ok(t, "DELETE", "/kms/keys/delete", `{"key_id":"x","pending_window_in_days":7}`)
	require.Equal(t, "PendingDeletion", metadata(changed)["key_state"])
	require.Contains(t, metadata(changed), "deletion_date")
	require.Equal(t, "Disabled", metadata(s.ok(t, "POST", "/kms/keys/cancel-deletion", `{"key_id":"x"}`))["key_state"])
	require.Equal(t, "PendingDeletion", metadata(s.ok(t, "DELETE", "/kms/keys/delete?keyId=x", ""))["key_state"])
	s.ok(t, "POST", "/kms/keys/cancel-deletion", `{"key_id":"x"}`)
	s.ok(t, "DELETE", "/kms/keys/delete", `{"key_id":"x","force_immediate":true,"confirm_key_id":"x"}`)
	require.True(t, s.lastCall(t).Force)
	s.fails(t, "GET", "/kms/keys/x", "", 404, "KeyNotFound", `"x"`)
}

func TestAKeyWithoutAName(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	for _, body := range []string{"", "{}"} {
		made := s.ok(t, "POST", "/kms/keys", body)
		require.Len(t, made["key_id"], 36)
		require.Equal(t, made["key_id"], s.lastRecord(t).Call.KeyID, "the record has the id that was drawn")
		require.Empty(t, s.lastCall(t).KeyID)
	}
}

func TestAKeyNamedAsARoute(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	for _, id := range []string{"delete", "enable", "import", "a.b_c-d"} {
		s.ok(t, "POST", "/kms/keys", `{"key_id":"`+id+`"}`)
		require.Equal(t, id, s.ok(t, "GET", "/kms/keys/"+id, "")["key_id"])
	}
}

func TestImport(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	made := s.ok(t, "POST", "/kms/keys/import", `{"key_name":"mine","material":"`+hushInBase64()+`","description":"d","tags":{"a":"b"}}`)
	require.Equal(t, "EXTERNAL", metadata(made)["origin"])
	require.Equal(t, "d", metadata(made)["description"])
	require.Len(t, s.ok(t, "POST", "/kms/keys/import", `{"material":"`+hushInBase64()+`"}`)["key_id"], 36)

	s.fails(t, "POST", "/kms/keys/import", `{"key_id":"mine","material":"`+hushInBase64()+`"}`, 409, "KeyAlreadyExists", "already exists")
	s.fails(t, "POST", "/kms/keys/import", `{"key_id":"n"}`, 400, "InvalidRequest", "material: missing")
	s.fails(t, "POST", "/kms/keys/import", `{"key_id":"n","material":""}`, 400, "InvalidRequest", "material: missing")
	s.fails(t, "POST", "/kms/keys/import", `{"key_id":"n","material":"`+hush+`"}`, 400, "InvalidRequest", "material: want base64")
	s.fails(t, "POST", "/kms/keys/import", `{"key_id":"n","material":"`+strings.TrimRight(hushInBase64(), "=")+`"}`, 400, "InvalidRequest", "material: want base64")
	s.fails(t, "POST", "/kms/keys/import", `{"key_id":"n","material":"`+hushInBase64()+`\n"}`, 400, "InvalidRequest", "material: want base64")
	s.fails(t, "POST", "/kms/keys/import", `{"key_id":"n","material":"aHVzaA=="}`, 400, "InvalidRequest", "key material has 4 bytes, want 32")
	s.fails(t, "POST", "/kms/keys/import", `{"key_id":"n","material":"`+hushInBase64()+`","x":1}`, 400, "InvalidRequest", "x: unknown field")
	s.fails(t, "POST", "/kms/keys/import", `{"key_id":"n","material":"`+hushInBase64()+`","material":"x"}`, 400, "InvalidRequest", "material: given twice")
}

func TestLists(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	for _, id := range []string{"a", "b", "c"} {
		s.ok(t, "POST", "/kms/keys", `{"key_id":"`+id+`"}`)
	}
	s.ok(t, "POST", "/kms/keys/disable", `{"key_id":"b"}`)
	ids := func(page map[string]any) (found []string) {
		for _, key := range page["keys"].([]any) {
			found = append(found, key.(map[string]any)["key_id"].(string))
		}
		return found
	}
	page := s.ok(t, "GET", "/kms/keys?limit=3", "")
	require.Equal(t, []string{"a", "b", "c"}, ids(page))
	require.Equal(t, true, page["truncated"])
	require.Equal(t, "c", page["next_marker"])
	page = s.ok(t, "GET", "/kms/keys?limit=3&marker=c", "")
	require.Equal(t, []string{"k"}, ids(page))
	require.Nil(t, page["next_marker"])
	require.Equal(t, []string{"b"}, ids(s.ok(t, "GET", "/kms/keys?state=Disabled", "")))
	require.Empty(t, ids(s.ok(t, "GET", "/kms/keys?marker=z", "")))
	require.Len(t, ids(s.ok(t, "GET", "/kms/keys?X-Amz-Signature=abc&X-Amz-Date=1", "")), 4, "a signature in the query is the server's")

	for query, want := range map[string]string{
		"limit=0": "limit: want", "limit=-1": "limit: want", "limit=x": "limit: want", "limit=1001": "limit is 1001", "limit=99999999999999999999": "limit: want",
		"limit=1&limit=2": "limit: given twice", "state=On": `key state "On"`, "max=1": "max: unknown parameter", "Limit=1": "Limit: unknown parameter",
		"a;b": "the query is malformed", "limit=%zz": "the query is malformed", "marker=%ff": "not UTF-8", "marker=%00": "cannot be printed",
	} {
		s.fails(t, "GET", "/kms/keys?"+query, "", 400, "InvalidRequest", want)
	}
	s.fails(t, "GET", "/kms/keys/k?x=1", "", 400, "InvalidRequest", "x: unknown parameter")
	s.fails(t, "GET", "/kms/status?x=1", "", 400, "InvalidRequest", "x: unknown parameter")
}

func TestDataKeys(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	s.fails(t, "POST", "/kms/generate-data-key", `{"key_id":"k"}`, 403, "AccessDenied", "without_plaintext")
	require.Zero(t, s.mock.Calls("GenerateDataKey"))
	made := s.ok(t, "POST", "/kms/generate-data-key", `{"key_id":"k","key_spec":"AES_256","encryption_context":{"a":"b"},"without_plaintext":true}`)
	require.NotContains(t, made, "plaintext_key")
	require.Equal(t, "k", made["key_id"])
	require.Equal(t, 1.0, made["key_version"])
	wrapped, err := base64.StdEncoding.DecodeString(made["ciphertext_blob"].(string))
	require.NoError(t, err)
	opened, err := s.keys.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: wrapped, Context: kms.EncryptionContext{"a": "b"}})
	require.NoError(t, err)
	require.Equal(t, 32, opened.Plaintext.Len())
	s.fails(t, "POST", "/kms/generate-data-key", `{"without_plaintext":true}`, 400, "InvalidRequest", "no key id is given")
	s.fails(t, "POST", "/kms/generate-data-key", `{"key_id":"k","key_spec":"RSA","without_plaintext":true}`, 400, "InvalidRequest", "RSA")
}

func TestDataKeysInTheClear(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow, PlaintextDataKeys: true})
	for spec, size := range map[string]int{"AES_256": 32, "AES_128": 16} {
		made := s.ok(t, "POST", "/kms/generate-data-key", `{"key_id":"k","key_spec":"`+spec+`"}`)
		plain, err := base64.StdEncoding.DecodeString(made["plaintext_key"].(string))
		require.NoError(t, err)
		wrapped, err := base64.StdEncoding.DecodeString(made["ciphertext_blob"].(string))
		require.NoError(t, err)
		opened, err := s.keys.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: wrapped})
		require.NoError(t, err)
		require.Equal(t, opened.Plaintext.Bytes(), plain)
		require.Len(t, plain, size)
		record, err := json.Marshal(s.lastRecord(t))
		require.NoError(t, err)
		require.NotContains(t, string(record), made["plaintext_key"])
	}
}

func TestRewrap(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	wrap := func(ec string) string {
		return s.ok(t, "POST", "/kms/generate-data-key", `{"key_id":"k","without_plaintext":true,"encryption_context":`+ec+`}`)["ciphertext_blob"].(string)
	}
	one, two := wrap(`{"n":"1"}`), wrap(`{}`)
	s.ok(t, "POST", "/kms/keys/rotate", `{"key_id":"k"}`)
	items := s.ok(t, "POST", "/kms/rewrap", `{"key_id":"k","items":[
		{"ciphertext_blob":"`+one+`","encryption_context":{"n":"1"}},
		{"ciphertext_blob":"`+one+`","encryption_context":{"n":"2"}},
		{"ciphertext_blob":"`+two+`","new_encryption_context":{"m":"3"}}]}`)["items"].([]any)
	require.Len(t, items, 3)
	first, second, third := items[0].(map[string]any), items[1].(map[string]any), items[2].(map[string]any)
	require.Equal(t, 2.0, first["key_version"])
	require.Equal(t, 1.0, first["source_key_version"])
	require.Equal(t, false, first["current"])
	require.Equal(t, "DecryptionFailed", second["error"].(map[string]any)["code"])
	for _, tt := range []struct {
		item map[string]any
		ec   kms.EncryptionContext
	}{{first, kms.EncryptionContext{"n": "1"}}, {third, kms.EncryptionContext{"m": "3"}}} {
		wrapped, err := base64.StdEncoding.DecodeString(tt.item["ciphertext_blob"].(string))
		require.NoError(t, err)
		_, err = s.keys.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: wrapped, Context: tt.ec})
		require.NoError(t, err)
	}
	again := s.ok(t, "POST", "/kms/rewrap", `{"items":[{"ciphertext_blob":"`+first["ciphertext_blob"].(string)+`","encryption_context":{"n":"1"}}]}`)["items"].([]any)
	require.Equal(t, true, again[0].(map[string]any)["current"])

	s.fails(t, "POST", "/kms/rewrap", `{}`, 400, "InvalidRequest", "items: missing")
	s.fails(t, "POST", "/kms/rewrap", `{"items":[]}`, 400, "InvalidRequest", "items: missing")
	s.fails(t, "POST", "/kms/rewrap", `{"items":[{"ciphertext_blob":"`+one+`"},{"ciphertext_blob":"!"}]}`, 400, "InvalidRequest", "items.1.ciphertext_blob: want base64")
	s.fails(t, "POST", "/kms/rewrap", `{"items":[{"ciphertext_blob":"`+one+`","x":1}]}`, 400, "InvalidRequest", "items.0.x: unknown field")
	s.fails(t, "POST", "/kms/rewrap", `{"items":{}}`, 400, "InvalidRequest", "items: got an object, want a list")
}

func TestKeyRequestsThatAreRefused(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	tests := []struct {
		path, body string
		status     int
		code, want string
	}{
		{"/kms/keys", `{"key_id":"k"}`, 409, "KeyAlreadyExists", "already exists"},
		{"/kms/keys", `{"key_id":"../../etc/passwd"}`, 400, "InvalidRequest", "key id"},
		{"/kms/keys", `{"key_id":"` + strings.Repeat("x", 129) + `"}`, 400, "InvalidRequest", "key id"},
		{"/kms/keys", `{"key_id":"a","key_name":"b"}`, 400, "InvalidRequest", "given with another name of the same field"},
		{"/kms/keys", `{"key_usage":"SIGN_VERIFY"}`, 400, "InvalidRequest", "SIGN_VERIFY"},
		{"/kms/keys", `{"KeyUsage":"ENCRYPT_DECRYPT"}`, 400, "InvalidRequest", "KeyUsage: unknown field"},
		{"/kms/keys", `{"Key_ID":"a"}`, 400, "InvalidRequest", "Key_ID: unknown field, want key_id"},
		{"/kms/keys", `{"description":7}`, 400, "InvalidRequest", "description: got a number, want text"},
		{"/kms/keys", `{"tags":{"a":1}}`, 400, "InvalidRequest", "tags.a: got a number, want text"},
		{"/kms/keys", `{"tags":{"a":"b","a":"c"}}`, 400, "InvalidRequest", "tags.a: given twice"},
		{"/kms/keys", `{"tags":["a"]}`, 400, "InvalidRequest", "tags: got a list, want an object"},
		{"/kms/keys/rotate", ``, 400, "InvalidRequest", "key_id: missing"},
		{"/kms/keys/rotate", `{}`, 400, "InvalidRequest", "key_id: missing"},
		{"/kms/keys/rotate", `{"key_id":""}`, 400, "InvalidRequest", "key_id: missing"},
		{"/kms/keys/rotate", `{"key_id":null}`, 400, "InvalidRequest", "key_id: missing"},
		{"/kms/keys/rotate", `{"key_id":["k"]}`, 400, "InvalidRequest", "key_id: got a list, want text"},
		{"/kms/keys/rotate", `{"key_id":"k","force":true}`, 400, "InvalidRequest", "force: unknown field"},
		{"/kms/keys/rotate", `{"key_id":"none"}`, 404, "KeyNotFound", "none"},
		{"/kms/keys/enable", `{"key_id":"none"}`, 404, "KeyNotFound", "none"},
		{"/kms/keys/disable", `{"key_id":"none"}`, 404, "KeyNotFound", "none"},
		{"/kms/keys/cancel-deletion", `{"key_id":"k"}`, 400, "InvalidRequest", ""},
		{"/kms/keys/update-description", `{"key_id":"k"}`, 400, "InvalidRequest", "description: missing"},
		{"/kms/keys/update-description", `{"key_id":"none","description":"x"}`, 404, "KeyNotFound", "none"},
		{"/kms/keys/tag", `{"key_id":"k"}`, 400, "InvalidRequest", "no tags"},
		{"/kms/keys/tag", `{"key_id":"none","tags":{"a":"b"}}`, 404, "KeyNotFound", "none"},
		{"/kms/keys/untag", `{"key_id":"k"}`, 400, "InvalidRequest", "0 tag names"},
		{"/kms/keys/untag", `{"key_id":"k","tag_keys":["a",7]}`, 400, "InvalidRequest", "tag_keys.1: got a number, want text"},
		{"/kms/stop", `{"force":true}`, 400, "InvalidRequest", "force: unknown field"},
		{"/kms/start", `{"force":1}`, 400, "InvalidRequest", "force: got a number, want true or false"},
	}
	for _, tt := range tests {
		s.fails(t, "POST", tt.path, tt.body, tt.status, tt.code, tt.want)
	}
	s.fails(t, "DELETE", "/kms/keys/delete", "", 400, "InvalidRequest", "key_id: missing")
	s.fails(t, "DELETE", "/kms/keys/delete?keyId=k", `{"key_id":"k"}`, 400, "InvalidRequest", "keyId: given with a body")
	s.fails(t, "DELETE", "/kms/keys/delete?key_id=k", "", 400, "InvalidRequest", "key_id: unknown parameter")
	s.fails(t, "DELETE", "/kms/keys/delete", `{"key_id":"k","pending_window_in_days":6}`, 400, "InvalidRequest", "6 days, want 7 to 30")
	s.fails(t, "DELETE", "/kms/keys/delete", `{"key_id":"k","force_immediate":true}`, 400, "InvalidRequest", "confirming key id")
	s.fails(t, "DELETE", "/kms/keys/delete", `{"key_id":"none"}`, 404, "KeyNotFound", "none")
	s.ok(t, "GET", "/kms/keys/k", "")
}

// What a backend says of itself stays in the audit record, unless it is one of the library's errors.
func TestErrorsOfTheBackend(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	tests := []struct {
		err          error
		status       int
		code, inside string
	}{
		{errors.New("the token is " + hush), 500, "InternalError", "internal error"},
		{kms.ErrKeyMaterial, 500, "KeyMaterialDamaged", "damaged"},
		{kms.ErrUnavailable, 503, "ServiceUnavailable", "unavailable"},
		{kms.ErrClosed, 503, "ServiceUnavailable", "closed"},
		{kms.ErrPermission, 403, "AccessDenied", "permission denied"},
		{kms.ErrUnsupported, 501, "NotImplemented", "not supported"},
		{kms.ErrKeyDisabled, 409, "KeyDisabled", "disabled"},
		{kms.ErrKeyPendingDeletion, 409, "KeyPendingDeletion", "pending deletion"},
		{kms.ErrKeyInUse, 409, "KeyInUse", "in use"},
	}
	for _, tt := range tests {
		s.mock.FailNext("RotateKey", tt.err)
		s.fails(t, http.MethodPost, "/kms/keys/rotate", `{"key_id":"k"}`, tt.status, tt.code, tt.inside)
		record := s.lastRecord(t)
		require.ErrorIs(t, record.Err, tt.err)
		require.Equal(t, tt.status, record.Status)
	}
	s.mu.Lock()
	s.records = nil // one holds what was put there
	s.mu.Unlock()
}
