package admin_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/admin"
	"github.com/objectkms/kms/mock"
)

// Whatever is asked, the answer is JSON of the documented form, and none is an internal error.
func FuzzRequests(f *testing.F) {
	for i, tt := range everyCall() {
		path, query, _ := strings.Cut(tt.path, "?")
		f.Add(i, path, query, []byte(tt.body))
	}
	f.Add(0, "/kms/keys/%00", "limit=1&limit=2", []byte(`{"key_id":"\ud800"}`))
	routes := admin.Routes()
	keys := new(kms.ServiceManager)
	require.NoError(f, keys.Reconfigure(f.Context(), kms.Config{Backend: mock.New()}))
	handler := admin.New(keys, admin.Options{Authorize: allow, PlaintextDataKeys: true})
	f.Fuzz(func(t *testing.T, i int, path, query string, body []byte) {
		method, routed, _ := strings.Cut(routes[uint(i)%uint(len(routes))], " ")
		if i%2 == 0 {
			path = routed
		}
		if routed == "/kms/start" || routed == "/kms/stop" {
			return // what is fuzzed must run
		}
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		u.RawQuery = query
		recorder := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), method, "/", bytes.NewReader(body))
		req.URL = u
		handler.ServeHTTP(recorder, req)
		require.NotEqual(t, http.StatusInternalServerError, recorder.Code)
		require.Empty(t, recorder.Header().Get("Location"))
		if recorder.Code != http.StatusNoContent {
			require.True(t, json.Valid(recorder.Body.Bytes()))
		}
	})
}
