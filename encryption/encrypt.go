package encryption

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
)

// EncryptStream starts to encrypt the body of an object. It asks the KeyService for a data key, under the object's name, and reads nothing of plain
// yet. The stored body is read from the EncryptedObject, and with its last byte the [Envelope] is ready to be stored too.
//
// Where the request declares the size, the envelope is ready at once. A body of another size then fails with ErrInvalidRequest before its end; at
// most one byte behind the declared size is read.
func (s *Service) EncryptStream(ctx context.Context, id ObjectID, req *Request, plain io.Reader) (*EncryptedObject, error) {
	defer req.customerKey().Destroy()
	if err := id.validate(); err != nil {
		return nil, err
	}
	if err := req.checkWrite(); err != nil {
		return nil, err
	}
	sealer, err := s.newSealer(ctx, id, req)
	if err != nil {
		return nil, err
	}
	o := &EncryptedObject{sealer: sealer, objectKey: newObjectKey(), body: body{r: plain, declared: req.PlainSize}}
	if req.MD5 && req.Mode == SSES3 {
		o.body.md5 = md5.New()
	}
	if err := o.start(); err != nil {
		o.wipe()
		return nil, err
	}
	return o, nil
}

// EncryptedObject is the encrypted body of one object, for the server to read and store. It must not be used by two goroutines at once.
//
// An error stays: the object is then no object, and every later call but Close returns it again. An error of the plain reader is returned
// wrapped.
type EncryptedObject struct {
	sealer    *sealer
	objectKey *kms.Secret // until the envelope is made
	body      body
	message   *cobblestone.EncryptReader
	env       *Envelope
	etag      string
	err       error // io.EOF when all was read
}

func (o *EncryptedObject) start() (err error) {
	o.message, err = cobblestone.NewEncryptReader(o.objectKey.Bytes(), message{}.context(), &o.body)
	if err == nil && o.body.declared > 0 {
		err = o.seal(o.body.declared)
	}
	return err
}

// Read implements [io.Reader]. With io.EOF the envelope and the ETag are there.
func (o *EncryptedObject) Read(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.message.Read(p)
	if err != nil {
		o.end(err)
		err = o.err
	}
	return n, err
}

// WriteTo implements [io.WriterTo]: it writes all that has not been read yet to w. With nil the envelope and the ETag are there. An error of
// w ends the object too.
func (o *EncryptedObject) WriteTo(w io.Writer) (int64, error) {
	if o.err == io.EOF {
		return 0, nil
	}
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.message.WriteTo(w)
	o.end(endOfWrite(err))
	if o.err == io.EOF {
		return n, nil
	}
	return n, o.err
}

// endOfWrite returns io.EOF if WriteTo has come to the end, and only then: a writer may fail with any error.
func endOfWrite(err error) error {
	switch err {
	case nil:
		return io.EOF
	case io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// end takes the error that the message ended with, and makes the envelope if that is io.EOF.
func (o *EncryptedObject) end(err error) {
	o.err = err
	if o.body.sizeErr != nil {
		o.err = o.body.sizeErr
	}
	if o.err == io.EOF && o.env == nil {
		if err := o.seal(o.body.n); err != nil {
			o.err = err
		}
	}
	if o.err == io.EOF {
		o.etag = o.body.etag()
	}
	o.wipe()
}

// seal makes the envelope, after which the keys are not needed any more.
func (o *EncryptedObject) seal(plainSize int64) (err error) {
	o.env, err = o.sealer.seal(o.objectKey, oneMessage(plainSize))
	o.wipeKeys()
	return err
}

func (o *EncryptedObject) wipeKeys() {
	o.objectKey.Destroy()
	o.sealer.inputKey.Destroy()
}

func (o *EncryptedObject) wipe() {
	o.wipeKeys()
	o.message = nil
}

// Close wipes the keys. Before the end it makes an unfinished object one that never was: every later call but Close is ErrClosed. After the end it
// changes nothing. It does not close the plain reader, and its error is always nil.
func (o *EncryptedObject) Close() error {
	if o.err == nil {
		o.err = kms.ErrClosed
	}
	o.wipe()
	return nil
}

// Envelope returns the envelope to store beside the body. It is there after the last byte, or at once where the size was declared. Before
// that it is ErrInvalidRequest, and after a failure the error that Read had.
func (o *EncryptedObject) Envelope() (*Envelope, error) {
	if o.err != nil && o.err != io.EOF {
		return nil, o.err
	}
	if o.env == nil {
		return nil, fmt.Errorf("%w: object of undeclared size was not read to its end", kms.ErrInvalidRequest)
	}
	return o.env, nil
}

// StoredSize returns the size of the stored body in bytes. It is -1 as long as there is no envelope.
func (o *EncryptedObject) StoredSize() int64 {
	env, err := o.Envelope()
	if err != nil {
		return -1
	}
	return env.layout.storedSize()
}

// KeyID returns the id of the master key, as the KeyService answered it. It is empty for SSE-C.
func (o *EncryptedObject) KeyID() string { return o.sealer.env.keyID }

// ETag returns 32 hex digits for the server to store and to answer, without quotes: the MD5 of the plaintext where the request asked for it,
// which SSE-S3 allows, else random ones. It is empty before the end, and after a failure.
func (o *EncryptedObject) ETag() string { return o.etag }

// body is the plaintext on its way into the message: counted, held against the declared size, and hashed where an MD5 is wanted.
type body struct {
	r        io.Reader
	n        int64
	declared int64 // 0: not
	md5      hash.Hash
	sizeErr  error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.declared > 0 {
		// Behind the declared size only one byte is asked for: it must not be there.
		p = p[:min(int64(len(p)), max(b.declared-b.n, 1))]
	}
	n, err := b.r.Read(p)
	if n < 0 || n > len(p) {
		return n, err
	}
	b.n += int64(n)
	if b.md5 != nil {
		b.md5.Write(p[:n])
	}
	return n, b.checkSize(err)
}

// checkSize puts an error in the place of the one that the reader had, if the size is not the declared one.
func (b *body) checkSize(err error) error {
	switch {
	case b.declared == 0:
	case b.n > b.declared:
		b.sizeErr = fmt.Errorf("%w: body has more than the declared %d bytes", kms.ErrInvalidRequest, b.declared)
	case b.n < b.declared && err == io.EOF:
		b.sizeErr = fmt.Errorf("%w: body has %d bytes, declared are %d", kms.ErrInvalidRequest, b.n, b.declared)
	}
	if b.sizeErr != nil {
		return b.sizeErr
	}
	return err
}

func (b *body) etag() string {
	var sum [md5.Size]byte
	if b.md5 != nil {
		b.md5.Sum(sum[:0])
	} else {
		rand.Read(sum[:])
	}
	return hex.EncodeToString(sum[:])
}
