package encryption

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/objectkms/kms"
)

const (
	customerKeysMust = "Requests specifying Server Side Encryption with Customer provided keys must "

	messageWrongCustomerKey = customerKeysMust + "provide the correct secret key."
	messageBadCustomerKey   = "The secret key was invalid for the specified algorithm."
)

// nullValue is what S3 answers as the value of an argument that it does not repeat.
const nullValue = "null"

// maxEcho is the size in bytes of the longest header value that an error repeats. It is less than a key in base64 has, for the
// client that sends it in the wrong header.
const maxEcho = 32

// echo returns a header's value as an error document may repeat it.
func echo(value string) string {
	if value != "" && (len(value) > maxEcho || !isPrintable(value)) {
		return nullValue
	}
	return value
}

// argumentError returns the error for a request that has a wrong argument.
func argumentError(message, name, value string) *Error {
	return &Error{Code: codeInvalidArgument, Status: statusBadRequest, Message: message, ArgumentName: name, ArgumentValue: value, Err: kms.ErrInvalidRequest}
}

// errRepeatedHeader is for a header that came more than once, with different values.
func errRepeatedHeader(name string) *Error {
	return argumentError("The header was sent more than once with different values.", name, nullValue)
}

// errNoHeaders is for a server that gives no Header. To take it for a request without headers could store in clear what a client wants encrypted.
func errNoHeaders() *Error {
	return &Error{Code: codeInternalError, Status: statusInternalServerError, Message: messageInternal, Err: fmt.Errorf("%w: headers are nil", kms.ErrInvalidRequest)}
}

// errHeaderNotSupported is for a header of writes in a request that is none.
func errHeaderNotSupported(f field) *Error {
	value := echo(f.value)
	if f.name == headerContext {
		value = nullValue
	}
	return argumentError(f.name+" header is not supported for this operation.", f.name, value)
}

func errUnknownMethod(value string) *Error {
	return argumentError("The encryption method specified is not supported", headerSSE, echo(value))
}

// errNeedsKMS is for a key id or an encryption context without SSE-KMS.
func errNeedsKMS(name string) *Error {
	return argumentError("Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms", name, nullValue)
}

func errNeedsSigV4() *Error {
	return argumentError("Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.", "Authorization", nullValue)
}

func errBadBucketKey(value string) *Error {
	return argumentError("The value must be true or false.", headerBucketKey, echo(value))
}

// errBadContext is for a header that holds no encryption context, or one that is not allowed. Nothing of it is repeated.
func errBadContext(cause error) *Error {
	e := argumentError("The header '"+headerContext+"' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map", headerContext, nullValue)
	e.Err = cause
	return e
}

// errTwoMethods is for SSE-C together with another method.
func errTwoMethods(value string) *Error {
	return argumentError("Server Side Encryption with Customer provided key is incompatible with the encryption method specified", headerSSE, echo(value))
}

func errNoCustomerAlgorithm() *Error {
	return argumentError(customerKeysMust+"provide a valid encryption algorithm.", headerSSE, nullValue)
}

func errUnknownCustomerAlgorithm(value string) *Error {
	e := argumentError("The Encryption request you specified is not valid. Supported value: AES256.", headerSSE, echo(value))
	e.Code = codeInvalidAlgorithm
	return e
}

func errNoCustomerKey() *Error {
	return argumentError(customerKeysMust+"provide an appropriate secret key.", headerSSE, nullValue)
}

// errBadCustomerKey is for a customer key that is not 32 bytes in base64, and on writes for one without its MD5.
func errBadCustomerKey() *Error {
	return argumentError(messageBadCustomerKey, headerSSE, nullValue)
}

// errNoCustomerKeyMD5 is for a read with a customer key without its MD5.
func errNoCustomerKeyMD5() *Error {
	return &Error{Code: codeAccessDenied, Status: statusForbidden, Message: messageWrongCustomerKey, Err: kms.ErrInvalidRequest}
}

func errWrongCustomerKeyMD5() *Error {
	return argumentError("The calculated MD5 hash of the key did not match the hash that was provided.", headerSSE, nullValue)
}

// errPlainTransport is for a customer key that came without TLS.
func errPlainTransport() *Error {
	return requestError(customerKeysMust+"be made over a secure connection.", kms.ErrInvalidRequest)
}

// errCustomerKeysBlocked is for SSE-C in a bucket that does not take it.
func errCustomerKeysBlocked() *Error {
	const message = "This bucket has blocked upload requests that specify Server Side Encryption with Customer provided keys (SSE-C)."
	return &Error{Code: codeAccessDenied, Status: statusForbidden, Message: message, Err: kms.ErrPermission}
}

// errMethodNotImplemented is for aws:kms:dsse.
func errMethodNotImplemented() *Error {
	return &Error{Code: codeNotImplemented, Status: statusNotImplemented, Message: messageNotImplemented, Err: kms.ErrUnsupported}
}

func errMalformedXML(cause error) *Error {
	const message = "The XML you provided was not well-formed or did not validate against our published schema"
	return &Error{Code: codeMalformedXML, Status: statusBadRequest, Message: message, Err: cause}
}

// errKeyNotApplicable is for a bucket's default key id where the default is SSE-S3. AWS answers no ArgumentValue with it.
func errKeyNotApplicable() *Error {
	const message = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
	return argumentError(message, "ApplyServerSideEncryptionByDefault", "")
}

// requestError returns the error for a request that does not fit the object, the upload or the connection.
func requestError(message string, cause error) *Error {
	return &Error{Code: codeInvalidRequest, Status: statusBadRequest, Message: message, Err: cause}
}

// errNeedsCustomerKey is for an SSE-C object that is read without a key. The cause wraps kms.ErrInvalidRequest.
func errNeedsCustomerKey(cause error) *Error {
	return requestError("The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.", cause)
}

// errWrongCustomerKey is for an SSE-C object that is read with another key than its own. The cause wraps kms.ErrDecrypt.
func errWrongCustomerKey(cause error) *Error {
	return &Error{Code: codeAccessDenied, Status: statusForbidden, Message: messageWrongCustomerKey, Err: cause}
}

// errNotApplicable is for a customer key with an object that is not SSE-C. The cause wraps kms.ErrInvalidRequest.
func errNotApplicable(cause error) *Error {
	return requestError("The encryption parameters are not applicable to this object.", cause)
}

// errPartParameters is for a part, or the completion, of an SSE-C upload without a key, and for a key with a part of another upload. The cause wraps
// kms.ErrInvalidRequest.
func errPartParameters(cause error) *Error {
	const message = "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters."
	return requestError(message, cause)
}

// errPartKey is for a part of an SSE-C upload with another key than the upload's. The cause wraps kms.ErrDecrypt.
func errPartKey(cause error) *Error {
	return requestError("The provided encryption parameters did not match the ones used originally.", cause)
}

// errNoSuchPart is for a read of a part that the object does not have. The cause wraps kms.ErrInvalidRequest.
func errNoSuchPart(cause error) *Error {
	return &Error{Code: codeInvalidPartNumber, Status: statusRangeNotSatisfiable, Message: "The requested partnumber is not satisfiable", Err: cause}
}

// errInvalidRange is for a range that is not within the object. The cause wraps kms.ErrInvalidRequest.
func errInvalidRange(cause error) *Error {
	return &Error{Code: codeInvalidRange, Status: statusRangeNotSatisfiable, Message: "The requested range is not satisfiable", Err: cause}
}

// errIncompleteBody is for a body of another size than was declared. The cause wraps kms.ErrInvalidRequest.
func errIncompleteBody(cause error) *Error {
	const message = "You did not provide the number of bytes specified by the Content-Length HTTP header"
	return &Error{Code: codeIncompleteBody, Status: statusBadRequest, Message: message, Err: cause}
}

// errInvalidARN is for the ARN of a key of another region than the server's.
func errInvalidARN(region string) *Error {
	cause := fmt.Errorf("%w: key ARN is of another region", kms.ErrKeyNotFound)
	return &Error{Code: codeKMSNotFound, Status: statusBadRequest, Message: strings.TrimSpace("Invalid arn " + echo(region)), Err: cause}
}

// errBadPartNumber is for a number that no part has.
func errBadPartNumber(number int) *Error {
	e := argumentError("Part number must be an integer between 1 and 10000, inclusive", "partNumber", strconv.Itoa(number))
	e.Err = fmt.Errorf("%w: part number is %d, want 1 to %d", kms.ErrInvalidRequest, number, maxPartNumber)
	return e
}

// errInvalidPart is for a part that an upload is completed with and does not have. The cause wraps kms.ErrInvalidRequest.
func errInvalidPart(cause error) *Error {
	const message = "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
	return &Error{Code: codeInvalidPart, Status: statusBadRequest, Message: message, Err: cause}
}

// errPartOrder is for parts that are not in the order of their numbers. The cause wraps kms.ErrInvalidRequest.
func errPartOrder(cause error) *Error {
	const message = "The list of parts was not in ascending order. Parts must be ordered by part number."
	return &Error{Code: codeInvalidPartOrder, Status: statusBadRequest, Message: message, Err: cause}
}
