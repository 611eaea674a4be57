package server

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
)

// Admin calls the server's administration and returns the status and the document of the answer.
func (s *Server) Admin(t testing.TB, method, path, token string, body any) (int, map[string]any) {
	t.Helper()
	var document []byte
	if body != nil {
		var err error
		document, err = json.Marshal(body)
		must(t, err, "writing a request")
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.Env["KMS_ADMIN_URL"]+path, bytes.NewReader(document))
	must(t, err, "making a request")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.HTTP(t).Do(req)
	must(t, err, method+" "+path)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err, method+" "+path)
	var answer map[string]any
	if len(text) > 0 && json.Unmarshal(text, &answer) != nil {
		answer = map[string]any{"text": string(text)}
	}
	return resp.StatusCode, answer
}

// Key does something to a key: "", which is to create it, "enable", "disable", "rotate" or "cancel-deletion".
func (s *Server) Key(t testing.TB, action, keyID string) map[string]any {
	t.Helper()
	path := "/kms/keys"
	if action != "" {
		path += "/" + action
	}
	return s.do(t, http.MethodPost, path, map[string]any{"key_id": keyID})
}

// DeleteKey puts a key into its pending window.
func (s *Server) DeleteKey(t testing.TB, keyID string) {
	t.Helper()
	s.do(t, http.MethodDelete, "/kms/keys/delete", map[string]any{"key_id": keyID, "pending_window_in_days": 7})
}

// StopKMS stops key management.
func (s *Server) StopKMS(t testing.TB) {
	t.Helper()
	s.Post(t, "/kms/stop")
}

// StartKMS starts key management that was stopped.
func (s *Server) StartKMS(t testing.TB) {
	t.Helper()
	s.Post(t, "/kms/start")
}

// Post asks the administration for something that needs no document.
func (s *Server) Post(t testing.TB, path string) {
	t.Helper()
	s.do(t, http.MethodPost, path, nil)
}

func (s *Server) do(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	status, answer := s.Admin(t, method, path, s.Env["KMS_ADMIN_TOKEN"], body)
	if status/100 != 2 {
		t.Fatalf("%s %s has the status %d: %v", method, path, status, answer)
	}
	return answer
}
