package faultproxy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/objectkms/kms/e2e/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const answer = `{"answer":"whole"}`

// newServer starts a server that counts what reaches it.
func newServer(t *testing.T) (url string, served *atomic.Int64) {
	served = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s.URL, served
}

// post sends one request on a connection of its own.
func post(url string) (status int, header http.Header, body string, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Post(url+"/v1/a%2Fb?c", "text/plain", strings.NewReader("body"))
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(read), err
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name    string
		fault   faultproxy.Fault
		status  int // 0: no answer
		body    string
		err     error // of the body
		arrives bool
	}{
		{"none", faultproxy.Fault{}, 200, answer, nil, true},
		{"delay", faultproxy.Fault{Delay: time.Millisecond}, 200, answer, nil, true},
		{"status", faultproxy.Fault{Status: 429, RetryAfter: "7"}, 429, `{"errors":["made by a test"]}`, nil, false},
		{"drop before", faultproxy.Fault{Drop: faultproxy.BeforeForward}, 0, "", io.EOF, false},
		{"drop after", faultproxy.Fault{Drop: faultproxy.AfterForward}, 0, "", io.EOF, true},
		{"truncate", faultproxy.Fault{Truncate: true}, 200, answer[:len(answer)/2], io.ErrUnexpectedEOF, true},
		{"corrupt", faultproxy.Fault{Corrupt: true}, 200, `{"answer"` + "\x00" + `"whole"}`, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, served := newServer(t)
			p := faultproxy.Start(t, url)
			p.Fail(faultproxy.Always(tt.fault))
			status, header, body, err := post(p.URL())
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.status, status)
			require.Equal(t, tt.body, body)
			require.Equal(t, tt.fault.RetryAfter, header.Get("Retry-After"))
			require.Equal(t, tt.arrives, served.Load() == 1)
			seen := p.Requests()
			require.Len(t, seen, 1)
			require.Equal(t, "/v1/a%2Fb?c", seen[0].URI)
			require.Equal(t, tt.arrives, seen[0].Forwarded)

			p.Fail(nil)
			p.Forget()
			_, _, body, err = post(p.URL())
			require.NoError(t, err)
			require.Equal(t, answer, body)
			require.Len(t, p.Requests(), 1)
		})
	}
}

func TestPlans(t *testing.T) {
	fault := faultproxy.Fault{Status: 500}
	statuses := func(plan faultproxy.Plan) (all []int) {
		for range 5 {
			all = append(all, plan(faultproxy.Request{Method: "GET"}).Status)
		}
		return all
	}
	require.Equal(t, []int{500, 500, 500, 500, 500}, statuses(faultproxy.Always(fault)))
	require.Equal(t, []int{500, 500, 0, 0, 0}, statuses(faultproxy.First(2, fault)))
	require.Equal(t, []int{500, 500, 0, 500, 500}, statuses(faultproxy.Bursts(2, 1, fault)))
	method := func(name string) func(faultproxy.Request) bool {
		return func(r faultproxy.Request) bool { return r.Method == name }
	}
	require.Equal(t, []int{500, 0, 0, 0, 0}, statuses(faultproxy.Only(method("GET"), faultproxy.First(1, fault))))
	require.Equal(t, []int{0, 0, 0, 0, 0}, statuses(faultproxy.Only(method("PUT"), faultproxy.Always(fault))))
}

func TestRelay(t *testing.T) {
	url, served := newServer(t)
	gone := httptest.NewServer(nil)
	gone.Close()
	r := faultproxy.StartRelay(t, gone.URL, url)
	_, _, body, err := post(r.URL())
	require.NoError(t, err)
	require.Equal(t, answer, body)

	for _, kind := range []faultproxy.StreamFaultKind{faultproxy.CutStream, faultproxy.FlipByte} {
		r.Fail(faultproxy.StreamFault{Kind: kind})
		_, _, _, err = post(r.URL())
		require.Error(t, err)
	}
	r.Fail(faultproxy.StreamFault{Kind: faultproxy.StallStream, After: 20})
	before, failed := served.Load(), make(chan error, 1)
	go func() {
		_, _, _, err := post(r.URL())
		failed <- err
	}()
	require.Eventually(t, func() bool { return served.Load() > before }, 10*time.Second, time.Millisecond)
	r.Cut()
	require.Error(t, <-failed)
	r.Fail(faultproxy.StreamFault{})
	_, _, body, err = post(r.URL())
	require.NoError(t, err)
	require.Equal(t, answer, body)
}
