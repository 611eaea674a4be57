package admin_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/admin"
)

// everyCall has a request for each route, with the call that Authorize is to see.
func everyCall() []struct {
	method, path, body string
	want               admin.Call
} {
	return []struct {
		method, path, body string
		want               admin.Call
	}{
		{"POST", "/kms/configure", `{}`, admin.Call{Operation: admin.Configure}},
		{"POST", "/kms/configure?force=true", `{}`, admin.Call{Operation: admin.Configure, Force: true}},
		{"POST", "/kms/reconfigure", `{}`, admin.Call{Operation: admin.Reconfigure}},
		{"POST", "/kms/reconfigure?force=true", `{}`, admin.Call{Operation: admin.Reconfigure, Force: true}},
		{"POST", "/kms/start", ``, admin.Call{Operation: admin.Start}},
		{"POST", "/kms/start", `{"force":true}`, admin.Call{Operation: admin.Start, Force: true}},
		{"POST", "/kms/stop", ``, admin.Call{Operation: admin.Stop}},
		{"GET", "/kms/status", ``, admin.Call{Operation: admin.Status}},
		{"GET", "/kms/service-status", ``, admin.Call{Operation: admin.Status}},
		{"GET", "/kms/config", ``, admin.Call{Operation: admin.ShowConfig}},
		{"POST", "/kms/clear-cache", ``, admin.Call{Operation: admin.ClearCache}},
		{"GET", "/kms/openapi.json", ``, admin.Call{Operation: admin.ShowOpenAPI}},
		{"POST", "/kms/keys", `{"key_id":"n"}`, admin.Call{Operation: admin.CreateKey, KeyID: "n"}},
		{"POST", "/kms/keys", `{"key_name":"n"}`, admin.Call{Operation: admin.CreateKey, KeyID: "n"}},
		{"GET", "/kms/keys", ``, admin.Call{Operation: admin.ListKeys}},
		{"GET", "/kms/keys/k", ``, admin.Call{Operation: admin.DescribeKey, KeyID: "k"}},
		{"GET", "/kms/keys/a%2Fb", ``, admin.Call{Operation: admin.DescribeKey, KeyID: "a/b"}},
		{"DELETE", "/kms/keys/delete", `{"key_id":"k"}`, admin.Call{Operation: admin.DeleteKey, KeyID: "k"}},
		{"DELETE", "/kms/keys/delete?keyId=k", ``, admin.Call{Operation: admin.DeleteKey, KeyID: "k"}},
		{"DELETE", "/kms/keys/delete", `{"key_id":"k","force_immediate":true,"confirm_key_id":"k"}`, admin.Call{Operation: admin.DeleteKey, KeyID: "k", Force: true}},
		{"POST", "/kms/keys/cancel-deletion", `{"key_id":"k"}`, admin.Call{Operation: admin.CancelKeyDeletion, KeyID: "k"}},
		{"POST", "/kms/keys/enable", `{"key_id":"k"}`, admin.Call{Operation: admin.EnableKey, KeyID: "k"}},
		{"POST", "/kms/keys/disable", `{"key_id":"k"}`, admin.Call{Operation: admin.DisableKey, KeyID: "k"}},
		{"POST", "/kms/keys/rotate", `{"key_id":"k"}`, admin.Call{Operation: admin.RotateKey, KeyID: "k"}},
		{"POST", "/kms/keys/import", `{"key_id":"k","material":"` + hushInBase64() + `"}`, admin.Call{Operation: admin.ImportKey, KeyID: "k"}},
		{"POST", "/kms/keys/update-description", `{"key_id":"k","description":""}`, admin.Call{Operation: admin.UpdateKeyDescription, KeyID: "k"}},
		{"POST", "/kms/keys/tag", `{"key_id":"k","tags":{"a":"b"}}`, admin.Call{Operation: admin.TagKey, KeyID: "k"}},
		{"POST", "/kms/keys/untag", `{"key_id":"k","tag_keys":["a"]}`, admin.Call{Operation: admin.UntagKey, KeyID: "k"}},
		{"POST", "/kms/generate-data-key", `{"key_id":"k","without_plaintext":true}`, admin.Call{Operation: admin.GenerateDataKey, KeyID: "k"}},
		{"POST", "/kms/generate-data-key", `{}`, admin.Call{Operation: admin.GenerateDataKey}},
		{"POST", "/kms/rewrap", `{"key_id":"k","items":[{"ciphertext_blob":"AQ=="}]}`, admin.Call{Operation: admin.RewrapDataKeys, KeyID: "k"}},
		{"GET", "/kms/none", ``, admin.Call{}},
		{"PUT", "/kms/keys", ``, admin.Call{}},
	}
}

func TestEveryRouteIsInTheTable(t *testing.T) {
	seen := map[string]bool{}
	for _, tt := range everyCall() {
		path, _, _ := strings.Cut(tt.path, "?")
		seen[tt.method+" "+path] = true
	}
	for _, route := range admin.Routes() {
		require.True(t, seen[strings.Replace(route, "{key_id}", "k", 1)], route)
	}
}

// Whoever may do nothing gets one answer, whatever is asked and however.
func TestWithoutAuthorizeNobodyMayDoAnything(t *testing.T) {
	denies := map[string]func(*http.Request, admin.Call) error{
		"not set": nil,
		"refuses": func(*http.Request, admin.Call) error { return errors.New("not you") },
		// An error of the library inside the refusal must not make it look like something else.
		"refuses with another error": func(*http.Request, admin.Call) error { return kms.ErrKeyNotFound },
	}
	for name, authorize := range denies {
		t.Run(name, func(t *testing.T) {
			s := running(t, admin.Options{Authorize: authorize})
			asked := s.mock.Calls("CreateKey")
			for _, tt := range everyCall() {
				for _, body := range []string{tt.body, `{"kee":1}`, "{", strings.Repeat("x", 100<<10)} {
					a := s.do(t, tt.method, tt.path, body)
					require.Equal(t, http.StatusForbidden, a.status, tt)
					require.JSONEq(t, `{"code":"AccessDenied","message":"permission denied"}`, a.body)
					record := s.lastRecord(t)
					require.ErrorIs(t, record.Err, kms.ErrPermission)
					require.Equal(t, tt.want.Operation, record.Call.Operation)
				}
			}
			require.Equal(t, asked, s.mock.Calls("CreateKey"))
			require.Equal(t, kms.ServiceRunning, s.keys.Status().State)
			require.EqualValues(t, 1, s.keys.Status().Generation)
		})
	}
}

func TestAuthorizeSeesTheCall(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	for _, tt := range everyCall() {
		s.mu.Lock()
		s.calls = nil
		s.mu.Unlock()
		s.do(t, tt.method, tt.path, tt.body)
		s.mu.Lock()
		require.Equal(t, []admin.Call{tt.want}, s.calls, "it is asked once")
		s.mu.Unlock()
	}
}

func TestAuthorizeForOneKey(t *testing.T) {
	onlyMine := func(_ *http.Request, call admin.Call) error {
		if call.KeyID == "mine" {
			return nil
		}
		return errors.New("not yours")
	}
	s := running(t, admin.Options{Authorize: onlyMine})
	s.ok(t, "POST", "/kms/keys", `{"key_id":"mine"}`)
	s.ok(t, "GET", "/kms/keys/mine", "")
	for _, tt := range [][3]string{
		{"GET", "/kms/keys/k", ""}, {"GET", "/kms/keys/none", ""}, {"GET", "/kms/keys", ""}, {"POST", "/kms/keys", ""},
		{"POST", "/kms/keys/disable", `{"key_id":"k"}`}, {"POST", "/kms/keys/disable", `{"key_id":"mine","key_id":"k"}`},
		{"POST", "/kms/keys/disable", `{"key_id":"k","key_id":"mine"}`}, {"DELETE", "/kms/keys/delete?keyId=k", `{"key_id":"mine"}`},
	} {
		require.Equal(t, http.StatusForbidden, s.do(t, tt[0], tt[1], tt[2]).status, tt)
	}
	require.Equal(t, "Enabled", metadata(s.ok(t, "GET", "/kms/keys/mine", ""))["key_state"])
}

func TestRecords(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+prefix+"/kms/keys/disable", strings.NewReader(`{"key_id":"k"}`))
	require.NoError(t, err)
	req.Header.Set("X-Request-Id", "req-7")
	require.Equal(t, 200, s.send(t, req).status)
	record := s.lastRecord(t)
	require.Equal(t, admin.Call{Operation: admin.DisableKey, KeyID: "k"}, record.Call)
	require.Equal(t, "root", record.Principal)
	require.Equal(t, "req-7", record.RequestID)
	require.Equal(t, "POST", record.Method)
	require.Equal(t, 200, record.Status)
	require.NoError(t, record.Err)
	require.False(t, record.Time.IsZero())
	require.Positive(t, record.Duration)

	n := len(s.records)
	s.do(t, "GET", "/kms/none", "")
	s.do(t, "POST", "/kms/clear-cache", "")
	require.Len(t, s.records, n+2, "one for every request")
	require.Equal(t, 404, s.records[n].Status)
	require.Equal(t, 204, s.records[n+1].Status)
}

// The caller's name reaches the ServiceManager too.
func TestThePrincipalOfAnOperation(t *testing.T) {
	s := newServer(t, admin.Options{Authorize: allow})
	var principals []string
	s.keys.Hooks.Authorize = func(ctx context.Context, _, _ string, _ kms.EncryptionContext) error {
		principals = append(principals, kms.PrincipalOf(ctx))
		return nil
	}
	require.NoError(t, s.keys.Reconfigure(t.Context(), kms.Config{Backend: s.mock}))
	s.ok(t, "POST", "/kms/keys", "")
	require.Equal(t, []string{"root"}, principals)
}
