package encryption

import (
	"context"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/objectkms/kms"
)

// CreateUpload starts a multipart upload of an object. It asks the KeyService for a data key, once for all parts. The server stores the [UploadState]
// until the upload is completed or given up, and goes on with it in any process; see [Service.OpenUpload].
//
// The upload is bound to the bucket, the key and the upload id, which must not be empty nor be used again for another upload of the object. A version id is
// not looked at. A declared size has no meaning here. With Request.MD5 the ETags of the parts of an SSE-S3 object are MD5s.
func (s *Service) CreateUpload(ctx context.Context, id ObjectID, uploadID string, req *Request) (*Upload, error) {
	defer req.customerKey().Destroy()
	if err := validateUpload(id, uploadID); err != nil {
		return nil, err
	}
	if err := req.checkWrite(); err != nil {
		return nil, err
	}
	sealer, err := s.newSealer(ctx, id, req)
	if err != nil {
		return nil, err
	}
	sealer.uploadID = uploadID
	u := &Upload{md5: req.MD5, sealer: sealer, objectKey: newObjectKey(), operation: opCreateMultipartUpload}
	env, err := sealer.seal(u.objectKey, layout{})
	if err != nil {
		u.Close()
		return nil, err
	}
	u.state = &UploadState{env: *env}
	return u, nil
}

// OpenUpload opens an upload for more of its parts, or to complete it. It asks the KeyService for the data key, once. The request is that of a read: nil or the
// zero Request is right for all but SSE-C uploads, which need the CustomerKey for each part and to be completed. The ETags of the parts of an SSE-S3 object are
// MD5s if it has MD5.
//
// A state that does not belong to the object and the upload id is ErrDecrypt. A customer key that is missing or of no use is ErrInvalidRequest, with the [*Error] of S3, and
// another one than the upload's ErrDecrypt.
func (s *Service) OpenUpload(ctx context.Context, id ObjectID, uploadID string, state *UploadState, req *Request) (*Upload, error) {
	defer req.customerKey().Destroy()
	if err := validateUpload(id, uploadID); err != nil {
		return nil, err
	}
	if err := state.check(); err != nil {
		return nil, err
	}
	if err := state.checkRequest(req, &s.opts); err != nil {
		return nil, err
	}
	sealer, key, err := s.openSealed(ctx, id, uploadID, &state.env, req)
	if err != nil {
		return nil, state.openError(err)
	}
	sealer.answered = s.answered(&state.env, req)
	return &Upload{md5: req != nil && req.MD5, sealer: sealer, objectKey: key, state: state, operation: opCompleteMultipartUpload}, nil
}

// Upload is a multipart upload that was created or opened. It is safe for concurrent use. Close it when a part was read to its end, or when it is complete.
type Upload struct {
	md5       bool
	state     *UploadState
	operation operation

	mu        sync.RWMutex // for writing only to destroy the keys
	sealer    *sealer      // of the upload
	objectKey *kms.Secret
	closed    bool
}

func validateUpload(id ObjectID, uploadID string) error {
	if uploadID == "" || !utf8.ValidString(uploadID) {
		return fmt.Errorf("%w: upload id of %d bytes, want UTF-8, at least one byte", kms.ErrInvalidRequest, len(uploadID))
	}
	return id.validate()
}

// State returns what the server stores until the upload is complete. It holds no secret.
func (u *Upload) State() *UploadState { return u.state }

// EncryptPart starts to encrypt a part, whose number is 1 to 10,000. It reads nothing of plain yet. The stored part is read from the EncryptedPart, and
// with its last byte the [PartReceipt] is ready to be stored too. Parts may come in any order, at once, and again: each time is another ciphertext with another
// receipt, of which the server keeps one pair and deletes the other.
//
// Of the number of no part it makes ErrInvalidRequest, with the [*Error] of S3.
func (u *Upload) EncryptPart(number int, plain io.Reader) (*EncryptedPart, error) {
	if number < 1 || number > maxPartNumber {
		return nil, errBadPartNumber(number)
	}
	if plain == nil {
		return nil, errNilReader()
	}
	p := &EncryptedPart{upload: u, number: number, encrypter: encrypter{body: body{r: plain}}}
	p.encrypter.finish = p.finish
	err := u.use(func() error {
		withMD5 := u.md5 && u.sealer.env.mode == SSES3
		return p.encrypter.start(u.objectKey, message{number: number}.context(), withMD5)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// use calls f, which may use the keys. It fails with ErrClosed after Close.
func (u *Upload) use(f func() error) error {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if u.closed {
		return kms.ErrClosed
	}
	return f()
}

// WriteHeaders sets the headers that the response to a CreateMultipartUpload tells of the encryption, or, if the upload was opened, the response to a
// CompleteMultipartUpload. It may be called after Close too.
func (u *Upload) WriteHeaders(h HeaderSetter) { writeSSEHeaders(h, u.operation, u.answered()) }

func (u *Upload) answered() protection {
	p := u.sealer.answered
	p.context = u.sealer.env.Context()
	return p
}

// Close wipes the keys. Parts that were not read to their end fail then, and later calls that need a key are ErrClosed. Its error is always nil.
func (u *Upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.objectKey.Destroy()
	u.sealer.inputKey.Destroy()
	u.closed = true
	return nil
}
