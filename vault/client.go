package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/retry"
)

// A client sends requests to one server, with the token of its session. It is safe for concurrent use.
//
// It repeats a request only where Vault has refused its token, and so has done nothing, after there is a new one. All else
// is for the Manager to repeat, who knows what changes keys.
type client struct {
	http    *http.Client
	base    *url.URL    // in front of /v1
	header  http.Header // of each request; without a token
	timeout time.Duration
	plain   bool          // http:// may lead to other machines
	slots   chan struct{} // one element for each request under way
	breaker *retry.Breaker
	session *session
	counts  *counters
	release func() // of the connections

	closing context.Context // ends when close begins
	end     context.CancelFunc
	mu      sync.Mutex // guards closed, and calls against growing after it
	closed  bool
	calls   sync.WaitGroup
}

const (
	breakerFailures = 5
	breakerPause    = time.Second // one probe a second from each process is no load
	exchangeTimeout = 60 * time.Second
)

// newClient connects to the server of cfg, which must be valid, and logs in. Whoever has no client of its own to give calls this.
func newClient(ctx context.Context, cfg Config) (*client, error) {
	cfg = cfg.withDefaults()
	transport, err := newTransport(cfg)
	if err != nil {
		return nil, err
	}
	address, err := parseAddress(cfg.Address)
	if err != nil {
		return nil, err
	}
	warn(cfg, address)
	header := http.Header{requestHeader: {"true"}}
	if cfg.Namespace != "" {
		header.Set(namespaceHeader, cfg.Namespace)
	}
	c := assemble(cfg, &http.Client{Transport: transport}, address, header)
	c.release = transport.CloseIdleConnections
	return c.start(ctx, cfg.Auth)
}

// warn logs what makes the way to the server unsafe.
func warn(cfg Config, address *url.URL) {
	if cfg.TLS.InsecureSkipVerify {
		cfg.Logger.Warn("vault: certificates are not checked: everybody on the path can be the server", "host", address.Host)
	}
	if address.Scheme != "https" && !isLoopback(address.Hostname()) {
		cfg.Logger.Warn("vault: tokens and data keys cross the network in clear", "host", address.Host)
	}
}

// newClientFrom is newClient over a client of the caller's, whose address, connections, headers and token are used; it is not changed.
func newClientFrom(ctx context.Context, server *api.Client, cfg Config) (*client, error) {
	if server == nil {
		return nil, fmt.Errorf("%w: client is nil", kms.ErrInvalidConfig)
	}
	address, err := url.Parse(server.Address())
	if err != nil {
		return nil, fmt.Errorf("%w: address of the client is no URL", kms.ErrInvalidConfig)
	}
	if err := cfg.validateFor(address); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	warn(cfg, address)
	header := server.Headers()
	header.Del(tokenHeader)
	header.Set(requestHeader, "true")
	if cfg.Namespace != "" {
		header.Set(namespaceHeader, cfg.Namespace)
	}
	conf := server.CloneConfig()
	c := assemble(cfg, conf.HttpClient, address, header)
	if conf.Timeout > 0 {
		c.timeout = conf.Timeout
	}
	if cfg.Auth == nil {
		return c.start(ctx, clientAuth{server})
	}
	return c.start(ctx, cfg.Auth)
}

// assemble returns a client that has no session yet. It takes connections over, which is a copy.
func assemble(cfg Config, connections *http.Client, address *url.URL, header http.Header) *client {
	connections.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &client{
		http:    connections,
		base:    address.JoinPath("/"),
		header:  header,
		timeout: exchangeTimeout,
		plain:   cfg.AllowPlainHTTP,
		slots:   make(chan struct{}, cfg.MaxConcurrent),
		breaker: retry.NewBreaker(breakerFailures, breakerPause),
		counts:  &counters{},
		release: func() {},
	}
	c.closing, c.end = context.WithCancel(context.Background())
	c.session = newSession(c.closing, c.ask, cfg.Logger, c.counts)
	return c
}

// start logs in for the first time.
func (c *client) start(ctx context.Context, auth Auth) (*client, error) {
	if err := c.session.open(ctx, auth); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// close ends the requests that are under way, which answer ErrClosed, and the session, and returns when nothing of them runs any more.
// It may be called again.
func (c *client) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.calls.Wait()
	c.session.close()
	c.release()
}

// do sends one request and decodes the JSON of a successful response into out, unless out is nil. body is sent as JSON unless nil. path has no
// leading slash and no /v1. A response of any other status than 200 to 299 is a *statusError, classified; what it held is decoded into out too where
// it is JSON with data. A response that is not whole or not what Vault answers is ErrUnavailable, and so is an empty one of status 200 where out is given; 204
// leaves out as it is.
func (c *client) do(ctx context.Context, method, path string, body, out any) error {
	req, err := newRequest(method, path, body)
	if err != nil {
		return err
	}
	ctx, leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	answer, err := c.authorized(ctx, req)
	if err != nil {
		return c.ended(ctx, err)
	}
	defer answer.wipe()
	return answer.decode(out)
}

// enter lets a call in, unless the client is closed. Its context also ends when close begins.
func (c *client) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, kms.ErrClosed
	}
	c.calls.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.closing, func() { cancel(kms.ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		c.calls.Done()
	}, nil
}

// ended makes what close has interrupted ErrClosed.
func (c *client) ended(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), kms.ErrClosed) {
		return kms.ErrClosed
	}
	return err
}

// authorized sends a request with the session's token, when there is a slot for it, and once more where the token had died. The token is taken last:
// who waits for a slot must not come with one that has died meanwhile.
func (c *client) authorized(ctx context.Context, req *request) (*answer, error) {
	if err := c.acquire(ctx); err != nil {
		return nil, err
	}
	defer c.releaseSlot()
	for repeated := false; ; repeated = true {
		token, generation, err := c.session.bearer(ctx)
		if err != nil {
			return nil, err
		}
		answer, err := c.guarded(ctx, req.with(token))
		if err != nil || !answer.refused() || repeated {
			return answer, err
		}
		replaced, err := c.session.refused(ctx, generation, req.method+" "+req.path)
		if err != nil || !replaced {
			return answer, err
		}
	}
}
