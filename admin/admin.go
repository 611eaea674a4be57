// Package admin serves the administration of a [kms.ServiceManager] over HTTP: its configuration, its state, and its keys.
//
// A server mounts the handler under a prefix of its own, behind its own authentication:
//
//	mux.Handle("/minio/admin/v3/", http.StripPrefix("/minio/admin/v3", admin.New(&keys, admin.Options{
//		Decoders:  backend.Standard(),
//		Authorize: mayAdminister,
//	})))
//
// docs/HTTP-API.md describes every route, and GET /kms/openapi.json answers the same for machines. The package links no backend: what can be configured is what
// the Decoders know.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/objectkms/kms"
)

// Options are the settings of the handler. The zero value refuses every call.
type Options struct {
	// Decoders read configurations, as those of package backend do. Without them configure and reconfigure are ErrUnsupported.
	Decoders Decoders
	// Authorize is asked before anything is done or answered. Where it is nil, or returns an error, the answer is 403 and does not say why. The server has
	// authenticated the caller before, and has put the name into the request's context with [kms.WithPrincipal].
	Authorize func(r *http.Request, call Call) error
	// Audit, if set, is called with a record of every request, also of those that were refused, before the answer is sent. It runs in the goroutine of
	// the request and must be safe for concurrent use. Operations on keys are audited by the ServiceManager's own [kms.AuditSink] besides.
	Audit func(ctx context.Context, record Record)
	// PlaintextDataKeys permits generate-data-key to answer data keys in the clear. Programs take them from the KeyService, and people have no use for them.
	PlaintextDataKeys bool
}

// Decoders turn documents into configurations and back into what may be shown of them. [github.com/objectkms/kms/backend.Decoders] are such.
type Decoders interface {
	// ParseConfig reads a whole configuration. It does not keep doc, which is overwritten afterwards, as patch is.
	ParseConfig(doc []byte) (kms.Config, error)
	// Merge puts a partial update onto a configuration, which may be the zero Config. It does not keep patch. What it returns shares no secret with running that
	// Destroy would wipe.
	Merge(running kms.Config, patch []byte) (kms.Config, error)
	// Summary describes a configuration without its secrets. The result is overwritten when it has been sent.
	Summary(cfg kms.Config) (json.RawMessage, error)
	// Destroy wipes the secrets of a configuration that was not taken.
	Destroy(cfg kms.Config)
}

// Call is what somebody wants to do.
type Call struct {
	Operation Operation
	KeyID     string // the key that it is about; empty for calls on no single key, for the default key, and where the request is malformed
	Force     bool   // the safeguards of a change of configuration are off, or a key is deleted at once
}

// Record is one request that was answered. It holds nothing secret.
type Record struct {
	Call      Call
	Principal string // of the request's context: see kms.WithPrincipal
	RequestID string // of the request's context: see kms.WithRequestID
	Method    string // of HTTP
	Time      time.Time
	Duration  time.Duration
	Status    int   // of the response
	Err       error // why it is not a success; more than the caller is told
}

// New returns the handler for a ServiceManager. Its paths begin with /kms/. It is safe for concurrent use.
func New(s *kms.ServiceManager, opts Options) http.Handler {
	h := &handler{service: s, opts: opts, mux: http.NewServeMux(), changing: make(chan struct{}, 1)}
	for _, route := range routes() {
		h.mux.HandleFunc(route.method+" "+route.path, func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, route) })
	}
	return h
}

type handler struct {
	service  *kms.ServiceManager
	opts     Options
	mux      *http.ServeMux
	changing chan struct{} // holds a token while the configuration is being changed
}

// ServeHTTP answers requests that no route is for, since the mux would do so in plain text, and with redirects that know nothing of a prefix.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/") || path.Clean(r.URL.Path) != r.URL.Path || r.Method == http.MethodConnect {
		h.refuse(w, r, errNoRoute)
		return
	}
	if h.routed(r, r.Method) {
		h.mux.ServeHTTP(w, r)
		return
	}
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		if h.routed(r, method) {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		h.refuse(w, r, errNoRoute)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	h.refuse(w, r, errMethod)
}

// routed reports whether there is a route for the path of a request with a method.
func (h *handler) routed(r *http.Request, method string) bool {
	_, pattern := h.mux.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host})
	return pattern != ""
}

// refuse answers what is no call.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	c := &call{handler: h, request: r, start: time.Now()}
	if denied := c.authorize(); denied != nil {
		err = denied
	}
	c.answer(w, nil, err)
}

// serve answers one call.
func (h *handler) serve(w http.ResponseWriter, r *http.Request, route route) {
	c := &call{handler: h, request: r, start: time.Now(), Call: Call{Operation: route.operation}}
	defer c.wipe()
	run, err := c.parse(w, route)
	// A caller who may do nothing is not told what is wrong with the request either.
	if denied := c.authorize(); denied != nil {
		run, err = nil, denied
	}
	var body []byte
	if err == nil {
		body, err = run(r.Context())
	}
	defer clear(body)
	c.answer(w, body, err)
}

// A call is one request under way.
type call struct {
	*handler
	Call
	request *http.Request
	start   time.Time
	body    []byte
	secret  *kms.Secret
}

// A job is what a call does, once it is allowed. It returns the body of the answer, empty for none.
type job func(ctx context.Context) ([]byte, error)

func (c *call) parse(w http.ResponseWriter, route route) (job, error) {
	if c.opts.Authorize == nil {
		return nil, nil // nothing will be done
	}
	if err := c.read(w, route.most); err != nil {
		return nil, err
	}
	return route.parse(c)
}

func (c *call) authorize() error {
	if c.opts.Authorize == nil {
		return denied(errors.New("nobody is allowed anything: Options.Authorize is not set"))
	}
	if err := c.opts.Authorize(c.request, c.Call); err != nil {
		return denied(err)
	}
	return nil
}

func (c *call) wipe() {
	clear(c.body)
	c.secret.Destroy()
}

// answer sends the answer and writes the audit record.
func (c *call) answer(w http.ResponseWriter, body []byte, err error) {
	status := http.StatusOK
	switch {
	case err != nil:
		status, body = errorAnswer(err)
	case len(body) == 0:
		status = http.StatusNoContent
	}
	if c.opts.Audit != nil {
		ctx := c.request.Context()
		c.opts.Audit(ctx, Record{
			Call: c.Call, Principal: kms.PrincipalOf(ctx), RequestID: kms.RequestIDOf(ctx), Method: c.request.Method,
			Time: c.start, Duration: time.Since(c.start), Status: status, Err: err,
		})
	}
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if len(body) > 0 {
		header.Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller has gone, and nothing is left to be done
}
