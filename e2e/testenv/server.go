package testenv

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// Storage is where a server keeps its data.
type Storage string

// The kinds of storage of one server. A cluster has its own.
const (
	InMemory Storage = "inmem" // lost when the server ends
	File     Storage = "file"  // survives a restart

	raft Storage = "raft"
)

// ServerOptions says how a server runs.
type ServerOptions struct {
	Storage Storage    // empty: InMemory
	TLS     *Authority // makes the server's certificate; nil: plain HTTP
}

// Server is a real Vault server on the loopback interface, which this process has started. It is not safe for concurrent use, but its
// API is. It ends with the test; where the test has failed, the end of its log is shown.
type Server struct {
	binary string
	dir    string
	args   []string
	ca     string // PEM file; empty without TLS

	process *process
	url     string
	keys    secrets
}

// secrets are what a server's initialization has given.
type secrets struct{ unseal, root string }

// StartServer starts, initializes and unseals a server.
func StartServer(t testing.TB, opts ServerOptions) *Server {
	t.Helper()
	if opts.Storage == "" {
		opts.Storage = InMemory
	}
	s := newServer(t, opts, opts.Storage)
	s.start(t, "127.0.0.1:0")
	s.initialize(t)
	s.Unseal(t)
	return s
}

// newServer prepares a server with a directory of its own.
func newServer(t testing.TB, opts ServerOptions, storage Storage, args ...string) *Server {
	t.Helper()
	s := &Server{binary: serverBinary(t), dir: t.TempDir(), args: append(args, "-storage", string(storage))}
	if storage != InMemory {
		data := filepath.Join(s.dir, "data")
		must(t, os.Mkdir(data, 0o700), "making the data directory")
		s.args = append(s.args, "-path", data)
	}
	if opts.TLS != nil {
		pair := opts.TLS.Issue(t, "server")
		s.ca = opts.TLS.File
		s.args = append(s.args, "-tls-cert", pair.CertFile, "-tls-key", pair.KeyFile)
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", s.url, tail(filepath.Join(s.dir, "log")))
		}
	})
	return s
}

func (s *Server) start(t testing.TB, listen string) {
	t.Helper()
	var err error
	s.process, s.url, err = startProcess(t, s.binary, s.dir, append(s.args, "-listen", listen)...)
	must(t, err, "starting a server")
}

func (s *Server) initialize(t testing.TB) {
	t.Helper()
	init, err := s.client(t, "").Sys().InitWithContext(t.Context(), &api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	must(t, err, "initializing a server")
	s.keys = secrets{unseal: init.Keys[0], root: init.RootToken}
}

// URL returns where the server's API is. It stays the same over restarts.
func (s *Server) URL() string { return s.url }

// RootToken returns the token that may do everything.
func (s *Server) RootToken() string { return s.keys.root }

// CAFile returns the PEM file of the authority of the server's certificate, empty without TLS.
func (s *Server) CAFile() string { return s.ca }

// Client returns a client with the root token. It is for the test's own requests, and repeats none.
func (s *Server) Client(t testing.TB) *api.Client {
	t.Helper()
	return s.client(t, s.keys.root)
}

func (s *Server) client(t testing.TB, token string) *api.Client {
	t.Helper()
	return newClient(t, s.url, s.ca, token)
}

// Seal seals the server: it forgets its root key, and answers 503 to everything.
func (s *Server) Seal(t testing.TB) {
	t.Helper()
	must(t, s.Client(t).Sys().SealWithContext(t.Context()), "sealing a server")
}

// Unseal unseals the server and waits until it is active.
func (s *Server) Unseal(t testing.TB) {
	t.Helper()
	s.unseal(t)
	s.waitForHealth(t, api.HealthResponse{Initialized: true})
}

func (s *Server) unseal(t testing.TB) {
	t.Helper()
	client := s.client(t, "")
	eventually(t, "unsealing a server", func(ctx context.Context) error {
		status, err := client.Sys().UnsealWithContext(ctx, s.keys.unseal)
		if err == nil && status.Sealed {
			err = errors.New("it is still sealed")
		}
		return err
	})
}

// waitForHealth waits until the server says of itself that it is initialized, sealed and a standby, or not, as want has it.
func (s *Server) waitForHealth(t testing.TB, want api.HealthResponse) {
	t.Helper()
	client := s.client(t, "")
	eventually(t, "waiting for a server's health", func(ctx context.Context) error {
		got, err := client.Sys().HealthWithContext(ctx)
		if err != nil {
			return err
		}
		if got.Initialized != want.Initialized || got.Sealed != want.Sealed || got.Standby != want.Standby {
			return errors.New("it is not what it should be")
		}
		return nil
	})
}

// Kill ends the server as kill -9 does. A server that has ended stays ended.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.kill()
	}
}

// Start starts a server that was killed, at the URL that it had. It is sealed.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	at, err := url.Parse(s.url)
	must(t, err, "parsing the server's URL")
	s.start(t, at.Host)
}

// eventually tries until it works, for as long as a busy machine may need.
func eventually(t testing.TB, doing string, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("testenv: %s: %v", doing, err)
		case <-time.After(pollInterval):
		}
	}
}
