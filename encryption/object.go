package encryption

import (
	"context"
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
	return &Object{messages: newMessages(env.layout, key), answered: s.answered(env, req)}, nil
}

// Object is a stored object that was opened. It is safe for concurrent use. Close it when all was read.
type Object struct {
	messages *messages
	answered protection
}

// Size returns the size of the object in bytes, which the envelope's seal has authenticated.
func (o *Object) Size() int64 { return o.messages.layout.plainSize() }

// Parts returns the number of parts that the object was uploaded in. It is 0 for an object that was not.
func (o *Object) Parts() int { return o.messages.layout.partCount() }

// Part returns which bytes of the object a part is: size bytes from off, to be read as a range. An object that was not uploaded in parts is its own part 1. For
// the number of no part it fails with ErrInvalidRequest and the [*Error] InvalidPartNumber.
func (o *Object) Part(number int) (off, size int64, err error) {
	m, err := o.messages.layout.part(number)
	return m.plain, m.size, err
}

// Span returns which bytes of the stored body [Object.Range] reads for n bytes from off: length bytes from start, in whole chunks, with the headers that lie between
// them. A span that begins with the first chunk of the body, or of a part, begins with the header before it. For any other span that header, StoredSize(0)-16 bytes
// where the body or the part begins, may be read too. The last chunk of the body or of a part, which may be empty, belongs to
// the ranges that end with it. A range that is not within the object is ErrInvalidRequest, with the [*Error] InvalidRange.
func (o *Object) Span(off, n int64) (start, length int64, err error) {
	s, err := o.messages.layout.stretch(off, n)
	return s.start, s.length, err
}

// Close wipes the keys. Later calls that read are ErrClosed, also of ReaderAts; readers that Range returned go on, and need the keys, until
// they are closed. Its error is always nil.
func (o *Object) Close() error {
	o.messages.close()
	return nil
}
