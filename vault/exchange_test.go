package vault

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

// A result is what the tests here ask for.
type result struct {
	Data *struct{ Value string }
}

// serve starts a server, whose handler gets all requests but those about tokens.
func serve(t *testing.T, handler http.HandlerFunc) *client {
	t.Helper()
	server := httptest.NewServer(aroundTokens(handler))
	t.Cleanup(server.Close)
	return dial(t, Config{Address: server.URL})
}

func aroundTokens(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/"+lookupPath {
			io.WriteString(w, `{"data":{"ttl":0,"expire_time":null}}`)
			return
		}
		handler(w, r)
	}
}

// dial opens a client with a token.
func dial(t *testing.T, cfg Config) *client {
	t.Helper()
	cfg.Auth = TokenAuth{kms.NewSecret([]byte("hvs.token"))}
	require.NoError(t, cfg.Validate())
	c, err := newClient(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(c.close)
	return c
}

func TestRequests(t *testing.T) {
	var seen http.Request
	var body string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		seen, body = *r, string(raw)
		io.WriteString(w, `{"data":{"value":"v"}}`)
	})
	var out result
	require.NoError(t, c.do(t.Context(), "LIST", "secret/metadata/a.b_c-D/e", nil, &out))
	require.Equal(t, "v", out.Data.Value)
	require.Equal(t, "LIST /v1/secret/metadata/a.b_c-D/e ", seen.Method+" "+seen.RequestURI+" "+body)
	require.Equal(t, "hvs.token", seen.Header.Get("X-Vault-Token"))
	require.Equal(t, "true", seen.Header.Get("X-Vault-Request"))
	require.NotContains(t, seen.Header, "X-Vault-Namespace")

	require.NoError(t, c.do(t.Context(), "POST", "transit/encrypt/k", map[string]int{"n": 1}, nil))
	require.Equal(t, `POST /v1/transit/encrypt/k {"n":1}`, seen.Method+" "+seen.RequestURI+" "+body)
}

func TestPathsThatLeadElsewhereAreNotSent(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s was sent", r.RequestURI) })
	for _, path := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "a/../b", "a/./b", "../sys/seal", "a?b", "a#b", "a%2fb", "a%2e%2e", "a b", "a\\b", "a\x00", "a\nb", "ä", "a;b", "a:b", "a@b", "a*",
	} {
		require.ErrorIs(t, c.do(t.Context(), "GET", path, nil, nil), kms.ErrInvalidRequest, path)
	}
	require.ErrorIs(t, c.do(t.Context(), "POST", "a", make(chan int), nil), kms.ErrInvalidRequest)
}

func TestAnswersAndWhatTheyMean(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   error // nil: success
		text   string
	}{
		{"success", 200, `{"data":{"value":"v"}}`, nil, ""},
		{"success without a word", 204, ``, nil, ""},
		{"an empty success", 200, ``, kms.ErrUnavailable, "answer 200 is empty"},
		{"a success in HTML", 200, `<html>Log in</html>`, kms.ErrUnavailable, "answer 200 is none of Vault's"},
		{"half a success", 200, `{"data":{"value":`, kms.ErrUnavailable, "none of Vault's"},
		{"one and a half", 200, `{"data":{"value":"v"}}{"da`, kms.ErrUnavailable, "none of Vault's"},
		{"a success of another form", 200, `{"data":{"value":7}}`, kms.ErrUnavailable, "has not the form"},
		{"a list", 200, `[]`, kms.ErrUnavailable, "has not the form"},
		{"a wrong request", 400, `{"errors":["no"]}`, kms.ErrInvalidRequest, "vault answered 400: no"},
		{"results with a wrong request", 400, `{"data":{"value":"v"}}`, kms.ErrInvalidRequest, "vault answered 400"},
		{"a wrong request in HTML", 400, `<html>Bad request</html>`, kms.ErrUnavailable, "answer 400 is none of Vault's"},
		{"half a wrong request", 400, `{"errors":["cipher: message authenti`, kms.ErrUnavailable, "none of Vault's"},
		{"another JSON", 400, `{"message":"cipher: message authentication failed"}`, kms.ErrUnavailable, "none of Vault's"},
		{"errors of another form", 400, `{"errors":"cipher: message authentication failed"}`, kms.ErrUnavailable, "none of Vault's"},
		{"a refusal in HTML", 403, `<html>Forbidden</html>`, kms.ErrUnavailable, "none of Vault's"},
		{"a refusal", 403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`, kms.ErrPermission, "vault answered 403: 1 error occurred: * permission denied"},
		{"nothing there", 404, `{"errors":[]}`, kms.ErrKeyNotFound, "vault answered 404"},
		{"a deleted version", 404, `{"data":{"value":"v"}}`, kms.ErrKeyNotFound, "vault answered 404"},
		{"no mount", 404, `{"errors":["no handler for route"]}`, kms.ErrUnavailable, "no handler for route"},
		{"nothing there in HTML", 404, `<html>Not found</html>`, kms.ErrUnavailable, "none of Vault's"},
		{"nothing there without a word", 404, ``, kms.ErrUnavailable, "none of Vault's"},
		{"the wrong method", 405, `{"errors":["unsupported operation"]}`, kms.ErrInvalidRequest, "405"},
		{"a proxy that wants a password", 407, `<html>`, kms.ErrUnavailable, "none of Vault's"},
		{"a node that lags behind", 412, `{"errors":["required index state not present"]}`, kms.ErrUnavailable, "412"},
		{"too many requests", 429, `{"errors":["request path: rate limit quota exceeded"]}`, kms.ErrUnavailable, "429"},
		{"too many requests in HTML", 429, `<html>`, kms.ErrUnavailable, "vault answered 429"},
		{"internal error", 500, `{"errors":["internal error"]}`, kms.ErrUnavailable, "internal error"},
		{"internal error by a wrong secret id", 500, `{"errors":["invalid secret id"]}`, kms.ErrPermission, "vault answered 500: invalid secret id"},
		{"internal error by a long name", 500, `{"errors":["open /vault/k: file name too long"]}`, kms.ErrInvalidRequest, "file name too long"},
		{"a bad gateway", 502, `<html>`, kms.ErrUnavailable, "vault answered 502"},
		{"sealed", 503, `{"errors":["Vault is sealed"]}`, kms.ErrUnavailable, "Vault is sealed"},
		{"moved", 301, ``, kms.ErrUnavailable, "301"},
		{"found", 302, `{}`, kms.ErrUnavailable, "302"},
		{"not modified", 304, ``, kms.ErrUnavailable, "304"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "https://elsewhere.example/")
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			})
			var out result
			err := c.do(t.Context(), "POST", "transit/decrypt/k", nil, &out)
			if strings.Contains(tt.body, `"v"}}`) && strings.HasSuffix(tt.body, `"v"}}`) {
				require.Equal(t, "v", out.Data.Value, "results beside an error are decoded")
			}
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, tt.want)
			require.ErrorContains(t, err, tt.text)
			for _, other := range []error{kms.ErrInvalidRequest, kms.ErrPermission, kms.ErrKeyNotFound, kms.ErrUnavailable, kms.ErrDecrypt} {
				require.Equal(t, other == tt.want, errors.Is(err, other), "%v is one thing only", err)
			}
		})
	}
}

func TestAnAnswerThatNobodyLooksAtMustBeWhole(t *testing.T) {
	body := ``
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) })
	require.NoError(t, c.do(t.Context(), "POST", "a", nil, nil))
	body = `{"data"`
	require.ErrorIs(t, c.do(t.Context(), "POST", "a", nil, nil), kms.ErrUnavailable)
}

// raw serves the bytes of an answer on each connection and closes it.
func raw(t *testing.T, answers ...string) (c *client, sent *atomic.Int64) {
	t.Helper()
	sent = new(atomic.Int64)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := sent.Add(1)
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		buf.WriteString(answers[min(int(n), len(answers))-1])
		buf.Flush()
	}), sent
}

func TestAnswersThatAreCutOff(t *testing.T) {
	tests := map[string]string{
		"nothing at all":                 "",
		"no header":                      "HTTP/1.1 200",
		"half a header":                  "HTTP/1.1 200 OK\r\nContent-Len",
		"no body":                        "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n",
		"half a body":                    "HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n{\"data\":{\"value\":\"v\"}}",
		"half a chunk":                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n{\"data\":",
		"no last chunk":                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n{\"data\":{\"value\":\"v\"}}\r\n",
		"half an error":                  "HTTP/1.1 404 Not Found\r\nContent-Length: 44\r\n\r\n{\"errors\":[]}",
		"half an error without a length": "HTTP/1.0 400 Bad Request\r\n\r\n{\"errors\":[\"cipher: mess",
		"no HTTP":                        "SSH-2.0-OpenSSH_9.9\r\n",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			c, sent := raw(t, text)
			var out result
			err := c.do(t.Context(), "POST", "transit/datakey/plaintext/k", map[string]string{"a": "b"}, &out)
			require.ErrorIs(t, err, kms.ErrUnavailable)
			require.NotErrorIs(t, err, kms.ErrKeyNotFound)
			require.NotErrorIs(t, err, kms.ErrInvalidRequest)
			require.EqualValues(t, 1, sent.Load(), "what may have been done is not sent again")
		})
	}
}

// On a connection that was used before, net/http repeats what it takes for harmless.
func TestNoMutationIsSentTwiceWhenItsAnswerIsLost(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"data\":{\"value\":\"v\"}}"
	for _, method := range []string{"POST", "PUT", "DELETE", "LIST"} {
		t.Run(method, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer listener.Close()
			var sent atomic.Int64
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						r := bufio.NewReader(conn)
						for {
							req, err := http.ReadRequest(r)
							if err != nil {
								return
							}
							io.Copy(io.Discard, req.Body)
							switch {
							case req.URL.Path == "/v1/"+lookupPath:
								fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n{\"data\":{\"ttl\":0,\"expire_time\":null}}")
								continue
							case sent.Add(1) == 1:
								fmt.Fprint(conn, whole)
								continue
							}
							return // the request has arrived, and its answer is lost
						}
					}()
				}
			}()
			c := dial(t, Config{Address: "http://" + listener.Addr().String()})
			require.NoError(t, c.do(t.Context(), method, "transit/keys/k/rotate", nil, nil))
			err = c.do(t.Context(), method, "transit/keys/k/rotate", nil, nil)
			require.ErrorIs(t, err, kms.ErrUnavailable)
			require.EqualValues(t, 2, sent.Load())
		})
	}
}

func TestALargeAnswer(t *testing.T) {
	tests := []struct {
		name     string
		size     int64
		declared int64 // -1: not
		ok       bool
	}{
		{"the largest", maxResponse, maxResponse, true},
		{"the largest, not declared", maxResponse, -1, true},
		{"a larger one", maxResponse + 1, maxResponse + 1, false},
		{"a larger one, not declared", maxResponse + 1, -1, false},
		{"more than there is", 1, 1 << 62, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := io.NopCloser(io.LimitReader(zeros{}, tt.size))
			got, err := readBody(&http.Response{ContentLength: tt.declared, Body: body})
			if tt.ok {
				require.NoError(t, err)
				require.Len(t, got, int(tt.size))
				return
			}
			require.ErrorContains(t, err, "33554432")
		})
	}
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.Copy(w, io.LimitReader(zeros{}, maxResponse+1))
	})
	err := c.do(t.Context(), "GET", "a", nil, nil)
	require.ErrorIs(t, err, kms.ErrUnavailable)
	require.ErrorContains(t, err, "answer 200 is cut off: more than 33554432 bytes")
}

// zeros are without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestALargeHeader(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 2*maxHeaderSize))
		io.WriteString(w, `{}`)
	})
	require.ErrorIs(t, c.do(t.Context(), "GET", "a", nil, nil), kms.ErrUnavailable)
}

func TestAnEmptyListOfErrorsIsNoMissingOne(t *testing.T) {
	for body, want := range map[string][]string{`{"errors":[]}`: {}, `{"data":{}}`: nil} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			io.WriteString(w, body)
		})
		e, ok := errors.AsType[*statusError](c.do(t.Context(), "GET", "a", nil, nil))
		require.True(t, ok)
		require.Equal(t, want, e.messages)
	}
}

func TestServersThatAreNotThere(t *testing.T) {
	var refuse atomic.Bool
	server := httptest.NewServer(aroundTokens(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{}`) }))
	c := dial(t, Config{Address: server.URL})
	require.NoError(t, c.do(t.Context(), "GET", "a", nil, nil))
	refuse.Store(true)
	server.Close()
	err := c.do(t.Context(), "GET", "a", nil, nil)
	require.ErrorIs(t, err, kms.ErrUnavailable)
	require.NotContains(t, err.Error(), "/v1/", "the URL is known to the caller")
	cfg := Config{Address: server.URL, Auth: TokenAuth{kms.NewSecret([]byte("t"))}}
	_, err = newClient(t.Context(), cfg)
	require.ErrorIs(t, err, kms.ErrUnavailable)
}

func TestDeadlinesAndCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, appRole())
		v.set(func() { v.delay = time.Hour })

		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		err := c.do(ctx, "GET", "a", nil, nil)
		require.ErrorIs(t, err, kms.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Second, time.Since(start))

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err = c.do(ctx, "GET", "a", nil, nil)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, kms.ErrUnavailable, "the server is not to blame")

		v.forget()
		for range 50 {
			require.ErrorIs(t, c.do(ctx, "GET", "a", nil, nil), context.Canceled)
		}
		require.Empty(t, v.requests(""), "nothing is sent for a caller who has gone")

		start = time.Now()
		err = c.do(t.Context(), "GET", "a", nil, nil)
		require.ErrorIs(t, err, kms.ErrUnavailable)
		require.Equal(t, exchangeTimeout, time.Since(start), "a caller without patience of his own does not wait for ever")
	})
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := map[string]time.Duration{
			"": 0, "0": 0, "3": 3 * time.Second, "-1": 0, "soon": 0, "1.5": 0, "9999999999999999999": 0, "9999999999": 10 * 365 * 24 * time.Hour,
			time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat): 90 * time.Second,
			time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat):       0,
		}
		for value, want := range tests {
			v := newBubbleVault()
			c := v.open(t, appRole())
			v.set(func() {
				v.intercept = func(*http.Request, string) *http.Response {
					resp := respond(429, `{"errors":["slow down"]}`)
					resp.Header.Set("Retry-After", value)
					return resp
				}
			})
			err := use(t, c)
			require.ErrorIs(t, err, kms.ErrUnavailable)
			var after interface{ RetryAfter() time.Duration }
			require.ErrorAs(t, err, &after)
			require.Equal(t, want, after.RetryAfter(), value)
		}
	})
}
