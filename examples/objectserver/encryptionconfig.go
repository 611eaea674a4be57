package main

import (
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/s3api/controllers"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"github.com/objectkms/kms/encryption"
)

// bucketDefault returns the encryption configuration of a bucket.
func (o *objects) bucketDefault(bucket string) (encryption.BucketDefault, error) {
	document, err := o.attributes.RetrieveAttribute(nil, bucket, "", bucketAttribute)
	if errors.Is(err, meta.ErrNoSuchKey) {
		return encryption.BucketDefault{BucketKey: o.bucketKeys}, nil
	}
	if err != nil {
		return encryption.BucketDefault{}, err
	}
	return encryption.ParseBucketEncryption(document)
}

// encryptionRoutes serves ?encryption of buckets and objects, which the gateway does not. It runs before the gateway looks at signatures, and does that itself.
func (o *objects) encryptionRoutes(root middlewares.RootUserConfig, region string) fiber.Handler {
	accounts := auth.NewIAMServiceSingle(auth.Account{Access: root.Access, Secret: root.Secret, Role: auth.RoleAdmin})
	serve := controllers.ProcessHandlers(o.serveEncryption, "encryption", new(controllers.Services), middlewares.DecodeURL,
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

// serveEncryption is one of these requests, with its signature verified: there is one account, which may do everything.
func (o *objects) serveEncryption(ctx fiber.Ctx) (*controllers.Response, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(ctx.Path(), "/"), "/")
	if isRoot, _ := utils.ContextKeyIsRoot.Get(ctx).(bool); !isRoot {
		return new(controllers.Response), s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	if !utils.IsValidBucketName(bucket) {
		return new(controllers.Response), s3err.GetBucketErr(s3err.ErrInvalidBucketName, bucket)
	}
	if _, err := o.HeadBucket(ctx.RequestCtx(), &s3.HeadBucketInput{Bucket: &bucket}); err != nil {
		return new(controllers.Response), err
	}
	var body []byte
	var err error
	response := &controllers.Response{MetaOpts: new(controllers.MetaOptions)}
	switch {
	case key != "" && ctx.Method() == http.MethodPut:
		err = o.updateObjectEncryption(ctx, bucket, key)
	case key != "":
		err = s3err.GetAPIError(s3err.ErrMethodNotAllowed)
	case ctx.Method() == http.MethodPut:
		err = o.putBucketEncryption(bucket, ctx.BodyRaw())
	case ctx.Method() == http.MethodGet:
		body, err = o.getBucketEncryption(bucket)
		response.Data = body
		ctx.Response().Header.SetContentType(fiber.MIMEApplicationXML)
	case ctx.Method() == http.MethodDelete:
		response.MetaOpts.Status = http.StatusNoContent
		err = o.deleteBucketEncryption(bucket)
	default:
		err = s3err.GetAPIError(s3err.ErrMethodNotAllowed)
	}
	return response, answer(err)
}

func (o *objects) putBucketEncryption(bucket string, document []byte) error {
	def, err := encryption.ParseBucketEncryption(document)
	if err != nil {
		return err
	}
	old, err := o.bucketDefault(bucket)
	if err != nil {
		return err
	}
	if def.CustomerKeys == encryption.CustomerKeysUnset {
		def.CustomerKeys = old.CustomerKeys // said nothing, and changes nothing
	}
	return o.storeBucketDefault(bucket, def)
}

func (o *objects) storeBucketDefault(bucket string, def encryption.BucketDefault) error {
	document, err := def.AppendXML(nil)
	if err != nil {
		return err
	}
	return o.attributes.StoreAttribute(nil, bucket, "", bucketAttribute, document)
}

func (o *objects) getBucketEncryption(bucket string) ([]byte, error) {
	def, err := o.bucketDefault(bucket)
	if err != nil {
		return nil, err
	}
	return def.AppendXML(nil)
}

func (o *objects) deleteBucketEncryption(bucket string) error {
	old, err := o.bucketDefault(bucket)
	if err != nil {
		return err
	}
	return o.storeBucketDefault(bucket, encryption.BucketDefault{BucketKey: o.bucketKeys, CustomerKeys: old.CustomerKeys})
}

// updateObjectEncryption gives an object another key. Its body, its ETag and its date stay.
func (o *objects) updateObjectEncryption(ctx fiber.Ctx, bucket, key string) error {
	target, err := encryption.ParseObjectEncryption(ctx.BodyRaw())
	if err != nil {
		return err
	}
	if !utils.IsObjectNameValid(key) {
		return s3err.GetAPIError(s3err.ErrBadRequest)
	}
	found, _, err := o.find(ctx.RequestCtx(), &s3.GetObjectInput{Bucket: &bucket, Key: &key, VersionId: ptr(ctx.Query("versionId"))})
	if err != nil {
		return err
	}
	if found == nil {
		return s3err.GetAPIError(s3err.ErrInvalidRequest) // a directory has nothing to encrypt
	}
	defer found.file.Close()
	target.Context = found.envelope.Context()
	id := encryption.ObjectID{Bucket: bucket, Key: key}
	env, err := o.service.Rewrap(o.request(ctx.RequestCtx()), id, found.envelope, nil, id, target)
	if err != nil {
		return err
	}
	text, err := env.MarshalText()
	if err != nil {
		return err
	}
	return o.attributes.StoreAttribute(found.file, "", "", envelopeAttribute, text) // of this file, whatever has its name now
}
