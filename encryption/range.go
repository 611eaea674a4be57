package encryption

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
)

// Range returns a reader of n bytes of plaintext from off. It calls fetch for n stored bytes from an offset: for the chunks that hold the range, and
// before that for the header of their part or body, unless it stands before those chunks, or was seen of late in a read of this Object. Nothing else is read; see [Object.Span].
//
// The first chunk is authenticated before Range returns: with nil for an error, a server can answer 206. The reader is an [io.WriterTo] too, and must not be used by
// two goroutines at once; its errors are those of [Service.DecryptStream]. Its Close closes what fetch returned. A fetched reader that ends
// too early is ErrDecrypt, one that goes on is not read further. ctx goes to fetch, and to nothing else.
//
// A range sees that a part was replaced by an earlier upload of the same part and size only if it is the whole object: servers delete such uploads.
//
// A range that is not within the object is ErrInvalidRequest, with the [*Error] InvalidRange. An error of fetch is returned as it is.
func (o *Object) Range(ctx context.Context, off, n int64, fetch func(ctx context.Context, off, n int64) (io.ReadCloser, error)) (io.ReadCloser, error) {
	if fetch == nil {
		return nil, fmt.Errorf("%w: fetch is nil", kms.ErrInvalidRequest)
	}
	r, err := o.messages.read(off, n, func(off, n int64) (io.ReadCloser, error) {
		stored, err := fetch(ctx, off, n)
		if err == nil && stored == nil {
			err = errNilReader()
		}
		return stored, err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// A fetcher returns n stored bytes from off.
type fetcher func(off, n int64) (io.ReadCloser, error)

// read returns the reader of n bytes of plaintext from off.
func (s *messages) read(off, n int64, fetch fetcher) (*plainReader, error) {
	st, err := s.layout.stretch(off, n)
	if err != nil {
		return nil, err
	}
	if err := s.retain(); err != nil {
		return nil, err
	}
	stored, decrypter, err := s.fetch(st, fetch)
	if err != nil {
		s.release()
		return nil, err
	}
	r, err := newPlainReader(s, st, decrypter, stored)
	if err != nil {
		stored.Close()
		return nil, err
	}
	r.closer = stored
	return r, nil
}

// fetch fetches a stretch, and before it, if it does not begin with the header of its first message, that header.
func (s *messages) fetch(st stretch, fetch fetcher) (io.ReadCloser, *cobblestone.Decrypter, error) {
	if st.length == 0 {
		return io.NopCloser(bytes.NewReader(nil)), nil, nil
	}
	var decrypter *cobblestone.Decrypter
	if !st.headed() {
		if decrypter = s.find(st.first.index); decrypter == nil {
			var err error
			if decrypter, err = s.fetchHeader(st.first, fetch); err != nil {
				return nil, nil, err
			}
		}
	}
	stored, err := fetch(st.start, st.length)
	return stored, decrypter, err
}

// fetchHeader fetches the header of a message, and nothing but the header.
func (s *messages) fetchHeader(m message, fetch fetcher) (*cobblestone.Decrypter, error) {
	stored, err := fetch(m.stored, cobblestone.HeaderSize)
	if err != nil {
		return nil, err
	}
	defer stored.Close()
	header, err := readHeader(stored)
	if err != nil {
		return nil, err
	}
	return s.openMessage(m, header)
}
