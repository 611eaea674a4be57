package encryption

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
)

// OpenObject opens a stored object for reads of any part of it. It asks the KeyService for the data key, once, and reads nothing of the body, whose
// size is given: another one than the envelope implies is ErrDecrypt.
func (s *Service) OpenObject(ctx context.Context, id ObjectID, env *Envelope, req *Request, storedSize int64) (*Object, error) {
	defer req.customerKey().Destroy()
	key, err := s.openObjectKey(ctx, id, env, req)
	if err != nil {
		return nil, err
	}
	if err := env.checkStoredSize(storedSize); err != nil {
		key.Destroy()
		return nil, err
	}
	answered := protection{mode: env.mode, keyID: s.opts.answerKeyID("", env.keyID), bucketKey: env.bucketKey}
	if env.mode == SSEC {
		answered.customerKeyMD5 = req.echoCustomerKey()
	}
	return &Object{plainSize: env.plainSize, answered: answered, key: key}, nil
}

// Object is a stored object that was opened. It is safe for concurrent use. Close it when all was read.
type Object struct {
	plainSize int64
	answered  protection

	mu        sync.Mutex
	key       *kms.Secret            // until the header was seen
	header    []byte                 // of the stored body
	decrypter *cobblestone.Decrypter // of the message with that header
	closed    bool
}

// Size returns the size of the object in bytes, which the envelope's seal has authenticated.
func (o *Object) Size() int64 { return o.plainSize }

// Span returns which bytes of the stored body [Object.Range] reads for n bytes from off: length bytes from start, in whole chunks. A span
// with the first chunk begins with the header, at 0. For any other span the header, StoredSize(0)-16 bytes at 0, may be read too. The last chunk,
// which may be empty, belongs to the ranges that end with the object. A range that is not within the object is ErrInvalidRequest.
func (o *Object) Span(off, n int64) (start, length int64, err error) {
	start, length, err = cobblestone.Span(off, n, o.plainSize)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: range of %d bytes from %d, want it within %d bytes", kms.ErrInvalidRequest, n, off, o.plainSize)
	}
	if start == cobblestone.HeaderSize && length > 0 {
		return 0, length + start, nil
	}
	return start, length, nil
}

// open returns the decrypter of the message with this header.
func (o *Object) open(header []byte) (*cobblestone.Decrypter, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return nil, kms.ErrClosed
	case o.decrypter == nil:
		return o.openFirst(header)
	case !bytes.Equal(o.header, header):
		return nil, kms.ErrDecrypt
	}
	return o.decrypter, nil
}

func (o *Object) openFirst(header []byte) (*cobblestone.Decrypter, error) {
	decrypter, err := cobblestone.NewDecrypter(o.key.Bytes(), messageContext(), header)
	if err != nil {
		return nil, openError(err)
	}
	o.key.Destroy()
	o.header, o.decrypter = header, decrypter
	return decrypter, nil
}

// opened returns the decrypter, or nil if the header was not seen yet.
func (o *Object) opened() (*cobblestone.Decrypter, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, kms.ErrClosed
	}
	return o.decrypter, nil
}

// Close wipes the keys. Later calls but Size and Span are ErrClosed, also of ReaderAts; readers that Range returned go on until
// they are closed. Its error is always nil.
func (o *Object) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.key.Destroy()
	o.decrypter, o.closed = nil, true
	return nil
}

// ReaderAt reads the plaintext of an Object from any offset. In an [io.SectionReader] of the object's Size it is what
// http.ServeContent wants.
type ReaderAt struct {
	object *Object
	stored io.ReaderAt
}

// NewReaderAt returns a ReaderAt over the stored body. It reads and checks the header, 56 bytes: a body that was made with another key is ErrDecrypt. An
// error of stored is returned wrapped, here and later.
func (o *Object) NewReaderAt(stored io.ReaderAt) (*ReaderAt, error) {
	header, err := readHeader(io.NewSectionReader(stored, 0, cobblestone.HeaderSize))
	if err != nil {
		return nil, err
	}
	if _, err := o.open(header); err != nil {
		return nil, err
	}
	return &ReaderAt{object: o, stored: stored}, nil
}

// ReadAt implements [io.ReaderAt]. Each call reads and opens the chunks that hold the bytes asked for. It fails with ErrDecrypt at the first chunk
// that is not authentic; the n bytes before are. It is safe for concurrent use if the stored body's ReaderAt is.
func (r *ReaderAt) ReadAt(p []byte, off int64) (int, error) {
	size := r.object.plainSize
	if off < 0 {
		return 0, fmt.Errorf("%w: offset is %d, want 0 or more", kms.ErrInvalidRequest, off)
	}
	decrypter, err := r.object.opened()
	if err != nil {
		return 0, err
	}
	if off >= size {
		return 0, io.EOF
	}
	want := min(int64(len(p)), size-off)
	start, length, err := cobblestone.Span(off, want, size)
	if err != nil {
		return 0, err
	}
	chunks, err := decrypter.NewChunkReader(io.NewSectionReader(r.stored, start, length), off, want, size)
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(chunks, p[:want])
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, openError(err)
}
