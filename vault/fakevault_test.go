package vault_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/vault"
)

// A fakeVault answers as Vault does, with real cryptography and without a network, so that its time can be a bubble's. It has one Transit
// engine at transit/ and one KV engine, version 2, at secret/. Several backends may use one fakeVault, as several processes do.
type fakeVault struct {
	mu       sync.Mutex
	keys     map[string]*fakeKey
	entries  map[string][]fakeVersion // by their names in the KV engine
	requests []string                 // method and path of each

	// before, where set, may answer a request in Vault's place: with a status other than 0.
	before func(method, path string, body []byte) (status int, answer string)
	// after, where set, may change what Vault has answered.
	after func(method, path string, answer []byte) []byte
}

// A reply is a status and the data of an answer, or its errors.
type reply struct {
	status int
	data   any
	errors []string
	whole  any // in place of data, without an envelope
}

func refuse(status int, messages ...string) reply {
	return reply{status: status, errors: append([]string{}, messages...)}
}

func newFakeVault() *fakeVault {
	return &fakeVault{keys: make(map[string]*fakeKey), entries: make(map[string][]fakeVersion)}
}

// RoundTrip implements http.RoundTripper.
func (f *fakeVault) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body.Close()
	}
	path := strings.TrimPrefix(req.URL.Path, "/v1/")
	status, answer := f.answer(req.Method, path, body)
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: req,
		Body: io.NopCloser(bytes.NewReader(answer)), ContentLength: int64(len(answer)),
	}, nil
}

func (f *fakeVault) answer(method, path string, body []byte) (int, []byte) {
	f.mu.Lock()
	before, after := f.before, f.after
	f.requests = append(f.requests, method+" "+path)
	f.mu.Unlock()
	if before != nil {
		if status, answer := before(method, path, body); status != 0 {
			return status, []byte(answer)
		}
	}
	f.mu.Lock()
	r := f.route(method, path, body)
	f.mu.Unlock()
	var answer []byte
	switch {
	case r.errors != nil:
		answer, _ = json.Marshal(map[string]any{"errors": r.errors})
	case r.whole != nil:
		answer, _ = json.Marshal(r.whole)
	case r.data != nil:
		answer, _ = json.Marshal(map[string]any{"request_id": "1", "lease_id": "", "data": r.data, "warnings": nil})
	}
	if after != nil {
		answer = after(method, path, answer)
	}
	return r.status, answer
}

func (f *fakeVault) route(method, path string, body []byte) reply {
	mount, rest, _ := strings.Cut(path, "/")
	switch {
	case path == "sys/health":
		return reply{status: 200, whole: map[string]bool{"initialized": true, "sealed": false}}
	case path == "auth/token/lookup-self":
		return reply{status: 200, data: map[string]any{"ttl": 0, "renewable": false}}
	case path == "sys/internal/ui/mounts/transit":
		return reply{status: 200, data: map[string]any{"path": "transit/", "type": "transit", "options": nil}}
	case path == "sys/internal/ui/mounts/secret":
		return reply{status: 200, data: map[string]any{"path": "secret/", "type": "kv", "options": map[string]string{"version": "2"}}}
	case mount == "transit":
		return f.transit(method, rest, body)
	case mount == "secret":
		return f.kv(method, rest, body)
	}
	return refuse(404, fmt.Sprintf("no handler for route %q. route entry not found.", path))
}

// A fakeVersion is one version of an entry of the KV engine.
type fakeVersion struct {
	data json.RawMessage // nil: destroyed
}

func (f *fakeVault) kv(method, rest string, body []byte) reply {
	word, name, _ := strings.Cut(rest, "/")
	versions := f.entries[name]
	switch {
	case word == "data" && method == http.MethodGet:
		if len(versions) == 0 {
			return refuse(404)
		}
		newest := versions[len(versions)-1]
		status := 200
		if newest.data == nil {
			status = 404
		}
		return reply{status: status, data: map[string]any{"data": newest.data, "metadata": map[string]any{"version": len(versions)}}}
	case word == "data" && method == http.MethodPost:
		var req struct {
			Options struct{ CAS *int }
			Data    json.RawMessage
		}
		json.Unmarshal(body, &req)
		if req.Options.CAS != nil && *req.Options.CAS != len(versions) {
			return refuse(400, "check-and-set parameter did not match the current version")
		}
		f.entries[name] = append(versions, fakeVersion{req.Data})
		return reply{status: 200, data: map[string]any{"version": len(versions) + 1}}
	case word == "destroy" && method == http.MethodPost:
		var req struct{ Versions []int }
		json.Unmarshal(body, &req)
		for _, v := range req.Versions {
			if v >= 1 && v <= len(versions) {
				versions[v-1].data = nil
			}
		}
		return reply{status: 204}
	case word == "metadata" && method == "LIST":
		return listed(name+"/", f.entries)
	}
	return refuse(405)
}

// listed lists the names right below a prefix.
func listed[V any](prefix string, entries map[string]V) reply {
	var names []string
	for name := range entries {
		if below, ok := strings.CutPrefix(name, prefix); ok {
			first, _, deeper := strings.Cut(below, "/")
			if deeper {
				first += "/"
			}
			names = append(names, first)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return refuse(404)
	}
	return reply{status: 200, data: map[string]any{"keys": names}}
}

// put writes an entry as somebody else would.
func (f *fakeVault) put(name, data string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries[name] = append(f.entries[name], fakeVersion{json.RawMessage(data)})
}

// get returns the newest version of an entry, and its number.
func (f *fakeVault) get(name string) (data string, version int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	versions := f.entries[name]
	if len(versions) == 0 {
		return "", 0
	}
	return string(versions[len(versions)-1].data), len(versions)
}

// set changes the hooks while backends may be at work.
func (f *fakeVault) set(before func(method, path string, body []byte) (int, string), after func(method, path string, answer []byte) []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

// took returns the requests since it was called last.
func (f *fakeVault) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	requests := f.requests
	f.requests = nil
	return requests
}

func (f *fakeVault) connections() *http.Client { return &http.Client{Transport: f} }

// server returns a client of Vault's own library that reaches the fake.
func (f *fakeVault) server(t testing.TB) *api.Client {
	t.Helper()
	server, err := api.NewClient(&api.Config{Address: "https://vault.test", HttpClient: f.connections()})
	require.NoError(t, err)
	server.SetToken("a-token-of-the-tests")
	return server
}

// open returns one more backend, as one more process has it.
func (f *fakeVault) open(t testing.TB, engine vault.Engine) *vault.Backend {
	t.Helper()
	b, err := f.tryOpen(t, engine)
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

func (f *fakeVault) tryOpen(t testing.TB, engine vault.Engine) (*vault.Backend, error) {
	t.Helper()
	return vault.New(t.Context(), f.server(t), vault.Config{Engine: engine})
}

func createKey(t testing.TB, b kms.Backend, id string) kms.Key {
	t.Helper()
	resp, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
	require.NoError(t, err)
	return resp.Key
}

func describeKey(t testing.TB, b kms.Backend, id string) kms.Key {
	t.Helper()
	resp, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: id})
	require.NoError(t, err)
	return resp.Key
}

func removeKey(t testing.TB, b kms.Backend, id string) {
	t.Helper()
	_, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})
	require.NoError(t, err)
}

const secretText = "a small secret"

func encrypt(t testing.TB, b kms.Backend, id string, ec kms.EncryptionContext) []byte {
	t.Helper()
	resp, err := b.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: id, Plaintext: []byte(secretText), Context: ec})
	require.NoError(t, err)
	return resp.Ciphertext
}

// decrypt returns the error of opening what encrypt wrapped, and checks the text.
func decrypt(t testing.TB, b kms.Backend, blob []byte, ec kms.EncryptionContext) error {
	t.Helper()
	resp, err := b.Decrypt(t.Context(), &kms.DecryptRequest{Ciphertext: blob, Context: ec})
	if err != nil {
		require.Nil(t, resp)
		return err
	}
	require.Equal(t, secretText, string(resp.Plaintext.Bytes()))
	return nil
}
