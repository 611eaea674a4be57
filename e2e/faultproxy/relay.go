package faultproxy

import (
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Relay passes bytes between clients and the first of several servers that accepts a connection, as a simple load balancer does. It
// is safe for concurrent use.
type Relay struct {
	listener net.Listener
	scheme   string
	targets  []string

	mu      sync.Mutex
	fault   StreamFault
	open    map[net.Conn]bool
	closed  bool
	running sync.WaitGroup
}

// StreamFault says what goes wrong with the bytes that a server sends on a connection. The zero value is nothing.
type StreamFault struct {
	// After is how many bytes are passed on first.
	After int64
	// Kind is what happens then.
	Kind StreamFaultKind
}

// StreamFaultKind is what happens to a connection.
type StreamFaultKind uint8

// What happens to a connection.
const (
	NoStreamFault StreamFaultKind = iota
	CutStream                     // it is closed
	FlipByte                      // one byte is changed, and the rest passes
	StallStream                   // nothing passes any more, and it stays open
)

// dialTimeout is how long a server has to accept a connection before the next one is tried.
const dialTimeout = time.Second

// StartRelay starts a relay for the servers at the given URLs, all of one scheme. It ends with the test.
func StartRelay(t testing.TB, targets ...string) *Relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{listener: listener, open: make(map[net.Conn]bool)}
	for _, target := range targets {
		at, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		r.scheme = at.Scheme
		r.targets = append(r.targets, at.Host)
	}
	r.running.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

// URL returns where the relay listens, with the scheme of the servers.
func (r *Relay) URL() string { return r.scheme + "://" + r.listener.Addr().String() }

// Fail says what goes wrong with connections that are made from now on, and ends those that there are.
func (r *Relay) Fail(fault StreamFault) {
	r.mu.Lock()
	r.fault = fault
	r.mu.Unlock()
	r.Cut()
}

// Cut closes all connections.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.open {
		conn.Close()
	}
}

func (r *Relay) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.listener.Close()
	r.Cut()
	r.running.Wait()
}

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.connect(client) })
	}
}

// connect joins a client and a server until one of them ends.
func (r *Relay) connect(client net.Conn) {
	defer client.Close()
	server, err := r.dial()
	if err != nil {
		return
	}
	defer server.Close()
	fault, ok := r.keep(client, server)
	if !ok {
		return
	}
	defer r.leave(client, server)
	var both sync.WaitGroup
	both.Go(func() {
		io.Copy(server, client)
		server.Close()
	})
	both.Go(func() {
		passOn(client, server, fault)
		client.Close()
	})
	both.Wait()
}

func (r *Relay) dial() (net.Conn, error) {
	err := errors.New("no server")
	for _, target := range r.targets {
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", target, dialTimeout); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// keep makes connections known to Cut, unless the relay is closed.
func (r *Relay) keep(conns ...net.Conn) (StreamFault, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return StreamFault{}, false
	}
	for _, conn := range conns {
		r.open[conn] = true
	}
	return r.fault, true
}

func (r *Relay) leave(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		delete(r.open, conn)
	}
}

// passOn copies what the server sends to the client, with the fault.
func passOn(client io.Writer, server io.Reader, fault StreamFault) {
	if fault.Kind == NoStreamFault {
		io.Copy(client, server)
		return
	}
	if _, err := io.CopyN(client, server, fault.After); err != nil {
		return
	}
	switch fault.Kind {
	case StallStream:
		io.Copy(io.Discard, server)
	case FlipByte:
		var b [1]byte
		if _, err := io.ReadFull(server, b[:]); err != nil {
			return
		}
		b[0] ^= 1
		client.Write(b[:])
		io.Copy(client, server)
	}
}
