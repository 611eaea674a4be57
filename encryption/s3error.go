package encryption

import (
	"context"
	"errors"
	"unicode"
	"unicode/utf8"

	"github.com/objectkms/kms"
)

// HTTP status codes, as constants of our own so that the package does not link net/http.
const (
	statusBadRequest          = 400
	statusForbidden           = 403
	statusRangeNotSatisfiable = 416
	statusClientClosedRequest = 499
	statusInternalServerError = 500
	statusNotImplemented      = 501
	statusServiceUnavailable  = 503
)

// The codes of S3 error documents that this package answers.
const (
	codeAccessDenied       = "AccessDenied"
	codeIncompleteBody     = "IncompleteBody"
	codeInternalError      = "InternalError"
	codeInvalidAlgorithm   = "InvalidEncryptionAlgorithmError"
	codeInvalidArgument    = "InvalidArgument"
	codeInvalidRequest     = "InvalidRequest"
	codeInvalidPart        = "InvalidPart"
	codeInvalidPartNumber  = "InvalidPartNumber"
	codeInvalidPartOrder   = "InvalidPartOrder"
	codeInvalidRange       = "InvalidRange"
	codeKMSDisabled        = "KMS.DisabledException"
	codeKMSInvalidState    = "KMS.KMSInvalidStateException"
	codeKMSNotFound        = "KMS.NotFoundException"
	codeMalformedXML       = "MalformedXML"
	codeNotImplemented     = "NotImplemented"
	codeRequestCanceled    = "RequestCanceled"
	codeServiceUnavailable = "ServiceUnavailable"
)

// Error is what an S3 client is answered: the fields of an error document, and the HTTP status. None of them holds a key or the value of an encryption
// context. They may repeat what the client sent, so that a server must escape them for XML. An answer to HEAD has no document, only the status.
type Error struct {
	Code    string // such as "InvalidArgument"
	Status  int    // such as 400
	Message string // a sentence for people
	// ArgumentName and ArgumentValue are further elements of the document, which stand in it where the name is not empty.
	ArgumentName, ArgumentValue string
	// Err is the cause, for errors.Is and for the server's log. It is not for the client.
	Err error
}

// Error returns the code, the message and the cause in one line.
func (e *Error) Error() string {
	if e == nil {
		return "<nil>"
	}
	if e.Err == nil {
		return e.Code + ": " + e.Message
	}
	return e.Code + ": " + e.Message + " (" + e.Err.Error() + ")"
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// S3Error returns what an S3 client is to be answered for an error of this package or of a [kms.KeyService]: the [*Error] in its chain, else one
// made from the sentinel of package kms that it wraps. An error without any is InternalError, and so is all that is stored and not authentic. Its
// Message never has the text of an error. S3Error of nil is nil, which must not be kept in a variable of type error.
func S3Error(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	keyID := keyOf(err)
	if keyID != "" && isInvalidKeyID(err) {
		return &Error{Code: codeKMSNotFound, Status: statusBadRequest, Message: "Invalid keyId '" + keyID + "'", Err: err}
	}
	for _, answer := range keyServiceAnswers(keyID) {
		if errors.Is(err, answer.Err) {
			answer.Err = err
			return &answer
		}
	}
	return &Error{Code: codeInternalError, Status: statusInternalServerError, Message: messageInternal, Err: err}
}

// isInvalidKeyID reports whether a KeyService has refused a request for the form of its key id.
func isInvalidKeyID(err error) bool {
	e, ok := errors.AsType[*kms.Error](err)
	return ok && errors.Is(err, kms.ErrInvalidRequest) && !errors.Is(err, kms.ErrPermission) && kms.ValidateKeyID(e.KeyID) != nil
}

const (
	messageAccessDenied   = "Access Denied"
	messageInternal       = "We encountered an internal error. Please try again."
	messageNotImplemented = "A header you provided implies functionality that is not implemented."
	messageUnavailable    = "The key management service is not available. Please try again."
)

// keyServiceAnswers returns the answers for the sentinels of package kms, each of which stands in Err. An error that is several of them has
// the first one's answer.
func keyServiceAnswers(keyID string) []Error {
	key, quoted := "The key", "The key"
	if keyID != "" {
		key, quoted = keyID, "Key '"+keyID+"'"
	}
	return []Error{
		// A refusal may wrap why, which is not for who may know nothing of the key.
		{Code: codeAccessDenied, Status: statusForbidden, Message: messageAccessDenied, Err: kms.ErrPermission},
		{Code: codeInvalidRequest, Status: statusBadRequest, Message: "The request is not valid for this object or key.", Err: kms.ErrInvalidRequest},
		{Code: codeKMSNotFound, Status: statusBadRequest, Message: quoted + " does not exist", Err: kms.ErrKeyNotFound},
		{Code: codeKMSDisabled, Status: statusBadRequest, Message: key + " is disabled.", Err: kms.ErrKeyDisabled},
		{Code: codeKMSInvalidState, Status: statusBadRequest, Message: key + " is pending deletion.", Err: kms.ErrKeyPendingDeletion},
		{Code: codeInternalError, Status: statusInternalServerError, Message: messageInternal, Err: kms.ErrDecrypt},
		{Code: codeInternalError, Status: statusInternalServerError, Message: messageInternal, Err: kms.ErrKeyMaterial},
		{Code: codeNotImplemented, Status: statusNotImplemented, Message: messageNotImplemented, Err: kms.ErrUnsupported},
		{Code: codeNotImplemented, Status: statusNotImplemented, Message: "No key management service is configured.", Err: kms.ErrNotConfigured},
		{Code: codeServiceUnavailable, Status: statusServiceUnavailable, Message: messageUnavailable, Err: kms.ErrUnavailable},
		{Code: codeServiceUnavailable, Status: statusServiceUnavailable, Message: messageUnavailable, Err: kms.ErrNotRunning},
		{Code: codeServiceUnavailable, Status: statusServiceUnavailable, Message: messageUnavailable, Err: kms.ErrClosed},
		{Code: codeRequestCanceled, Status: statusClientClosedRequest, Message: "The request was canceled.", Err: context.Canceled},
		{Code: codeServiceUnavailable, Status: statusServiceUnavailable, Message: messageUnavailable, Err: context.DeadlineExceeded},
	}
}

// keyOf returns the id of the key that a KeyService could not use, as the client knows it, or nothing where that is not known or cannot be shown.
func keyOf(err error) string {
	if e, ok := errors.AsType[*namedKeyError](err); ok && isPrintable(e.name) {
		return e.name
	}
	e, ok := errors.AsType[*kms.Error](err)
	if !ok || !isPrintable(e.KeyID) {
		return ""
	}
	return e.KeyID
}

// isPrintable reports whether a text of a client's can stand in an error document: it is not empty, not long, and has neither control characters nor anything that is not UTF-8.
func isPrintable(text string) bool {
	if text == "" || len(text) > maxKeyID || !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
