package encryption

import (
	"context"
	"fmt"
	"io"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
)

// DecryptStream returns the plaintext of a whole stored body, forward. It asks the KeyService for the data key, reads the header and the first chunk of
// stored, and authenticates them: with nil for an error, a server can answer 200. The reader is an [io.WriterTo] too, and must not
// be used by two goroutines at once.
//
// Every byte that it releases is authentic. What is not is ErrDecrypt, and so is a body that is shorter or longer than the envelope says: io.EOF comes
// only after all of it. Whether all parts of an object are those that it was completed with is known, and checked, before the
// last chunk of plaintext is released. An error of stored is returned wrapped. Errors stay. Close wipes; it does not close stored, which the caller has opened.
func (s *Service) DecryptStream(ctx context.Context, id ObjectID, env *Envelope, req *Request, stored io.Reader) (io.ReadCloser, error) {
	defer req.customerKey().Destroy()
	if stored == nil {
		return nil, errNilReader()
	}
	key, err := s.openObjectKey(ctx, id, env, req)
	if err != nil {
		return nil, err
	}
	whole, err := env.layout.stretch(0, env.PlainSize())
	if err != nil {
		key.Destroy()
		return nil, err
	}
	r, err := newPlainReader(newMessagesOfOne(env.layout, key), whole, nil, stored)
	if err != nil {
		return nil, err
	}
	r.trailing = stored
	return r, nil
}

func errNilReader() error { return fmt.Errorf("%w: reader is nil", kms.ErrInvalidRequest) }

func errNilWriter() error { return fmt.Errorf("%w: writer is nil", kms.ErrInvalidRequest) }

// readHeader reads the header of a message. A message that ends in it is not authentic.
func readHeader(stored io.Reader) ([]byte, error) {
	header := make([]byte, cobblestone.HeaderSize)
	n, err := cobblestone.Fill(stored, header)
	if err != nil {
		return nil, openError(err)
	}
	if n < len(header) {
		return nil, kms.ErrDecrypt
	}
	return header, nil
}

// expectEOF returns io.EOF if nothing follows.
func expectEOF(stored io.Reader) error {
	var b [1]byte
	n, err := cobblestone.Fill(stored, b[:])
	if err != nil {
		return openError(err)
	}
	if n > 0 {
		return kms.ErrDecrypt
	}
	return io.EOF
}
