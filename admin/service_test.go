package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/admin"
	"github.com/objectkms/kms/backend"
	"github.com/objectkms/kms/local"
)

func localDocument(dir string) string {
	return `{"backend_type":"local","key_dir":"` + dir + `","master_key":"` + hushInBase64() + `","default_key_id":"main"}`
}

// From nothing to a service that runs, is changed, is stopped and runs again.
func TestTheLifeOfAService(t *testing.T) {
	s := newServer(t, admin.Options{Authorize: allow})
	require.Equal(t, "NotConfigured", s.ok(t, "GET", "/kms/status", "")["status"])
	s.fails(t, "GET", "/kms/config", "", 503, "NotConfigured", "not configured")
	s.fails(t, "POST", "/kms/start", "", 503, "NotConfigured", "not configured")
	s.fails(t, "POST", "/kms/keys", "", 503, "NotConfigured", "not configured")
	s.fails(t, "POST", "/kms/clear-cache", "", 503, "NotConfigured", "not configured")

	done := s.ok(t, "POST", "/kms/configure", localDocument(t.TempDir()+"/keys"))
	require.Equal(t, "Configured", done["status"])
	require.Equal(t, true, done["success"])
	s.fails(t, "POST", "/kms/keys", "", 503, "NotRunning", "not running")
	s.fails(t, "POST", "/kms/clear-cache", "{}", 503, "NotRunning", "not running")

	require.Equal(t, "Running", s.ok(t, "POST", "/kms/start", "")["status"])
	require.Equal(t, 1.0, s.ok(t, "POST", "/kms/start", "{}")["generation"], "it runs already")
	require.Equal(t, 2.0, s.ok(t, "POST", "/kms/start", `{"force":true}`)["generation"])
	require.Equal(t, "main", s.ok(t, "POST", "/kms/keys", `{"key_name":"main"}`)["key_id"])

	status := s.ok(t, "GET", "/kms/service-status", "")
	require.Equal(t, "Running", status["status"])
	require.Equal(t, "local", status["backend_type"])
	require.Equal(t, true, status["healthy"])
	require.Len(t, status["fingerprint"], 64)
	require.Equal(t, "main", status["config_summary"].(map[string]any)["default_key_id"])
	require.Equal(t, true, status["capabilities"].(map[string]any)["rotate"])

	before := s.ok(t, "GET", "/kms/config", "")
	require.Equal(t, 300.0, before["cache_summary"].(map[string]any)["ttl_seconds"])
	done = s.ok(t, "POST", "/kms/reconfigure", `{"cache_ttl_seconds":60}`)
	require.Equal(t, 3.0, done["generation"])
	after := s.ok(t, "GET", "/kms/config", "")
	require.Equal(t, 60.0, after["cache_summary"].(map[string]any)["ttl_seconds"])
	require.Equal(t, before["backend_summary"], after["backend_summary"])
	s.ok(t, "GET", "/kms/keys/main", "") // the secrets are still there

	require.Equal(t, http.StatusNoContent, s.do(t, "POST", "/kms/clear-cache", "").status)
	require.Equal(t, "Stopped", s.ok(t, "POST", "/kms/stop", "")["status"])
	require.Equal(t, "Stopped", s.ok(t, "POST", "/kms/stop", "{}")["status"])
	status = s.ok(t, "GET", "/kms/status", "")
	require.NotContains(t, status, "healthy")
	require.Equal(t, "Running", s.ok(t, "POST", "/kms/start", "")["status"])
	s.ok(t, "GET", "/kms/keys/main", "")
}

func TestReconfigureOfNothingIsAConfiguration(t *testing.T) {
	s := newServer(t, admin.Options{Authorize: allow})
	s.fails(t, "POST", "/kms/reconfigure", `{"timeout_seconds":5}`, 400, "InvalidConfiguration", "backend_type: missing")
	require.Equal(t, "Running", s.ok(t, "POST", "/kms/reconfigure", localDocument(t.TempDir()+"/keys"))["status"])
}

func TestChangesThatAreRefusedChangeNothing(t *testing.T) {
	s := newServer(t, admin.Options{Authorize: allow})
	dir := t.TempDir() + "/keys"
	s.ok(t, "POST", "/kms/reconfigure", localDocument(dir))
	s.ok(t, "POST", "/kms/keys", `{"key_id":"main"}`)

	s.fails(t, "POST", "/kms/configure", localDocument(dir), 400, "InvalidRequest", "the service runs")
	s.fails(t, "POST", "/kms/reconfigure", `{"cache_ttl":60}`, 400, "InvalidConfiguration", "cache_ttl: unknown field")
	s.fails(t, "POST", "/kms/reconfigure", `{"passphrase":"`+hush+`"}`, 400, "InvalidConfiguration", "passphrase")
	s.fails(t, "POST", "/kms/reconfigure", `{"master_key":"`+strings.Repeat("A", 42)+`E="}`, 500, "KeyMaterialDamaged", "")
	s.fails(t, "POST", "/kms/reconfigure", `{"backend_type":"mock","former":[]}`, 400, "InvalidConfiguration", "would be unreadable")
	s.fails(t, "POST", "/kms/configure", "", 400, "InvalidConfiguration", "not JSON")
	s.fails(t, "POST", "/kms/reconfigure?force=yes", "{}", 400, "InvalidRequest", "force: want true or false")
	s.fails(t, "POST", "/kms/configure?force=yes", "{}", 400, "InvalidRequest", "force: want true or false")
	s.fails(t, "POST", "/kms/reconfigure?forse=true", "{}", 400, "InvalidRequest", "forse: unknown parameter")

	status := s.ok(t, "GET", "/kms/status", "")
	require.Equal(t, "Running", status["status"])
	require.Equal(t, 1.0, status["generation"])
	require.Contains(t, status["last_error"].(map[string]any)["message"], "would be unreadable")
	s.ok(t, "GET", "/kms/keys/main", "")
}

func TestChangeOfTheBackend(t *testing.T) {
	s := newServer(t, admin.Options{Authorize: allow})
	s.ok(t, "POST", "/kms/reconfigure", localDocument(t.TempDir()+"/keys"))
	s.ok(t, "POST", "/kms/keys", `{"key_id":"main"}`)
	dataKey, err := s.keys.GenerateDataKey(t.Context(), &kms.GenerateDataKeyRequest{})
	require.NoError(t, err)

	s.ok(t, "POST", "/kms/reconfigure", `{"backend_type":"mock"}`)
	require.Equal(t, "mock", s.ok(t, "GET", "/kms/status", "")["backend_type"])
	_, err = s.keys.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: dataKey.Ciphertext})
	require.NoError(t, err, "the backend before is a former one")

	s.ok(t, "POST", "/kms/reconfigure?force=true", `{"former":[]}`)
	require.True(t, s.lastCall(t).Force)
	_, err = s.keys.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: dataKey.Ciphertext})
	require.Error(t, err)
	s.fails(t, "POST", "/kms/reconfigure", strings.Replace(localDocument(t.TempDir()+"/other"), "}", `,"former":[]}`, 1), 400, "InvalidConfiguration", "would be unreadable")
	s.ok(t, "POST", "/kms/reconfigure?force=true", strings.Replace(localDocument(t.TempDir()+"/other"), "}", `,"former":[]}`, 1))
}

func TestConfigureAnotherBackend(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	s.ok(t, "POST", "/kms/stop", "")
	doc := localDocument(t.TempDir() + "/keys")
	s.fails(t, "POST", "/kms/configure", doc, 400, "InvalidConfiguration", "would be unreadable")
	s.fails(t, "POST", "/kms/configure?force=false", doc, 400, "InvalidConfiguration", "would be unreadable")
	s.ok(t, "POST", "/kms/configure?force=true", doc)
	require.Equal(t, "local", s.ok(t, "GET", "/kms/status", "")["backend_type"])
}

// A configuration that was not taken is wiped; what runs is not.
func TestTheSecretsOfAFailedChangeAreWiped(t *testing.T) {
	decoders := &remembering{Decoders: backend.Standard()}
	s := newServer(t, admin.Options{Authorize: allow, Decoders: decoders})
	dir := t.TempDir() + "/keys"
	s.ok(t, "POST", "/kms/reconfigure", localDocument(dir))
	s.keys.Persist = func(context.Context, kms.Config) error { return errors.New("no space: " + hush) }
	a := s.do(t, "POST", "/kms/reconfigure", `{"cache_ttl_seconds":60}`)
	require.Equal(t, 500, a.status)
	require.JSONEq(t, `{"code":"InternalError","message":"internal error"}`, a.body)
	require.Zero(t, decoders.last.Backend.(local.Config).RootKey.Len())

	s.mu.Lock()
	require.ErrorContains(t, s.records[len(s.records)-1].Err, "no space", "the audit record has the whole")
	s.records = s.records[:len(s.records)-1] // it holds what was put there
	s.mu.Unlock()
	running, err := s.keys.Config()
	require.NoError(t, err)
	require.Equal(t, hush, string(running.Backend.(local.Config).RootKey.Bytes()))
	require.Equal(t, "InternalError", s.ok(t, "GET", "/kms/status", "")["last_error"].(map[string]any)["code"])
}

// remembering keeps the last configuration that was made.
type remembering struct {
	backend.Decoders
	last kms.Config
}

func (r *remembering) Merge(running kms.Config, patch []byte) (kms.Config, error) {
	cfg, err := r.Decoders.Merge(running, patch)
	r.last = cfg
	return cfg, err
}

// noDecoders answers nothing.
type noDecoders struct{ admin.Decoders }

func (noDecoders) Summary(kms.Config) (json.RawMessage, error) { return nil, errors.New("odd " + hush) }

func TestWithoutDecoders(t *testing.T) {
	keys := new(kms.ServiceManager)
	s := running(t, admin.Options{Authorize: allow})
	require.NoError(t, keys.Configure(kms.Config{Backend: s.mock}))
	s.Config.Handler = admin.New(keys, admin.Options{Authorize: allow})
	for _, path := range []string{"/kms/configure", "/kms/reconfigure"} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+path, strings.NewReader(`{}`))
		require.NoError(t, err)
		require.Equal(t, 501, s.send(t, req).status)
	}
	for path, want := range map[string]int{"/kms/config": 501, "/kms/status": 200} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+path, nil)
		require.NoError(t, err)
		require.Equal(t, want, s.send(t, req).status)
	}
}

func TestDecodersThatFail(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow, Decoders: noDecoders{}})
	for _, path := range []string{"/kms/config", "/kms/status"} {
		require.JSONEq(t, `{"code":"InternalError","message":"internal error"}`, s.do(t, "GET", path, "").body)
	}
	s.mu.Lock()
	s.records = nil // what they hold was put there
	s.mu.Unlock()
}

func TestAStatusSaysWhetherTheBackendIsHealthy(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	require.Equal(t, true, s.ok(t, "GET", "/kms/status", "")["healthy"])
	s.mock.FailNext("HealthCheck", errors.New(hush))
	require.Equal(t, false, s.ok(t, "GET", "/kms/status", "")["healthy"])

	require.NoError(t, s.keys.Reconfigure(t.Context(), kms.Config{Backend: s.mock, Options: kms.Options{
		Authorize: func(context.Context, string, string, kms.EncryptionContext) error { return errors.New("no") },
	}}))
	require.NotContains(t, s.ok(t, "GET", "/kms/status", ""), "healthy", "it is not known")
}

func TestAStatusHasTheWorkers(t *testing.T) {
	text, err := admin.Workers(kms.ServiceStatus{})
	require.NoError(t, err)
	for _, name := range []string{"probe", "sweep", "rotation"} {
		require.NotContains(t, text, `"`+name+`":`, "it never ran")
	}

	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	text, err = admin.Workers(kms.ServiceStatus{
		Probe:    kms.ProbeStatus{At: at, Duration: 1500 * time.Millisecond, Failures: 2, Err: kms.ErrUnavailable},
		Sweep:    kms.SweepStatus{SweepReport: kms.SweepReport{At: at, Removed: []string{"a"}, Kept: []kms.KeptKey{{KeyID: "b", Reason: "in use", Scanned: "all"}}}, Err: errors.New(hush), Halted: true},
		Rotation: kms.RotationStatus{At: at, Rotated: []string{"c"}},
	})
	require.NoError(t, err)
	requireNoSecret(t, text)
	require.Contains(t, text, `"probe":{"at":"2026-01-02T03:04:05Z","duration_seconds":1.5,"failures":2,"error":{"code":"ServiceUnavailable","message":"backend is unavailable"}}`)
	require.Contains(t, text, `"sweep":{"at":"2026-01-02T03:04:05Z","removed":["a"],"waiting":[],"kept":[{"key_id":"b","reason":"in use","scanned":"all"}],"halted":true,"error":{"code":"InternalError","message":"internal error"}}`)
	require.Contains(t, text, `"rotation":{"at":"2026-01-02T03:04:05Z","rotated":["c"]}`)
	doc := document(t)
	doc.requireFits(t, doc.Components.Schemas["Status"], strings.Replace(text, `"status":""`, `"status":"Running"`, 1))
}

// Of two patches at one moment neither is lost.
func TestPatchesAreMadeOneAfterTheOther(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	var all sync.WaitGroup
	for _, patch := range []string{`{"timeout_seconds":7}`, `{"retry_attempts":9}`, `{"cache_ttl_seconds":11}`, `{"max_cached_keys":13}`} {
		all.Go(func() {
			resp, err := s.Client().Post(s.URL+prefix+"/kms/reconfigure", "application/json", strings.NewReader(patch))
			if err == nil {
				resp.Body.Close()
			}
		})
	}
	all.Wait()
	cfg, err := s.keys.Config()
	require.NoError(t, err)
	require.Equal(t, kms.Options{Timeout: 7 * time.Second, RetryAttempts: 9, Cache: kms.CacheOptions{TTL: 11 * time.Second, MaxKeys: 13}, AllowImmediateDeletion: true}, cfg.Options)
}
