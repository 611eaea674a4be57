// Package server runs examples/objectserver for tests: a real S3 server in a process of its own, which encrypts with this library.
package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// logTail is how much of a server's log a failed test shows.
const logTail = 8 << 10

// Options says how a server runs. The zero value is one with a key directory and TLS.
type Options struct {
	PlainHTTP bool     // no TLS
	More      []string // further arguments
}

// Server is a running server on the loopback interface, with a data directory of its own. It ends with the test; where the test has failed, the
// end of its log is shown.
type Server struct {
	Dir string            // the data directory
	URL string            // of the S3 API; it stays the same over restarts
	Env map[string]string // what client.env has

	binary  string
	args    []string
	process *process
	log     logBuffer
	client  *http.Client
}

// Start starts a server.
func Start(t testing.TB, opts Options) *Server {
	t.Helper()
	binary, err := built()
	must(t, err, "building the server")
	s := &Server{Dir: filepath.Join(t.TempDir(), "data"), binary: binary}
	s.args = append([]string{"-dir", s.Dir}, opts.More...)
	if opts.PlainHTTP {
		s.args = append(s.args, "-tls=false")
	}
	t.Cleanup(func() {
		if s.process != nil {
			s.process.kill()
		}
		log := s.log.String()
		if strings.Contains(log, "DATA RACE") {
			t.Error("the server has found a data race")
		}
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", s.URL, log[max(0, len(log)-logTail):])
		}
	})
	s.start(t, "127.0.0.1:0")
	return s
}

func (s *Server) start(t testing.TB, listen string) {
	t.Helper()
	var err error
	s.process, err = startProcess(s.binary, &s.log, append(s.args, "-listen", listen)...)
	must(t, err, "starting the server")
	s.URL = s.process.url
	s.Env, err = readEnv(filepath.Join(s.Dir, "client.env"))
	must(t, err, "reading client.env")
	if got := s.Env["AWS_ENDPOINT_URL"]; got != s.URL {
		t.Fatalf("client.env has the endpoint %s, but the server is ready at %s", got, s.URL)
	}
}

// Terminate ends the server with SIGTERM, after which its exit code must be 0.
func (s *Server) Terminate(t testing.TB) {
	t.Helper()
	must(t, s.process.terminate(), "stopping the server")
}

// Kill ends the server as kill -9 does.
func (s *Server) Kill() { s.process.kill() }

// Restart starts a server that has ended, with the same data and the same URL.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	at, err := url.Parse(s.URL)
	must(t, err, "parsing the server's URL")
	s.client = nil
	s.start(t, at.Host)
}

// Log returns what the server has written.
func (s *Server) Log() string { return s.log.String() }

// HTTP returns a client that trusts the server.
func (s *Server) HTTP(t testing.TB) *http.Client {
	t.Helper()
	if s.client == nil {
		s.client = &http.Client{Transport: s.Transport(t)}
	}
	return s.client
}

// Transport returns a new transport that trusts the server.
func (s *Server) Transport(t testing.TB) *http.Transport {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	if ca := s.Env["AWS_CA_BUNDLE"]; ca != "" {
		pem, err := os.ReadFile(ca)
		must(t, err, "reading the server's authority")
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			t.Fatalf("%s holds no certificate", ca)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// readEnv reads a file of lines such as export NAME='value'. What the file unsets is not there anyway.
func readEnv(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	env := make(map[string]string)
	for line := range bytes.Lines(text) {
		line := strings.TrimSpace(string(line))
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "unset ") {
			continue
		}
		assignment, ok := strings.CutPrefix(line, "export ")
		name, value, found := strings.Cut(assignment, "=")
		if !ok || !found || len(value) < 2 || value[0] != '\'' || value[len(value)-1] != '\'' {
			return nil, fmt.Errorf("%s has the line %q, want export NAME='value'", file, line)
		}
		env[name] = value[1 : len(value)-1]
	}
	return env, nil
}

// must ends the test where something that it stands on does not work.
func must(t testing.TB, err error, doing string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", doing, err)
	}
}
