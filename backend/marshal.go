package backend

import (
	"errors"

	"github.com/objectkms/kms"
)

// MarshalConfig writes a configuration of this library's backends as a document that [ParseConfig] reads, with all its secrets: for who keeps a
// configuration under a seal of his own, or sends it to an admin API. What JSON cannot say, such as Options.Authorize and the loggers, is left out.
//
// The caller destroys the result. A backend of somebody else's is ErrUnsupported, and what JSON cannot hold, such as a timeout of half a second or a passphrase that is
// not UTF-8 or reads "[secret]", ErrInvalidConfig. So is a document of more than 1 MiB, which nobody would read.
func MarshalConfig(cfg kms.Config) (*kms.Secret, error) {
	w := new(writer)
	r, err := requestOf(cfg)
	if err == nil {
		err = r.write(w, "")
	}
	switch {
	case errors.Is(err, kms.ErrUnsupported):
		return nil, err
	case err != nil:
		clear(w.buf)
		return nil, asInvalid(err)
	case len(w.buf) > maxDocument:
		clear(w.buf)
		return nil, asInvalid(invalid("", "the document has %d bytes, want at most %d", len(w.buf), maxDocument))
	}
	return kms.NewSecret(w.buf), nil
}
