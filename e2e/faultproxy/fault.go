// Package faultproxy stands between a client and a server, and makes one of them or the network between them fail.
//
// A [Proxy] knows HTTP: it records every request, and can fail each of them in its own way. A [Relay] passes bytes on, also those of TLS.
package faultproxy

import (
	"net/http"
	"sync"
	"time"
)

// Fault says what goes wrong with one request. The zero value is nothing.
type Fault struct {
	// Delay passes before anything else is done, or until the client has gone.
	Delay time.Duration
	// Status is answered in place of the server, which never sees the request. 0: the server answers.
	Status int
	// RetryAfter is the header Retry-After of that answer. Empty: it has none.
	RetryAfter string
	// Drop closes the connection without an answer.
	Drop Drop
	// Truncate sends half of the answer's body and closes the connection.
	Truncate bool
	// Corrupt makes the byte in the middle of the answer's body a zero, which is in no JSON text.
	Corrupt bool
}

// Drop says when a connection is closed.
type Drop uint8

// When a connection is closed.
const (
	NoDrop        Drop = iota
	BeforeForward      // the server never sees the request
	AfterForward       // the server has done what it was asked, and nobody hears of it
)

// Plan answers what goes wrong with a request. It may be called from several goroutines at once.
type Plan func(Request) Fault

// Always makes every request fail alike.
func Always(f Fault) Plan {
	return func(Request) Fault { return f }
}

// First makes the first n requests fail alike, and no other.
func First(n int, f Fault) Plan {
	var mu sync.Mutex
	return func(Request) Fault {
		mu.Lock()
		defer mu.Unlock()
		if n--; n >= 0 {
			return f
		}
		return Fault{}
	}
}

// Bursts makes some requests fail, lets others pass, and begins again.
func Bursts(fail, pass int, f Fault) Plan {
	var mu sync.Mutex
	seen := 0
	return func(Request) Fault {
		mu.Lock()
		defer mu.Unlock()
		defer func() { seen++ }()
		if seen%(fail+pass) < fail {
			return f
		}
		return Fault{}
	}
}

// Only makes a plan for the requests that match, and lets all others pass.
func Only(match func(Request) bool, plan Plan) Plan {
	return func(r Request) Fault {
		if match(r) {
			return plan(r)
		}
		return Fault{}
	}
}

// abort ends the connection of the handler that calls it.
func abort() { panic(http.ErrAbortHandler) }
