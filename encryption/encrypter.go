package encryption

import (
	"crypto/md5" // #nosec G501 -- ETags of S3 are MD5s
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
)

// An encrypter makes one message of one body: what an EncryptedObject and an EncryptedPart have in common.
type encrypter struct {
	body    body
	header  [cobblestone.HeaderSize]byte
	message *cobblestone.EncryptReader // until the end
	finish  func() error               // is called after the last byte; its error is that of the message
	etag    string
	err     error // io.EOF when all was read
}

// start begins the message under a key that is not kept.
func (e *encrypter) start(key *kms.Secret, context []byte, withMD5 bool) (err error) {
	if withMD5 {
		e.body.md5 = md5.New() // #nosec G401 -- for the ETag
	}
	e.message, err = cobblestone.NewEncryptReader(key.Bytes(), context, &e.body)
	if err == nil {
		e.header = e.message.Header()
	}
	return err
}

func (e *encrypter) read(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.message.Read(p)
	if err != nil {
		e.end(err)
		err = e.err
	}
	return n, err
}

func (e *encrypter) writeTo(w io.Writer) (int64, error) {
	if e.err == io.EOF {
		return 0, nil
	}
	if e.err != nil {
		return 0, e.err
	}
	if w == nil {
		return 0, errNilWriter()
	}
	n, err := e.message.WriteTo(w)
	e.end(endOfWrite(err))
	if e.err == io.EOF {
		return n, nil
	}
	return n, e.err
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

// end takes the error that the message ended with.
func (e *encrypter) end(err error) {
	e.err, e.message = err, nil
	if e.body.sizeErr != nil {
		e.err = e.body.sizeErr
	}
	if e.err != io.EOF {
		return
	}
	e.etag = e.body.etag()
	if err := e.finish(); err != nil {
		e.err, e.etag = err, ""
	}
}

// close makes an unfinished message one that never was.
func (e *encrypter) close() {
	if e.err == nil {
		e.err = kms.ErrClosed
	}
	e.message = nil
}

// failed returns the error that there is no message for, if there is one.
func (e *encrypter) failed() error {
	if e.err == io.EOF {
		return nil
	}
	return e.err
}

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
		b.sizeErr = errIncompleteBody(fmt.Errorf("%w: body has more than the declared %d bytes", kms.ErrInvalidRequest, b.declared))
	case b.n < b.declared && err == io.EOF:
		b.sizeErr = errIncompleteBody(fmt.Errorf("%w: body has %d bytes, declared are %d", kms.ErrInvalidRequest, b.n, b.declared))
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
