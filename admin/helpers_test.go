package admin_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/admin"
	"github.com/objectkms/kms/backend"
	"github.com/objectkms/kms/mock"
)

const prefix = "/minio/admin/v3"

// Every secret of a test holds this text, in the clear or in base64.
const hush = "hush-hush-hush-hush-hush-hush-32"

func hushInBase64() string { return base64.StdEncoding.EncodeToString([]byte(hush)) }

func requireNoSecret(t *testing.T, text string) {
	t.Helper()
	require.NotContains(t, text, hush)
	require.NotContains(t, text, hushInBase64())
}

// A server is an object server with the handler under its prefix.
type server struct {
	*httptest.Server
	keys *kms.ServiceManager
	mock *mock.Backend // what {"backend_type": "mock"} opens

	mu      sync.Mutex
	calls   []admin.Call
	records []admin.Record
}

func allow(*http.Request, admin.Call) error { return nil }

// newServer starts a server. What opts leave open is everything allowed, and the decoders of all backends.
func newServer(t *testing.T, opts admin.Options) *server {
	t.Helper()
	s := &server{keys: new(kms.ServiceManager), mock: mock.New()}
	if opts.Decoders == nil {
		decoders := backend.Standard()
		decoders["mock"] = func(doc json.RawMessage) (kms.BackendConfig, error) {
			if string(doc) != "{}" {
				return nil, kms.ErrInvalidConfig
			}
			return s.mock, nil
		}
		opts.Decoders = decoders
	}
	if authorize := opts.Authorize; authorize != nil {
		opts.Authorize = func(r *http.Request, call admin.Call) error {
			s.mu.Lock()
			s.calls = append(s.calls, call)
			s.mu.Unlock()
			return authorize(r, call)
		}
	}
	opts.Audit = func(_ context.Context, record admin.Record) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.records = append(s.records, record)
	}
	administration := http.StripPrefix(prefix, admin.New(s.keys, opts))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// No ServeMux: it would mend paths, and the names of objects may not be mended.
		if !strings.HasPrefix(r.URL.Path, prefix+"/") {
			http.Error(w, "this is S3", http.StatusTeapot)
			return
		}
		ctx := kms.WithRequestID(kms.WithPrincipal(r.Context(), "root"), r.Header.Get("X-Request-Id"))
		administration.ServeHTTP(w, r.WithContext(ctx))
	}))
	t.Cleanup(func() {
		s.Close()
		require.NoError(t, s.keys.Stop(context.WithoutCancel(t.Context())))
		for _, record := range s.records {
			text, err := json.Marshal(record)
			require.NoError(t, err)
			requireNoSecret(t, string(text))
			if record.Err != nil {
				requireNoSecret(t, record.Err.Error())
			}
		}
	})
	return s
}

// running starts a server whose service runs with the mock, and has the key k.
func running(t *testing.T, opts admin.Options) *server {
	t.Helper()
	s := newServer(t, opts)
	require.NoError(t, s.keys.Reconfigure(t.Context(), kms.Config{Backend: s.mock, Options: kms.Options{AllowImmediateDeletion: true}}))
	_, err := s.keys.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
	return s
}

// An answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request, and checks what is true of every answer.
func (s *server) do(t *testing.T, method, path, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+prefix+path, strings.NewReader(body))
	require.NoError(t, err)
	a := s.send(t, req)
	route, _, _ := strings.Cut(path, "?")
	requireDocumented(t, method, route, body, a)
	return a
}

func (s *server) send(t *testing.T, req *http.Request) answer {
	t.Helper()
	resp, err := s.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	a := answer{resp.StatusCode, resp.Header, string(body)}
	requireNoSecret(t, a.body)
	require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	if len(body) > 0 {
		require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	}
	if a.status >= 400 && req.Method != http.MethodHead {
		a.code(t)
	}
	return a
}

// ok sends a request that succeeds, and reads its answer.
func (s *server) ok(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	a := s.do(t, method, path, body)
	require.Equal(t, http.StatusOK, a.status, a.body)
	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &fields))
	return fields
}

// fails sends a request that fails, and checks how.
func (s *server) fails(t *testing.T, method, path, body string, status int, code, message string) {
	t.Helper()
	a := s.do(t, method, path, body)
	require.Equal(t, status, a.status, a.body)
	gotCode, gotMessage := a.code(t)
	require.Equal(t, code, gotCode)
	require.Contains(t, gotMessage, message)
}

// code reads the answer of an error, which has two fields.
func (a answer) code(t *testing.T) (code, message string) {
	t.Helper()
	var fields struct{ Code, Message string }
	decoder := json.NewDecoder(bytes.NewReader([]byte(a.body)))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&fields), a.body)
	require.NotEmpty(t, fields.Code)
	require.NotEmpty(t, fields.Message)
	return fields.Code, fields.Message
}

func (s *server) lastRecord(t *testing.T) admin.Record {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.NotEmpty(t, s.records)
	return s.records[len(s.records)-1]
}

func (s *server) lastCall(t *testing.T) admin.Call {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.NotEmpty(t, s.calls)
	return s.calls[len(s.calls)-1]
}
