package encryption

import "github.com/objectkms/kms"

// WriteHeaders sets the headers that the response to a PutObject, a POST form or a CopyObject tells of the encryption.
func (o *EncryptedObject) WriteHeaders(h HeaderSetter) {
	p := o.sealer.answered
	p.context = o.sealer.env.Context()
	writeSSEHeaders(h, opPutObject, p)
}

// WriteHeaders sets the headers that the response to a GetObject or HeadObject tells of the encryption. They never hold the encryption context. It may be called after Close too.
func (o *Object) WriteHeaders(h HeaderSetter) {
	writeSSEHeaders(h, opGetObject, o.answered)
}

// WriteCopyHeaders sets the headers that the response to a CopyObject tells of the encryption, where [Service.Rewrap] has made the envelope for the target
// request.
func (s *Service) WriteCopyHeaders(h HeaderSetter, env *Envelope, target *Request) {
	if env.Mode() == None {
		return
	}
	if target == nil {
		target = &Request{}
	}
	prefix, _, _ := s.opts.resolveKeyID(target.KeyID) // the id was resolved when the envelope was made
	writeSSEHeaders(h, opCopyObject, protection{
		mode: env.mode, keyID: s.opts.answerKeyID(prefix, env.keyID), context: env.Context(), bucketKey: env.bucketKey, echo: target.echo,
	})
}

// An operation is one of S3's that objects and uploads are written or read with.
type operation uint8

// The operations.
const (
	opPutObject operation = iota
	opPostObject
	opCopyObject
	opCreateMultipartUpload
	opUploadPart
	opUploadPartCopy
	opCompleteMultipartUpload
	opAbortMultipartUpload
	opListParts
	opGetObject
	opHeadObject
	opGetObjectAttributes
	opSelectObjectContent
)

// A protection is what the headers of a response tell of how an object or upload is protected.
type protection struct {
	mode      Mode
	keyID     string // as the client is to see it
	context   kms.EncryptionContext
	bucketKey bool
	echo      *kms.Secret // see Request.echo
}

// writeSSEHeaders sets the headers that a successful response to the operation has.
func writeSSEHeaders(h HeaderSetter, op operation, p protection) {
	if h == nil {
		return
	}
	withContext, withCustomer := false, false
	switch op {
	case opPutObject, opPostObject, opCopyObject, opCreateMultipartUpload:
		withContext, withCustomer = true, true
	case opUploadPart, opUploadPartCopy, opGetObject, opHeadObject:
		withCustomer = true
	case opCompleteMultipartUpload:
	default:
		return
	}
	switch p.mode {
	case SSES3:
		h.Set(headerSSE, algorithmAES256)
	case SSEKMS:
		p.writeKMS(h, withContext)
	case SSEC:
		if withCustomer && p.echo != nil {
			h.Set(headerCustomer+"algorithm", algorithmAES256)
			h.Set(headerCustomer+"key-MD5", string(p.echo.Bytes()))
		}
	}
}

func (p protection) writeKMS(h HeaderSetter, withContext bool) {
	h.Set(headerSSE, algorithmKMS)
	h.Set(headerKeyID, p.keyID)
	if withContext && len(p.context) > 0 {
		h.Set(headerContext, formatContext(p.context))
	}
	if p.bucketKey {
		h.Set(headerBucketKey, "true")
	}
}
