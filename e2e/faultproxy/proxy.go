package faultproxy

import (
	"bytes"
	"crypto/sha256"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Request is what a proxy has seen of a request.
type Request struct {
	Method    string
	URI       string            // the path as it was sent, with its escapes and its query
	Body      [sha256.Size]byte // the hash of the body, so that no record holds a secret
	Token     [sha256.Size]byte // the hash of the token
	Arrived   time.Time
	Forwarded bool // the server has seen it
	Status    int  // the server's answer, 0 where there was none
}

// Proxy forwards requests to a server, on the loopback interface. It is safe for concurrent use.
type Proxy struct {
	front     *httptest.Server
	transport *http.Transport
	target    string

	mu       sync.Mutex
	plan     Plan
	requests []*Request
}

// Start starts a proxy for the server at a URL such as http://127.0.0.1:8200. It ends with the test.
func Start(t testing.TB, target string) *Proxy {
	p := &Proxy{target: target, transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}, plan: Always(Fault{})}
	p.front = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	p.front.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.front.Start()
	t.Cleanup(func() {
		p.front.CloseClientConnections()
		p.front.Close()
		p.transport.CloseIdleConnections()
	})
	return p
}

// Target returns the URL of the server behind it.
func (p *Proxy) Target() string { return p.target }

// URL returns where the proxy listens.
func (p *Proxy) URL() string { return p.front.URL }

// Fail says what goes wrong from now on. Nil: nothing.
func (p *Proxy) Fail(plan Plan) {
	if plan == nil {
		plan = Always(Fault{})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// Cut closes all connections of clients.
func (p *Proxy) Cut() { p.front.CloseClientConnections() }

// Requests returns what was seen since the start or the last Forget, in the order of arrival.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := make([]Request, len(p.requests))
	for i, r := range p.requests {
		seen[i] = *r
	}
	return seen
}

// Count returns how many of the requests since the last Forget match.
func (p *Proxy) Count(match func(Request) bool) int {
	return len(slices.DeleteFunc(p.Requests(), func(r Request) bool { return !match(r) }))
}

// Forget forgets the requests that were seen.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = nil
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		abort()
	}
	seen, fault := p.record(r, body)
	if fault.Delay > 0 && !wait(r, fault.Delay) {
		abort()
	}
	switch {
	case fault.Status != 0:
		if fault.RetryAfter != "" {
			w.Header().Set("Retry-After", fault.RetryAfter)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(fault.Status)
		io.WriteString(w, `{"errors":["made by a test"]}`)
	case fault.Drop == BeforeForward:
		abort()
	default:
		p.forward(w, r, body, seen, fault)
	}
}

// record keeps what is seen of a request, and answers what goes wrong with it.
func (p *Proxy) record(r *http.Request, body []byte) (*Request, Fault) {
	seen := &Request{
		Method: r.Method, URI: r.RequestURI, Body: sha256.Sum256(body),
		Token: sha256.Sum256([]byte(r.Header.Get("X-Vault-Token"))), Arrived: time.Now(),
	}
	p.mu.Lock()
	p.requests = append(p.requests, seen)
	plan, copied := p.plan, *seen
	p.mu.Unlock()
	return seen, plan(copied)
}

// wait waits, and reports whether the client did so too.
func wait(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// forward asks the server, whatever becomes of the client, and passes on what the fault leaves of the answer.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, body []byte, seen *Request, fault Fault) {
	status, header, answer, err := p.ask(r, body, seen)
	if err != nil || fault.Drop == AfterForward {
		abort()
	}
	for name, values := range header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	if fault.Corrupt && len(answer) > 0 {
		answer[len(answer)/2] = 0
	}
	w.WriteHeader(status)
	if fault.Truncate && len(answer) > 0 {
		w.Write(answer[:len(answer)/2])
		http.NewResponseController(w).Flush()
		abort()
	}
	w.Write(answer)
}

func (p *Proxy) ask(r *http.Request, body []byte, seen *Request) (int, http.Header, []byte, error) {
	// The URI is passed on as it is: a client's escapes are what a test wants to see.
	out, err := http.NewRequest(r.Method, p.target+r.RequestURI, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	out.Header = r.Header.Clone()
	p.note(func() { seen.Forwarded = true })
	resp, err := p.transport.RoundTrip(out)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	p.note(func() { seen.Status = resp.StatusCode })
	return resp.StatusCode, resp.Header, answer, err
}

func (p *Proxy) note(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}
