package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
)

func TestAConnectionLastsAsLongAsSomethingMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		c := &conn{Conn: server, timeout: time.Minute}
		defer c.Close()
		var b [1]byte
		for _, move := range []struct{ client, server func([]byte) (int, error) }{{client.Write, c.Read}, {client.Read, c.Write}} {
			for range 100 {
				go func() {
					time.Sleep(59 * time.Second)
					move.client(b[:])
				}()
				_, err := move.server(b[:])
				require.NoError(t, err)
				synctest.Wait()
			}
			_, err := move.server(b[:])
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		}
	})
}

func TestDeadlinesOfAConnectionHoldToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		c := &conn{Conn: server, timeout: time.Minute}
		defer c.Close()
		waits := func(do func([]byte) (int, error)) time.Duration {
			start := time.Now()
			_, err := do(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			return time.Since(start)
		}
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		require.Equal(t, time.Second, waits(c.Read))
		require.Equal(t, time.Minute, waits(c.Write))
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Hour)))
		require.Equal(t, time.Minute, waits(c.Read))
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
		require.Equal(t, time.Second, waits(c.Write))
		require.NoError(t, c.SetDeadline(time.Time{}))
		require.Equal(t, time.Minute, waits(c.Read))
		require.Equal(t, time.Minute, waits(c.Write))

		go func() {
			time.Sleep(time.Second)
			c.SetReadDeadline(time.Now())
		}()
		require.Equal(t, time.Second, waits(c.Read), "which had begun")
	})
}

func TestABodyThatStopsIsATimeout(t *testing.T) {
	for err, want := range map[error]error{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}: errRequestTimeout, net.ErrClosed: net.ErrClosed} {
		b := hashed(iotest.ErrReader(err), 1, "", "")
		_, err := b.Read(make([]byte, 1))
		require.ErrorIs(t, err, want)
	}
}

// failing is a listener that has a connection behind some errors.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errs) == 0 {
		server, client := net.Pipe()
		return server, client.Close()
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, err
}

func TestAServerWithoutDescriptorsGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listener{&failing{errs: []error{&net.OpError{Err: os.NewSyscallError("accept4", syscall.EMFILE)}, syscall.ENFILE}}, time.Minute}
		c, err := l.Accept()
		require.NoError(t, err)
		require.NoError(t, c.Close())
		l = &listener{&failing{errs: []error{syscall.EMFILE, net.ErrClosed}}, time.Minute}
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// plain is a server without encryption, with a bucket in it.
type plain struct {
	*s3.Client
	dir, address string
}

func startPlain(t *testing.T, timeout time.Duration) plain {
	t.Helper()
	t.Chdir(t.TempDir()) // the gateway changes it
	var s Settings
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	s.AddTo(flags)
	require.NoError(t, s.Parse(flags, []string{"-dir", t.TempDir(), "-listen", "127.0.0.1:0", "-encryption", "off"}))
	s.idleTimeout = timeout
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, s, nil, http.NotFoundHandler(), "key", write)
		write.Close()
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-served)
	})
	lines := bufio.NewScanner(read)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "ready https://") {
	}
	var creds credentials
	text, err := os.ReadFile(filepath.Join(s.Dir, "credentials.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &creds))
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	address := strings.TrimPrefix(lines.Text(), "ready https://")
	p := plain{dir: s.Dir, address: address, Client: s3.New(s3.Options{
		BaseEndpoint: aws.String("https://" + address), Region: s.region, UsePathStyle: true, HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: creds.AccessKey, SecretAccessKey: creds.SecretKey}, nil
		}),
	})}
	_, err = p.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("photos")})
	require.NoError(t, err)
	return p
}

// dial connects, and sends something.
func (p plain) dial(t *testing.T, text string) net.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", p.address, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	return c
}

// head returns the first lines of a request that a URL is signed for.
func head(t *testing.T, method, signed string) string {
	t.Helper()
	u, err := url.Parse(signed)
	require.NoError(t, err)
	return method + " " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\n"
}

func TestClientsThatDoNothingAreLetGo(t *testing.T) {
	const timeout, size = 5 * time.Second, 64 << 20 // a busy machine pauses for less
	p := startPlain(t, timeout)
	big := filepath.Join(p.dir, "objects", "photos", "big")
	require.NoError(t, os.WriteFile(big, nil, 0o600))
	require.NoError(t, os.Truncate(big, size))
	presign := s3.NewPresignClient(p.Client)
	put, err := presign.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("cat")})
	require.NoError(t, err)
	get, err := presign.PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("photos"), Key: aws.String("big")})
	require.NoError(t, err)
	body := "Content-Length: 20000\r\n\r\n" + strings.Repeat("x", 10_000)

	slow := p.dial(t, head(t, http.MethodPut, put.URL)+body)
	read := func(c net.Conn) error {
		_, err := io.Copy(io.Discard, c)
		return err
	}
	readAnswer := func(c net.Conn) error {
		answer, err := io.ReadAll(c)
		if err == nil && !strings.Contains(string(answer), "<Code>RequestTimeout</Code>") {
			err = fmt.Errorf("%w: the answer is %q", os.ErrDeadlineExceeded, answer)
		}
		return err
	}
	write := func(c net.Conn) error {
		for {
			if _, err := c.Write(make([]byte, 10_000)); err != nil {
				return err
			}
		}
	}
	trickle := func(c net.Conn) error {
		for range time.Tick(timeout / 10) {
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
		}
		return nil
	}
	silent, err := net.Dial("tcp", p.address)
	require.NoError(t, err)
	defer silent.Close()
	require.NoError(t, silent.SetDeadline(time.Now().Add(time.Minute)))
	stalled := []struct {
		name string
		conn net.Conn
		do   func(net.Conn) error
	}{
		{"a handshake", silent, read},
		{"no request", p.dial(t, ""), readAnswer},
		{"headers", p.dial(t, "GET / HTTP/1.1\r\nHost: x\r\nX-A"), readAnswer},
		{"headers that go on and on", p.dial(t, "GET / HTTP/1.1\r\nHost: x\r\nX-A"), trickle},
		{"no second request", p.dial(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), read},
		{"a body", p.dial(t, head(t, http.MethodPut, put.URL)+body), read},
		{"an answer that is not read", p.dial(t, head(t, http.MethodGet, get.URL)+"\r\n"), write},
	}
	ended := make(chan error, len(stalled))
	for _, s := range stalled {
		go func() {
			if err := s.do(s.conn); errors.Is(err, os.ErrDeadlineExceeded) {
				ended <- fmt.Errorf("%s: %w", s.name, err)
				return
			}
			ended <- nil
		}()
	}
	sent, left := 0, len(stalled)
	tick := time.NewTicker(timeout / 10)
	defer tick.Stop()
	for left > 0 {
		select {
		case err := <-ended:
			require.NoError(t, err)
			left--
		case <-tick.C:
			_, err := slow.Write([]byte("x"))
			require.NoError(t, err)
			sent++
		}
	}
	_, err = slow.Write(make([]byte, 10_000-sent))
	require.NoError(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(slow), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.StatusCode, "of a body that went on")
}
