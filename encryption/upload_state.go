package encryption

import (
	"errors"
	"fmt"

	"github.com/objectkms/kms"
)

// UploadState is what a server stores of a multipart upload until it is complete: what the object's [Envelope] will have, but for the parts. It holds no
// secret. Its text form is the one to store.
//
// An UploadState comes from [Upload.State] or UnmarshalText; the zero value is none. It is safe for concurrent use, but for UnmarshalText.
type UploadState struct {
	env Envelope // without a layout; the object key in it is sealed for the upload
}

// Mode returns whose key protects the object. It is None for the zero UploadState and for nil. It is not authentic before the upload was opened.
func (s *UploadState) Mode() Mode {
	if s == nil {
		return None
	}
	return s.env.mode
}

// check refuses the states that are none.
func (s *UploadState) check() error {
	if s.Mode() == None {
		return fmt.Errorf("%w: upload has no state", kms.ErrInvalidRequest)
	}
	return nil
}

// checkRequest checks the request against the upload that is to be opened.
func (s *UploadState) checkRequest(req *Request, opts *Options) error {
	wanted, given := s.env.mode == SSEC, req.customerKey() != nil
	if wanted && !given {
		return errPartParameters(fmt.Errorf("%w: no customer key for an upload of mode %v", kms.ErrInvalidRequest, s.env.mode))
	}
	if given && !wanted {
		return errPartParameters(fmt.Errorf("%w: customer key for an upload of mode %v", kms.ErrInvalidRequest, s.env.mode))
	}
	return req.checkRead(&s.env, opts)
}

// openError returns the error for a state that did not open. With a customer key, that is most likely the wrong one.
func (s *UploadState) openError(err error) error {
	if s.env.mode == SSEC && errors.Is(err, kms.ErrDecrypt) {
		return errPartKey(err)
	}
	return err
}

// MarshalText returns the text form of the state: base64url without padding. It fails only for the zero UploadState and for nil.
func (s *UploadState) MarshalText() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return encodeText(s.env.appendBinary(nil)), nil
}

// UnmarshalText sets s to the state that has exactly this text form. Empty text is ErrInvalidRequest; any other text that MarshalText does not
// return is ErrDecrypt. s is left alone then.
func (s *UploadState) UnmarshalText(text []byte) error {
	if len(text) == 0 || s == nil {
		return (*UploadState)(nil).check()
	}
	env, err := parseText(text, parseNoLayout)
	if err != nil {
		return malformed("upload state", err)
	}
	s.env = *env
	return nil
}
