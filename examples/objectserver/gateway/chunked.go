package gateway

import (
	"errors"
	"io"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3api/utils"
)

// How much of a body that nobody reads is read after the answer is made, and for how long.
const (
	maxRest     = 1 << 20
	restTimeout = 2 * time.Second
)

// restOfChunks reads what the gateway leaves of bodies of the transfer encoding "chunked": it stops at the end that the signature marks, before that of the
// transfer, which would then be taken for the next request. Some clients send so over TLS. Of a body that is refused it reads what comes soon, so that the client
// is there to read the answer.
func restOfChunks(ctx fiber.Ctx) error {
	stream := ctx.Request().BodyStream()
	if stream == nil || ctx.Request().Header.ContentLength() >= 0 {
		return ctx.Next()
	}
	body := &ended{Reader: stream}
	utils.ContextKeyBodyReader.Set(ctx, body)
	err := ctx.Next()
	if body.end || ctx.Request().BodyStream() == nil {
		return err
	}
	conn := ctx.RequestCtx().Conn()
	conn.SetReadDeadline(time.Now().Add(restTimeout))
	if _, readErr := io.CopyN(io.Discard, body, maxRest); !errors.Is(readErr, io.EOF) {
		ctx.Response().Header.SetConnectionClose()
	}
	conn.SetReadDeadline(time.Time{})
	return err
}

// ended remembers the end of a reader, which must not be read behind it.
type ended struct {
	io.Reader
	end bool
}

func (e *ended) Read(b []byte) (n int, err error) {
	if e.end {
		return 0, io.EOF
	}
	n, err = e.Reader.Read(b)
	e.end = errors.Is(err, io.EOF)
	return n, err
}
