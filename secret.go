package kms

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is all that a Secret ever shows of itself.
const redacted = "[secret]"

// A Secret is a byte string that must not be seen: key material, a passphrase, a token.
//
// fmt, log/slog and encoding/json show "[secret]" in its place, whatever the verb. Whoever receives a Secret destroys it when
// it has done its work. A Secret must not be copied, and Destroy must not run while another
// goroutine uses it; apart from that it may be shared.
type Secret struct {
	// The bytes stand behind a function: fmt and other printers by reflection cannot call the
	// methods below on a Secret in an unexported field, and would follow a pointer.
	value func() *[]byte
}

// NewSecret returns a Secret that takes b over: the caller must not use b afterwards, and
// Destroy wipes it.
func NewSecret(b []byte) *Secret {
	return &Secret{func() *[]byte { return &b }}
}

// Bytes returns the secret itself, not a copy. The slice is valid until Destroy and must not be kept or
// changed. It is nil after Destroy and for a nil Secret.
func (s *Secret) Bytes() []byte {
	if s == nil || s.value == nil {
		return nil
	}
	return *s.value()
}

// Len returns the length of the secret in bytes: 0 after Destroy and for a nil Secret.
func (s *Secret) Len() int {
	return len(s.Bytes())
}

// Clone returns a copy that must be destroyed on its own. The clone of a nil Secret is nil.
func (s *Secret) Clone() *Secret {
	if s == nil {
		return nil
	}
	return NewSecret(append([]byte(nil), s.Bytes()...))
}

// Destroy overwrites the secret with zeros and empties it. It may be called again, and on a nil
// Secret.
func (s *Secret) Destroy() {
	if s == nil || s.value == nil {
		return
	}
	b := s.value()
	clear(*b)
	*b = nil
}

// Format writes "[secret]" for every verb and flag. It implements [fmt.Formatter].
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue returns "[secret]". It implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[secret]". It implements [encoding.TextMarshaler], which encoding/json
// and encoding/xml use.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
