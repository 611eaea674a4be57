package gateway

import (
	"cmp"
	"context"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/gofiber/fiber/v3"
	versity "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/objectkms/kms/encryption"
)

// Names become paths of files. What is here keeps those in their bucket that versitygw does not look at.

// objectID returns an object by the name of its file.
func objectID(bucket, key string) encryption.ObjectID {
	return encryption.ObjectID{Bucket: bucket, Key: path.Clean(key)}
}

// checkUploadID refuses an id that no upload can have, such as "../..".
func checkUploadID(id string) error {
	if id == "" || strings.Trim(id, "0123456789abcdef-") != "" {
		return s3err.GetNoSuchUploadErr(id)
	}
	return nil
}

// AbortMultipartUpload removes an upload with all that lies in its directory.
func (s *storage) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	if err := checkUploadID(aws.ToString(in.UploadId)); err != nil {
		return err
	}
	return s.Posix.AbortMultipartUpload(ctx, in)
}

// checkNames refuses versions and keys of the URL, and of the source of a copy.
func checkNames(ctx fiber.Ctx) error {
	for _, id := range ctx.Request().URI().QueryArgs().PeekMulti("versionId") {
		if err := checkVersionID(string(id)); err != nil {
			return err
		}
	}
	decoded, err := url.PathUnescape(string(ctx.Request().URI().PathOriginal()))
	if err != nil {
		return err
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(decoded, "/"), "/") // behind the bucket
	if err := checkKey(key); err != nil {
		return err
	}
	_, key, version, err := versity.ParseCopySource(ctx.Get("X-Amz-Copy-Source"))
	if err != nil {
		return nil // there is none, or one that versitygw refuses
	}
	return cmp.Or(checkKey(key), checkVersionID(version))
}

// checkVersionID refuses an id that no version can have: it is a name in base32. versitygw takes any 26 bytes for one, also "../../../../../../root.key".
func checkVersionID(id string) error {
	if id != "null" && strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return s3err.GetInvalidArgumentErr(s3err.InvalidArgVersionId, id)
	}
	return nil
}

// checkKey refuses what is no file, what would lie among the parts of uploads, and second names of one file: "a//b" is "a/b" to the file system, and
// not to those who count versions by the key.
func checkKey(key string) error {
	if key == "" {
		return nil // the bucket
	}
	if strings.Contains(key, "\x00") || slices.Contains(strings.Split(key, "/"), posix.MetaTmpDir) || path.Clean("/"+key) != "/"+strings.TrimSuffix(key, "/") {
		return s3err.GetAPIError(s3err.ErrBadRequest)
	}
	return nil
}

// DeleteObjects refuses keys and versions as other requests do. Here they come in the body.
func (s *storage) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	for _, object := range in.Delete.Objects {
		key := aws.ToString(object.Key)
		if !utils.IsObjectNameValid(key) {
			return s3response.DeleteResult{}, s3err.GetAPIError(s3err.ErrBadRequest)
		}
		if err := cmp.Or(checkKey(key), checkVersionID(aws.ToString(object.VersionId))); err != nil {
			return s3response.DeleteResult{}, err
		}
	}
	return s.Posix.DeleteObjects(ctx, in)
}
