package gateway

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

// How long bodies may be that are read into memory.
const (
	maxDocument = 64 << 10
	maxList     = 8 << 20 // of keys to delete, or of the parts of an upload
)

// fieldsTimeout is how long a form may take to come to its file. Who sends it is known only then, and it takes a place among the requests.
const fieldsTimeout = 5 * time.Second

// streamForms makes forms bodies as others are. Without it they are read before anybody looks at a signature, and their files lie in clear in the
// directory for temporary files.
func streamForms(s *s3api.S3ApiServer) error {
	app, err := field[*fiber.App](s, "app")
	if err == nil {
		(*app).Server().DisablePreParseMultipartForm = true
	}
	return err
}

// field returns a field that its package has no function for.
func field[T any](of any, name string) (*T, error) {
	f := reflect.ValueOf(of).Elem().FieldByName(name)
	if want := reflect.TypeFor[T](); !f.IsValid() || f.Type() != want {
		return nil, fmt.Errorf("%T has no field %s of type %s", of, name, want)
	}
	return (*T)(f.Addr().UnsafePointer()), nil
}

// limitBodies refuses what would take too much memory: all but objects, parts and forms is read as a whole, in a public bucket also from strangers.
func limitBodies(ctx fiber.Ctx) error {
	_, key, _ := strings.Cut(strings.TrimPrefix(ctx.Path(), "/"), "/")
	args := ctx.Request().URI().QueryArgs()
	limit := maxDocument
	switch {
	case ctx.Method() == http.MethodPut && key != "" && ctx.Get("X-Amz-Copy-Source") == "" && !hasAny(args, "tagging", "retention", "legal-hold", "acl", "encryption"):
		return nil
	case ctx.Method() == http.MethodPost && hasAny(args, "delete", "uploadId"):
		limit = maxList
	case ctx.Method() == http.MethodPost && ctx.Request().Header.ContentLength() >= 0 && !hasAny(args, "uploads", "restore", "select"):
		if kind, params, err := mime.ParseMediaType(ctx.Get(fiber.HeaderContentType)); err == nil && kind == fiber.MIMEMultipartForm {
			conn := ctx.RequestCtx().Conn()
			conn.SetReadDeadline(time.Now().Add(fieldsTimeout))
			defer conn.SetReadDeadline(time.Time{})
			return limitFields(ctx.Request(), params["boundary"])
		}
	}
	return shortBody(ctx, limit)
}

func hasAny(args *fasthttp.Args, names ...string) bool {
	for _, name := range names {
		if args.Has(name) {
			return true
		}
	}
	return false
}

// shortBody refuses a longer body. The length has to be told before.
func shortBody(ctx fiber.Ctx, limit int) error {
	switch n := ctx.Request().Header.ContentLength(); {
	case n == -1:
		return s3err.GetAPIError(s3err.ErrMissingContentLength)
	case n > limit:
		return s3err.GetMaxMessageLengthExceeded(int64(limit))
	}
	return nil
}

// limitFields refuses a form with long fields. What it has read of the form is read again by versitygw, which then comes to the file.
func limitFields(request *fasthttp.Request, boundary string) error {
	stream, err := field[io.Reader](request, "bodyStream") // which SetBodyStream would close
	if err != nil || *stream == nil {
		return err // or an empty body
	}
	form := *stream
	var read bytes.Buffer
	fields := io.TeeReader(io.LimitReader(form, maxDocument), &read)
	parser, err := utils.NewMultipartParser(fields, boundary, int64(request.Header.ContentLength()))
	if err == nil {
		_, err = parser.Parse()
	}
	if err != nil && read.Len() == maxDocument {
		return s3err.GetMaxMessageLengthExceeded(maxDocument)
	}
	if err != nil {
		return err
	}
	*stream = io.MultiReader(&read, form)
	return nil
}
