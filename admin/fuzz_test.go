package admin_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/admin"
	"github.com/objectkms/kms/mock"
)

// routeOf returns the index of the route of a call, or of one that has another method or path.
func routeOf(routes []string, call string) int {
	return max(slices.IndexFunc(routes, func(route string) bool {
		matches, _ := path.Match(strings.Replace(route, "{key_id}", "*", 1), call)
		return matches
	}), 1)
}

// Whatever is asked, the answer is JSON of the documented form, and none is an internal error. Each input has a service of its own, with a
// key of the id k, so that one that fails does so again.
func FuzzRequests(f *testing.F) {
	routes := admin.Routes()
	for _, tt := range everyCall() {
		path, query, _ := strings.Cut(tt.path, "?")
		f.Add(routeOf(routes, tt.method+" "+path), path, query, []byte(tt.body))
	}
	f.Add(routeOf(routes, "GET /kms/keys"), "/kms/keys/%00", "limit=1&limit=2", []byte(`{"key_id":"\ud800"}`))
	f.Fuzz(func(t *testing.T, i int, path, query string, body []byte) {
		method, routed, _ := strings.Cut(routes[uint(i)%uint(len(routes))], " ")
		if i%2 == 0 {
			path = routed
		}
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		u.RawQuery = query
		keys := new(kms.ServiceManager)
		require.NoError(t, keys.Reconfigure(t.Context(), kms.Config{Backend: mock.New()}))
		_, err = keys.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
		require.NoError(t, err)
		recorder := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), method, "/", bytes.NewReader(body))
		req.URL = u
		admin.New(keys, admin.Options{Authorize: allow, PlaintextDataKeys: true}).ServeHTTP(recorder, req)
		require.NotEqual(t, http.StatusInternalServerError, recorder.Code)
		require.Empty(t, recorder.Header().Get("Location"))
		if recorder.Code != http.StatusNoContent {
			require.True(t, json.Valid(recorder.Body.Bytes()))
		}
		require.NoError(t, keys.Stop(t.Context()))
	})
}
