package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// A bubbleVault answers requests about tokens as Vault does, without a network, so that its time can be a bubble's. Every other path answers 200 to a token
// that is alive. What stands below mu may be changed by a test while nothing runs.
type bubbleVault struct {
	mu        sync.Mutex
	ttl       time.Duration // of tokens that a login brings
	longest   time.Duration // of a token with all its renewals; 0: no bound
	fixed     bool          // tokens are not renewable
	silent    bool          // tokens may not ask about themselves
	secret    string        // that a login must hold; empty: no login succeeds
	denied    string        // path that a policy refuses
	delay     time.Duration // of each answer
	intercept func(req *http.Request, body string) *http.Response
	tokens    map[string]*bubbleToken
	made      int
	seen      []seenRequest
}

type bubbleToken struct {
	born, expires time.Time
}

type seenRequest struct {
	at                      time.Time
	method, path, token, ns string
	body                    string
}

const bubbleSecret = "the-secret-of-a-login"

func newBubbleVault() *bubbleVault {
	return &bubbleVault{ttl: time.Hour, secret: bubbleSecret, tokens: make(map[string]*bubbleToken)}
}

// RoundTrip implements http.RoundTripper.
func (v *bubbleVault) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body.Close()
	}
	v.mu.Lock()
	delay, intercept := v.delay, v.intercept
	v.seen = append(v.seen, seenRequest{
		at: time.Now(), method: req.Method, path: strings.TrimPrefix(req.URL.Path, "/v1/"),
		token: req.Header.Get(tokenHeader), ns: req.Header.Get(namespaceHeader), body: string(body),
	})
	v.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	if intercept != nil {
		if resp := intercept(req, string(body)); resp != nil {
			if resp.StatusCode == 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return resp, nil
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.answer(req, string(body)), nil
}

func (v *bubbleVault) answer(req *http.Request, body string) *http.Response {
	path := strings.TrimPrefix(req.URL.Path, "/v1/")
	if strings.HasSuffix(path, "/login") {
		if v.secret == "" || !strings.Contains(body, v.secret) {
			return respond(400, `{"errors":["invalid role or secret ID"]}`)
		}
		return respond(200, fmt.Sprintf(`{"auth":{"client_token":%q,"lease_duration":%d,"renewable":%v}}`, v.make(v.ttl), v.ttl/time.Second, !v.fixed))
	}
	if path == "sys/health" {
		return respond(200, `{"initialized":true,"sealed":false}`)
	}
	t := v.tokens[req.Header.Get(tokenHeader)]
	if t == nil || !t.expires.IsZero() && !time.Now().Before(t.expires) || path == v.denied || path == lookupPath && v.silent {
		return respond(403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`)
	}
	switch path {
	case lookupPath:
		if t.expires.IsZero() {
			return respond(200, `{"data":{"ttl":0,"expire_time":null,"renewable":false}}`)
		}
		return respond(200, fmt.Sprintf(`{"data":{"ttl":%d,"expire_time":"then","renewable":%v}}`, time.Until(t.expires)/time.Second, !v.fixed))
	case renewPath:
		if v.fixed {
			return respond(400, `{"errors":["lease is not renewable"]}`)
		}
		t.expires = time.Now().Add(v.ttl)
		if end := t.born.Add(v.longest); v.longest > 0 && t.expires.After(end) {
			t.expires = end
		}
		return respond(200, fmt.Sprintf(`{"auth":{"client_token":"x","lease_duration":%d,"renewable":true}}`, time.Until(t.expires)/time.Second))
	}
	return respond(200, `{"data":{"done":true}}`)
}

// make makes a token; with 0 it lives for ever. mu is held.
func (v *bubbleVault) make(ttl time.Duration) string {
	v.made++
	name := fmt.Sprintf("hvs.token-number-%d", v.made)
	v.tokens[name] = &bubbleToken{born: time.Now()}
	if ttl > 0 {
		v.tokens[name].expires = time.Now().Add(ttl)
	}
	return name
}

func (v *bubbleVault) give(ttl time.Duration) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.make(ttl)
}

// revoke kills all tokens.
func (v *bubbleVault) revoke() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.tokens)
}

// set changes what stands below mu.
func (v *bubbleVault) set(change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
}

// count returns how many requests had a path that ends so.
func (v *bubbleVault) count(suffix string) int { return len(v.requests(suffix)) }

func (v *bubbleVault) requests(suffix string) []seenRequest {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(v.seen), func(r seenRequest) bool { return !strings.HasSuffix(r.path, suffix) })
}

func (v *bubbleVault) forget() { v.set(func() { v.seen = nil }) }

// open opens a client of this Vault, and closes it at the end of the test.
func (v *bubbleVault) open(t *testing.T, auth Auth) *client {
	t.Helper()
	c, err := v.tryOpen(t, Config{Auth: auth})
	require.NoError(t, err)
	t.Cleanup(c.close)
	return c
}

func (v *bubbleVault) tryOpen(t *testing.T, cfg Config) (*client, error) {
	t.Helper()
	address := &url.URL{Scheme: "https", Host: "vault.example:8200"}
	header := http.Header{requestHeader: {"true"}}
	c := assemble(cfg.withDefaults(), &http.Client{Transport: v}, address, header)
	return c.start(t.Context(), cfg.Auth)
}

func respond(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// lost is the response that never comes.
func lost() *http.Response { return &http.Response{} }

func appRole() AppRoleAuth {
	return AppRoleAuth{RoleID: "role", SecretID: kms.NewSecret([]byte(bubbleSecret))}
}

// use makes one call.
func use(t *testing.T, c *client) error {
	t.Helper()
	var out struct{ Data struct{ Done bool } }
	err := c.do(t.Context(), http.MethodPost, "transit/datakey/plaintext/k", struct{}{}, &out)
	if err == nil {
		require.True(t, out.Data.Done)
	}
	return err
}

// A journal collects what is logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

func decoded(t *testing.T, body string) map[string]string {
	t.Helper()
	var fields map[string]string
	require.NoError(t, json.Unmarshal([]byte(body), &fields))
	return fields
}
