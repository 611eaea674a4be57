package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheAdminAPI(t *testing.T) {
	s := newServer(t)
	_, err := s.put(t, "cat.jpg", []byte("meow"))
	require.NoError(t, err)
	call := func(method, path, token string) (int, string) {
		body := strings.NewReader(`{"key_id":"` + defaultKeyID + `"}`)
		r, err := http.NewRequestWithContext(t.Context(), method, s.env["KMS_ADMIN_URL"]+path, body)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		out, err := s.http.Do(r)
		require.NoError(t, err)
		defer out.Body.Close()
		answer, err := io.ReadAll(out.Body)
		require.NoError(t, err)
		return out.StatusCode, string(answer)
	}
	token := s.env["KMS_ADMIN_TOKEN"]
	status, body := call(http.MethodGet, "/kms/keys/"+defaultKeyID, token)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `"`+defaultKeyID+`"`)
	for _, wrong := range []string{"", "x", token + "x"} {
		status, body = call(http.MethodGet, "/kms/keys", wrong)
		require.Equal(t, http.StatusUnauthorized, status)
		require.NotContains(t, body, defaultKeyID)
	}
	status, body = call(http.MethodPost, "/kms/keys/disable", token)
	require.Equal(t, http.StatusOK, status, body)
	_, err = s.get(t, "cat.jpg")
	requireAnswer(t, http.StatusBadRequest, "KMS.DisabledException", err)
	_, err = s.put(t, "dog.jpg", []byte("woof"))
	requireAnswer(t, http.StatusBadRequest, "KMS.DisabledException", err)
	status, body = call(http.MethodPost, "/kms/keys/enable", token)
	require.Equal(t, http.StatusOK, status, body)
	_, err = s.get(t, "cat.jpg")
	require.NoError(t, err)
}
