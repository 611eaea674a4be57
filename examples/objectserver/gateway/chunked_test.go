package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/gofiber/fiber/v3"
	"github.com/stretchr/testify/require"
	"github.com/versity/versitygw/s3api/utils"
)

// serveMeow serves a handler that reads four bytes of each body, and returns a connection to it.
func serveMeow(t *testing.T, middleware ...any) net.Conn {
	t.Helper()
	app := fiber.New(fiber.Config{StreamRequestBody: true})
	for _, m := range middleware {
		app.Use(m)
	}
	app.Put("/", func(ctx fiber.Ctx) error {
		body, ok := utils.ContextKeyBodyReader.Get(ctx).(io.Reader)
		if !ok {
			body = ctx.Request().BodyStream()
		}
		meow := make([]byte, 4)
		if _, err := io.ReadFull(body, meow); err != nil {
			return err
		}
		return ctx.Send(meow)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- app.Listener(l, fiber.ListenConfig{DisableStartupMessage: true}) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() {
		conn.Close()
		require.NoError(t, app.Shutdown())
		require.NoError(t, <-served)
	})
	return conn
}

// sendChunks sends a request whose last chunk comes late, and returns the answer.
func sendChunks(t *testing.T, conn net.Conn, answers *bufio.Reader, rest string) *http.Response {
	t.Helper()
	_, err := io.WriteString(conn, "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmeow\r\n")
	require.NoError(t, err)
	_, err = io.WriteString(conn, rest)
	require.NoError(t, err)
	answer, err := http.ReadResponse(answers, nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, answer.Body)
	require.NoError(t, err)
	return answer
}

func TestTheEndOfChunksIsNotTheNextRequest(t *testing.T) {
	const end = "0\r\n\r\n"
	conn := serveMeow(t, restOfChunks)
	answers := bufio.NewReader(conn)
	for range 20 {
		require.Equal(t, http.StatusOK, sendChunks(t, conn, answers, end).StatusCode)
		require.Equal(t, http.StatusOK, sendChunks(t, conn, answers, "4\r\npurr\r\n"+end).StatusCode)
	}

	conn = serveMeow(t)
	answers = bufio.NewReader(conn)
	require.Equal(t, http.StatusOK, sendChunks(t, conn, answers, end).StatusCode)
	without, err := http.ReadResponse(answers, nil) // to no request
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, without.StatusCode)
}

func TestAConnectionIsClosedWhereTheEndIsNotFound(t *testing.T) {
	conn := serveMeow(t, restOfChunks)
	require.True(t, sendChunks(t, conn, bufio.NewReader(conn), "nonsense\r\n").Close)
}
