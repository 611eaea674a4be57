package encryption

import (
	"bytes"
	"context"
	"io"

	"github.com/objectkms/kms/internal/cobblestone"
)

// Range returns a reader of n bytes of plaintext from off. It calls fetch for n stored bytes from an offset: for the chunks that hold the range, and
// before that for the header, unless it stands before those chunks, or was seen in an earlier read of this Object. Nothing else is read; see [Object.Span].
//
// The first chunk is authenticated before Range returns: with nil for an error, a server can answer 206. The reader is an [io.WriterTo] too, and must not be used by
// two goroutines at once; its errors are those of [Service.DecryptStream]. Its Close closes what fetch returned. A fetched reader that ends
// too early is ErrDecrypt, one that goes on is not read further. ctx goes to fetch, and to nothing else.
//
// A range that is not within the object is ErrInvalidRequest. An error of fetch is returned as it is.
func (o *Object) Range(ctx context.Context, off, n int64, fetch func(ctx context.Context, off, n int64) (io.ReadCloser, error)) (io.ReadCloser, error) {
	start, length, err := o.Span(off, n)
	if err != nil {
		return nil, err
	}
	decrypter, err := o.opened()
	if err != nil {
		return nil, err
	}
	if length == 0 {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	if start > 0 && decrypter == nil {
		if decrypter, err = o.fetchHeader(ctx, fetch); err != nil {
			return nil, err
		}
	}
	stored, err := fetch(ctx, start, length)
	if err != nil {
		return nil, err
	}
	r, err := o.rangeReader(decrypter, stored, start, off, n)
	if err != nil {
		stored.Close()
		return nil, err
	}
	r.closer = stored
	return r, nil
}

// fetchHeader fetches the header, and nothing but the header.
func (o *Object) fetchHeader(ctx context.Context, fetch func(ctx context.Context, off, n int64) (io.ReadCloser, error)) (*cobblestone.Decrypter, error) {
	stored, err := fetch(ctx, 0, cobblestone.HeaderSize)
	if err != nil {
		return nil, err
	}
	defer stored.Close()
	header, err := readHeader(stored)
	if err != nil {
		return nil, err
	}
	return o.open(header)
}

// rangeReader returns the reader of a range whose stored bytes were fetched from start.
func (o *Object) rangeReader(decrypter *cobblestone.Decrypter, stored io.Reader, start, off, n int64) (*plainReader, error) {
	if start == 0 {
		header, err := readHeader(stored)
		if err != nil {
			return nil, err
		}
		if decrypter, err = o.open(header); err != nil {
			return nil, err
		}
	}
	return newPlainReader(decrypter, stored, off, n, o.plainSize)
}
