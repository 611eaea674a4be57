package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3api/controllers"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"github.com/objectkms/kms"
)

// adminPrefix is where the administration of keys begins. No bucket can have this name.
const adminPrefix = "/_kms"

// administration lets those through to an API who have its token. Of others nothing is read but headers: the adaptor takes a whole body into memory.
func administration(api http.Handler, token string) fiber.Handler {
	api = http.StripPrefix(adminPrefix, api)
	serve := adaptor.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.ServeHTTP(w, r.WithContext(kms.WithPrincipal(context.Background(), "admin"))) // its own is used again when the request is over
	}))
	want := sha256.Sum256([]byte("Bearer " + token))
	return func(ctx fiber.Ctx) error {
		got := sha256.Sum256([]byte(ctx.Get(fiber.HeaderAuthorization)))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			ctx.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
			return ctx.Status(http.StatusUnauthorized).SendString(`{"code":"AccessDenied","message":"want the admin token as Authorization: Bearer"}` + "\n")
		}
		return serve(ctx)
	}
}

// encryptionRoutes serves ?encryption of buckets and objects, which versitygw does not. It runs before versitygw looks at signatures, and does that itself.
func (s *storage) encryptionRoutes(root middlewares.RootUserConfig, accounts auth.IAMService, region string) fiber.Handler {
	serve := controllers.ProcessHandlers(s.serveEncryption, "encryption", new(controllers.Services), middlewares.DecodeURL,
		middlewares.VerifyPresignedV4Signature(root, accounts, region, false),
		middlewares.VerifyV4Signature(root, accounts, region, false, true, false),
		middlewares.VerifyChecksums(false, false, false))
	return func(ctx fiber.Ctx) error {
		if !ctx.Request().URI().QueryArgs().Has("encryption") {
			return ctx.Next()
		}
		return serve(ctx)
	}
}

// serveEncryption is one of these requests, with its signature verified. There is one account, which may do everything.
func (s *storage) serveEncryption(ctx fiber.Ctx) (*controllers.Response, error) {
	response := &controllers.Response{MetaOpts: new(controllers.MetaOptions)}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(ctx.Path(), "/"), "/")
	if isRoot, _ := utils.ContextKeyIsRoot.Get(ctx).(bool); !isRoot {
		return response, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	if !utils.IsValidBucketName(bucket) {
		return response, s3err.GetBucketErr(s3err.ErrInvalidBucketName, bucket)
	}
	if _, err := s.HeadBucket(ctx.RequestCtx(), &s3.HeadBucketInput{Bucket: &bucket}); err != nil {
		return response, apiErrorOf(ctx.RequestCtx(), err)
	}
	var err error
	switch {
	case key != "" && ctx.Method() == http.MethodPut:
		err = s.updateEncryption(ctx, bucket, key)
	case key != "":
		err = s3err.GetAPIError(s3err.ErrMethodNotAllowed)
	case ctx.Method() == http.MethodPut:
		err = s.encryption.SetBucketEncryption(s.bucket(bucket), append([]byte{}, ctx.BodyRaw()...))
	case ctx.Method() == http.MethodDelete:
		response.MetaOpts.Status = http.StatusNoContent
		err = s.encryption.SetBucketEncryption(s.bucket(bucket), nil)
	case ctx.Method() == http.MethodGet:
		response.Data, err = s.bucketEncryption(bucket)
		ctx.Response().Header.SetContentType(fiber.MIMEApplicationXML)
	default:
		err = s3err.GetAPIError(s3err.ErrMethodNotAllowed)
	}
	if err != nil {
		return response, apiErrorOf(ctx.RequestCtx(), err)
	}
	return response, nil
}

func (s *storage) bucketEncryption(bucket string) ([]byte, error) {
	def, err := s.encryption.BucketEncryption(s.bucket(bucket))
	if err != nil {
		return nil, err
	}
	return def.AppendXML(nil)
}

// updateEncryption serves an UpdateObjectEncryption. What it changes is the file that it has found, whichever has its name in the end.
func (s *storage) updateEncryption(ctx fiber.Ctx, bucket, key string) error {
	if !utils.IsObjectNameValid(key) {
		return s3err.GetAPIError(s3err.ErrBadRequest)
	}
	f, _, err := s.find(ctx.RequestCtx(), &s3.GetObjectInput{Bucket: &bucket, Key: &key, VersionId: ptr(ctx.Query("versionId"))})
	if err != nil {
		return err
	}
	if f == nil {
		return s3err.GetAPIError(s3err.ErrInvalidRequest) // a directory has nothing to protect
	}
	defer f.file.Close()
	return s.encryption.UpdateObjectEncryption(s.request(ctx.RequestCtx(), bucket), f, ctx.BodyRaw())
}
