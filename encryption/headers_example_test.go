package encryption_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// The headers of a PUT say how the object is encrypted. Those that are wrong have their answer in them.
func ExampleParseWriteHeaders() {
	parse := func(headers ...string) {
		r := httptest.NewRequest(http.MethodPut, "https://s3.example.com/photos/cat.jpg", nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		t := encryption.Transport{Secure: r.TLS != nil, SigV4: true} // what the server has verified
		bucket := encryption.BucketDefault{Mode: encryption.SSEKMS, KeyID: "photos"}
		req, err := encryption.ParseWriteHeaders(r.Header, t, bucket)
		if err != nil {
			answer := encryption.S3Error(err)
			fmt.Println(answer.Status, answer.Code, answer.ArgumentName, answer.ArgumentValue)
			return
		}
		fmt.Printf("%v %q\n", req.Mode, req.KeyID)
	}

	parse()
	parse("x-amz-server-side-encryption", "AES256")
	parse("x-amz-server-side-encryption", "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id", "cats")
	parse("x-amz-server-side-encryption", "aes:kms")
	// Output:
	// SSE-KMS "photos"
	// SSE-S3 ""
	// SSE-KMS "cats"
	// 400 InvalidArgument x-amz-server-side-encryption aes:kms
}

// Whatever a call of this package or of a KeyService returns, a client gets an answer that S3 clients know.
func ExampleS3Error() {
	svc := newExampleService()
	_, err := svc.EncryptStream(context.Background(), photo, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "cats"}, strings.NewReader("meow"))

	answer := encryption.S3Error(err)
	fmt.Println(answer.Status, answer.Code)
	fmt.Println(answer.Message)

	answer = encryption.S3Error(fmt.Errorf("%w: connection refused", kms.ErrUnavailable))
	fmt.Println(answer.Status, answer.Code)
	answer = encryption.S3Error(io.ErrUnexpectedEOF)
	fmt.Println(answer.Status, answer.Code)
	// Output:
	// 400 KMS.NotFoundException
	// Key 'cats' does not exist
	// 503 ServiceUnavailable
	// 500 InternalError
}

// A bucket's configuration is kept as the XML that clients send and get.
func ExampleParseBucketEncryption() {
	def, err := encryption.ParseBucketEncryption([]byte(`<ServerSideEncryptionConfiguration><Rule>
		<ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>photos</KMSMasterKeyID></ApplyServerSideEncryptionByDefault>
		<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>
	</Rule></ServerSideEncryptionConfiguration>`))
	fmt.Println(def.Mode, def.KeyID, def.CustomerKeys == encryption.CustomerKeysBlocked, err)

	_, err = encryption.ParseBucketEncryption([]byte(`<ServerSideEncryptionConfiguration/>`))
	fmt.Println(encryption.S3Error(err).Code)
	// Output:
	// SSE-KMS photos true <nil>
	// MalformedXML
}
