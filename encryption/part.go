package encryption

import (
	"fmt"
	"io"

	"github.com/objectkms/kms"
)

// EncryptedPart is one encrypted part of an upload, for the server to read and store. It must not be used by two goroutines at once.
//
// An error stays: the part is then no part, and every later call but Close returns it again. An error of the plain reader is returned wrapped.
type EncryptedPart struct {
	upload    *Upload
	number    int
	encrypter encrypter
	receipt   PartReceipt // at the end
}

// Read implements [io.Reader]. With io.EOF the receipt and the ETag are there.
func (p *EncryptedPart) Read(b []byte) (int, error) { return p.encrypter.read(b) }

// WriteTo implements [io.WriterTo]: it writes all that has not been read yet to w. With nil the receipt and the ETag are there. An error of
// w ends the part too.
func (p *EncryptedPart) WriteTo(w io.Writer) (int64, error) { return p.encrypter.writeTo(w) }

// finish makes the receipt.
func (p *EncryptedPart) finish() error {
	r := receipt{size: p.encrypter.body.n, header: p.encrypter.header[:], etag: p.encrypter.etag}
	return p.upload.use(func() (err error) {
		p.receipt, err = p.upload.sealReceipt(p.number, r)
		return err
	})
}

// Receipt returns the receipt to store beside the part. It is there after the last byte. Before that it is ErrInvalidRequest, and after a failure the error that
// Read had.
func (p *EncryptedPart) Receipt() (PartReceipt, error) {
	if err := p.encrypter.failed(); err != nil {
		return PartReceipt{}, err
	}
	if p.receipt.sealed == nil {
		return PartReceipt{}, fmt.Errorf("%w: part was not read to its end", kms.ErrInvalidRequest)
	}
	return p.receipt, nil
}

// ETag returns 32 hex digits for the server to store and to answer, without quotes: the MD5 of the plaintext where the request asked for it,
// which SSE-S3 allows, else random ones. It is empty before the end, and after a failure.
func (p *EncryptedPart) ETag() string { return p.encrypter.etag }

// WriteHeaders sets the headers that the response to an UploadPart or UploadPartCopy tells of the encryption.
func (p *EncryptedPart) WriteHeaders(h HeaderSetter) {
	writeSSEHeaders(h, opUploadPart, p.upload.answered())
}

// Close makes an unfinished part one that never was: every later call but Close is ErrClosed. After the end it changes nothing. It closes neither the
// plain reader nor the upload, which holds the keys, and its error is always nil.
func (p *EncryptedPart) Close() error {
	p.encrypter.close()
	return nil
}
