package gateway

import (
	"context"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/objectkms/kms/encryption"
)

// Names become paths of files. What is here keeps those in their bucket that versitygw does not look at.

// objectID returns an object by the name of its file, which several keys may be for: "a//b" is "a/b", also to the encryption.
func objectID(bucket, key string) encryption.ObjectID {
	return encryption.ObjectID{Bucket: bucket, Key: strings.TrimPrefix(path.Clean("/"+key), "/")}
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

// DeleteObjects refuses keys as other requests do. Here they come in the body.
func (s *storage) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	for _, object := range in.Delete.Objects {
		if !utils.IsObjectNameValid(aws.ToString(object.Key)) {
			return s3response.DeleteResult{}, s3err.GetAPIError(s3err.ErrBadRequest)
		}
	}
	return s.Posix.DeleteObjects(ctx, in)
}
