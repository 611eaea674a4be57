package encryption

import (
	"context"
	"errors"
	"io"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
)

// DecryptStream returns the plaintext of a whole stored body, forward. It asks the KeyService for the data key, reads the header and the first chunk of
// stored, and authenticates them: with nil for an error, a server can answer 200. The reader is an [io.WriterTo] too, and must not
// be used by two goroutines at once.
//
// Every byte that it releases is authentic. What is not is ErrDecrypt, and so is a body that is shorter or longer than the envelope says: io.EOF comes
// only after all of it. An error of stored is returned wrapped. Errors stay. Close wipes; it does not close stored, which the caller has opened.
func (s *Service) DecryptStream(ctx context.Context, id ObjectID, env *Envelope, req *Request, stored io.Reader) (io.ReadCloser, error) {
	defer req.customerKey().Destroy()
	key, err := s.openObjectKey(ctx, id, env, req)
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	header, err := readHeader(stored)
	if err != nil {
		return nil, err
	}
	decrypter, err := cobblestone.NewDecrypter(key.Bytes(), messageContext(), header)
	if err != nil {
		return nil, openError(err)
	}
	const off = 0
	r, err := newPlainReader(decrypter, stored, off, env.plainSize, env.plainSize)
	if err != nil {
		return nil, err
	}
	r.whole = stored
	return r, nil
}

// readHeader reads the header of a message. A message that ends in it is not authentic.
func readHeader(stored io.Reader) ([]byte, error) {
	header := make([]byte, cobblestone.HeaderSize)
	if _, err := io.ReadFull(stored, header); err != nil {
		return nil, storedError(err)
	}
	return header, nil
}

// storedError is the error for stored bytes that could not be read. A body that ends too early is not authentic.
func storedError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return kms.ErrDecrypt
	}
	return err
}

// plainReader reads plaintext from the chunks of a stored body.
type plainReader struct {
	chunks *cobblestone.ChunkReader
	whole  io.Reader // of a whole body: nothing may follow
	closer io.Closer // what was opened for this reader
	err    error
}

// newPlainReader returns the reader of n bytes from off, of which the first chunk is authentic. stored stands at that chunk.
func newPlainReader(d *cobblestone.Decrypter, stored io.Reader, off, n, plainSize int64) (*plainReader, error) {
	chunks, err := d.NewChunkReader(stored, off, n, plainSize)
	if err != nil {
		return nil, err
	}
	if err := chunks.Prefetch(); err != nil {
		return nil, openError(err)
	}
	return &plainReader{chunks: chunks}, nil
}

// Read implements io.Reader.
func (r *plainReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.chunks.Read(p)
	if err != nil {
		r.end(err)
	}
	return n, r.err
}

// WriteTo implements io.WriterTo.
func (r *plainReader) WriteTo(w io.Writer) (int64, error) {
	if r.err == io.EOF {
		return 0, nil
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.chunks.WriteTo(w)
	r.end(endOfWrite(err))
	if r.err == io.EOF {
		return n, nil
	}
	return n, r.err
}

// end takes the error that the chunks ended with.
func (r *plainReader) end(err error) {
	if err == io.EOF && r.whole != nil {
		err = expectEOF(r.whole)
	}
	r.err = openError(err)
}

// expectEOF returns io.EOF if nothing follows.
func expectEOF(stored io.Reader) error {
	const maxIdleReads = 100
	var b [1]byte
	for range maxIdleReads {
		n, err := stored.Read(b[:])
		if n != 0 {
			return kms.ErrDecrypt
		}
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return storedError(err)
		}
	}
	return io.ErrNoProgress
}

// Close implements io.Closer. Later reads are ErrClosed.
func (r *plainReader) Close() error {
	if r.err == nil || r.err == io.EOF {
		r.err = kms.ErrClosed
	}
	r.chunks = nil
	closer := r.closer
	r.closer = nil
	if closer == nil {
		return nil
	}
	return closer.Close()
}
