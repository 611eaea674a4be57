package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3err"
	"golang.org/x/net/netutil"
)

const (
	// maxConnections is how many connections there are at once. More of them wait, where versitygw would answer them, and wait for a handshake.
	maxConnections = 10 * maxRequests
	// idleTimeout is how long a handshake or the headers of a request may take, and how long a client may neither send nor take anything.
	idleTimeout = time.Minute
	// noTimeout is one that is never reached, where 0 would be another.
	noTimeout = 100 * 365 * 24 * time.Hour
)

// listen returns what accepts connections. versitygw would listen itself, without any limit on how long a client does nothing.
func listen(s Settings) (net.Listener, error) {
	var config *tls.Config
	if s.tls {
		certificate, err := tls.LoadX509KeyPair(filepath.Join(s.Dir, "tls", "server.pem"), filepath.Join(s.Dir, "tls", "server.key"))
		if err != nil {
			return nil, err
		}
		config = &tls.Config{Certificates: []tls.Certificate{certificate}}
	}
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return nil, err
	}
	l = netutil.LimitListener(&listener{l, s.idleTimeout}, maxConnections)
	if config != nil {
		l = tls.NewListener(l, config)
	}
	return l, nil
}

// serve serves until the context ends, and gives requests some time to end then.
func serve(ctx context.Context, server *s3api.S3ApiServer, l net.Listener, timeout time.Duration) error {
	app, err := field[*fiber.App](server, "app")
	if err != nil {
		return errors.Join(err, l.Close())
	}
	setTimeout((*app).Server(), timeout)
	served := make(chan error, 1)
	go func() { served <- (*app).Listener(l, fiber.ListenConfig{DisableStartupMessage: true}) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	if err := server.ShutDown(); err != nil {
		log.Print("requests were not ended: ", err)
	}
	l.Close() // which ShutDown does not know if it comes first
	return <-served
}

// setTimeout limits the time that handshakes and headers take. Bodies may take as long as they go on.
func setTimeout(server *fasthttp.Server, timeout time.Duration) {
	server.ReadTimeout = timeout
	server.HeaderReceived = func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
		return fasthttp.RequestConfig{ReadTimeout: noTimeout}
	}
	handle := server.ErrorHandler
	server.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			handle(ctx, err)
			return
		}
		ctx.Error(string(errRequestTimeout.XMLBody("", "")), errRequestTimeout.HTTPStatusCode)
		ctx.SetContentType(fiber.MIMEApplicationXML)
	}
}

// errRequestTimeout is for a client that does nothing for too long.
var errRequestTimeout = s3err.APIError{Code: "RequestTimeout", Description: "The client has sent nothing for too long.", HTTPStatusCode: http.StatusBadRequest}

// listener accepts connections whose clients have to go on.
type listener struct {
	net.Listener
	timeout time.Duration
}

// Accept implements net.Listener. Where there are no descriptors left it waits for some: an error would end the server.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			return &conn{Conn: c, timeout: l.timeout}, nil
		}
		if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
			return nil, err
		}
		<-time.After(100 * time.Millisecond)
	}
}

// conn fails a read or a write in which the client does nothing for too long. Deadlines hold too.
type conn struct {
	net.Conn
	timeout     time.Duration
	mu          sync.Mutex
	read, write time.Time // deadlines, or zero
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.renew(c.Conn.SetReadDeadline, &c.read); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.renew(c.Conn.SetWriteDeadline, &c.write); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// renew gives the client time again, but not behind the deadline.
func (c *conn) renew(set func(time.Time) error, deadline *time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := time.Now().Add(c.timeout)
	if !deadline.IsZero() && deadline.Before(t) {
		t = *deadline
	}
	return set(t)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(c.Conn.SetReadDeadline, &c.read, t)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(c.Conn.SetWriteDeadline, &c.write, t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) setDeadline(set func(time.Time) error, deadline *time.Time, t time.Time) error {
	c.mu.Lock()
	*deadline = t
	c.mu.Unlock()
	return c.renew(set, deadline)
}
