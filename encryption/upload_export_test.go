package encryption

import (
	"io"

	"github.com/objectkms/kms"
)

// Keys returns the secrets that are held until the upload is closed.
func (u *Upload) Keys() []*kms.Secret { return []*kms.Secret{u.objectKey, u.sealer.inputKey} }

// Parts returns the fields of the state.
func (s *UploadState) Parts() Parts { return s.env.Parts() }

// UploadState returns the state with these fields, whether or not it could be parsed.
func (p Parts) UploadState() *UploadState { return &UploadState{env: *p.Envelope()} }

// Sealed returns what is sealed in the receipt.
func (p PartReceipt) Sealed() []byte { return p.sealed }

// WithSealed returns the receipt with something else sealed in it.
func (p PartReceipt) WithSealed(sealed []byte) PartReceipt {
	p.sealed = sealed
	return p
}

// StoredSize returns the size of the stored body that the layout implies.
func (p Parts) StoredSize() int64 { return p.Layout.storedSize() }

// Span returns what is read for a range.
func (p Parts) Span(off, n int64) (start, length int64, err error) {
	s, err := p.Layout.stretch(off, n)
	return s.start, s.length, err
}

// PlainReader is the reader that DecryptStream and Range return.
type PlainReader = plainReader

// PlainReaderOf returns the reader as what it is.
func PlainReaderOf(r io.ReadCloser) *PlainReader { return r.(*plainReader) }

// Key returns the secret that is held until all messages are open.
func (r *plainReader) Key() *kms.Secret { return r.messages.key }
