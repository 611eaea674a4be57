package encryption

import (
	"context"
	"fmt"
	"io"

	"github.com/objectkms/kms"
)

// EncryptStream starts to encrypt the body of an object. It asks the KeyService for a data key, under the object's name, and reads nothing of plain
// yet. The stored body is read from the EncryptedObject, and with its last byte the [Envelope] is ready to be stored too.
//
// Where the request declares the size, the envelope is ready at once. A body of another size then fails with ErrInvalidRequest, and the [*Error] IncompleteBody, before its end; at
// most one byte behind the declared size is read.
func (s *Service) EncryptStream(ctx context.Context, id ObjectID, req *Request, plain io.Reader) (*EncryptedObject, error) {
	defer req.customerKey().Destroy()
	if err := id.validate(); err != nil {
		return nil, err
	}
	if err := req.checkWrite(); err != nil {
		return nil, err
	}
	if plain == nil {
		return nil, errNilReader()
	}
	sealer, err := s.newSealer(ctx, id, req)
	if err != nil {
		return nil, err
	}
	o := &EncryptedObject{sealer: sealer, objectKey: newObjectKey(), encrypter: encrypter{body: body{r: plain, declared: req.PlainSize}}}
	if err := o.start(req.MD5 && req.Mode == SSES3); err != nil {
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
	objectKey *kms.Secret // until the object is closed or has failed
	encrypter encrypter
	env       *Envelope
}

func (o *EncryptedObject) start(withMD5 bool) error {
	o.encrypter.finish = o.finish
	err := o.encrypter.start(o.objectKey, message{}.context(), withMD5)
	if declared := o.encrypter.body.declared; err == nil && declared > 0 {
		err = o.seal(declared)
	}
	return err
}

// finish makes the envelope, if it is not there yet.
func (o *EncryptedObject) finish() error {
	if o.env != nil {
		return nil
	}
	return o.seal(o.encrypter.body.n)
}

// seal makes the envelope, after which what has sealed the object key is not needed any more.
func (o *EncryptedObject) seal(plainSize int64) (err error) {
	o.env, err = o.sealer.seal(o.objectKey, oneMessage(plainSize))
	o.sealer.inputKey.Destroy()
	return err
}

func (o *EncryptedObject) wipe() {
	o.objectKey.Destroy()
	o.sealer.inputKey.Destroy()
}

// Read implements [io.Reader]. With io.EOF the envelope and the ETag are there.
func (o *EncryptedObject) Read(p []byte) (int, error) {
	n, err := o.encrypter.read(p)
	o.wipeFailed()
	return n, err
}

// WriteTo implements [io.WriterTo]: it writes all that has not been read yet to w. With nil the envelope and the ETag are there. An error of
// w ends the object too.
func (o *EncryptedObject) WriteTo(w io.Writer) (int64, error) {
	defer o.wipeFailed()
	return o.encrypter.writeTo(w)
}

// wipeFailed wipes the keys of an object that is none.
func (o *EncryptedObject) wipeFailed() {
	if o.encrypter.failed() != nil {
		o.wipe()
	}
}

// Close wipes the keys, of which one is held until then for [EncryptedObject.SealAttribute]. Before the end it makes an unfinished object one that never was: every later call but Close is ErrClosed. After the end
// nothing but SealAttribute fails. It does not close the plain reader, and its error is always nil.
func (o *EncryptedObject) Close() error {
	o.encrypter.close()
	o.wipe()
	return nil
}

// Envelope returns the envelope to store beside the body. It is there after the last byte, or at once where the size was declared. Before
// that it is ErrInvalidRequest, and after a failure the error that Read had.
func (o *EncryptedObject) Envelope() (*Envelope, error) {
	if err := o.encrypter.failed(); err != nil {
		return nil, err
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
func (o *EncryptedObject) ETag() string { return o.encrypter.etag }
