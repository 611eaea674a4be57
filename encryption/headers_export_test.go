package encryption

import "github.com/objectkms/kms"

// ResponseHeaders are the names of the operations and what each one's response tells, for tests of all of them.
type ResponseHeaders func(h HeaderSetter, mode Mode, bucketKey bool)

// Operations returns the response headers of every operation, by its name. The object has key "id", a context and a customer key's MD5 "digest".
func Operations() map[string]ResponseHeaders {
	all := make(map[string]ResponseHeaders)
	for op, name := range map[operation]string{
		opPutObject: "PutObject", opPostObject: "POST", opCopyObject: "CopyObject", opCreateMultipartUpload: "CreateMultipartUpload",
		opUploadPart: "UploadPart", opUploadPartCopy: "UploadPartCopy", opCompleteMultipartUpload: "CompleteMultipartUpload",
		opAbortMultipartUpload: "AbortMultipartUpload", opListParts: "ListParts", opGetObject: "GetObject", opHeadObject: "HeadObject",
		opGetObjectAttributes: "GetObjectAttributes", opSelectObjectContent: "SelectObjectContent",
	} {
		all[name] = func(h HeaderSetter, mode Mode, bucketKey bool) {
			writeSSEHeaders(h, op, protection{mode: mode, keyID: "id", context: map[string]string{"a": "<b>"}, bucketKey: bucketKey, echo: kms.NewSecret([]byte("digest"))})
		}
	}
	return all
}

// ServiceErrors are the errors that no parser of headers makes, with the given cause.
func ServiceErrors(cause error) map[string]*Error {
	return map[string]*Error{
		"needs customer key": errNeedsCustomerKey(cause), "wrong customer key": errWrongCustomerKey(cause), "not applicable": errNotApplicable(cause),
		"part parameters": errPartParameters(cause), "part key": errPartKey(cause),
	}
}

// WriteContext sets what the response to a PutObject with this encryption context has.
func WriteContext(h HeaderSetter, context map[string]string) {
	writeSSEHeaders(h, opPutObject, protection{mode: SSEKMS, context: context})
}

// DecodeCustomerKey and CheckCustomerKey are the steps of parsing a customer key that hold it in memory.
var (
	DecodeCustomerKey = decodeCustomerKey
	CheckCustomerKey  = checkCustomerKey
)
