// Package kdf derives keys from what an operator keeps: random bytes, or a passphrase.
package kdf

import (
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/erase"
)

// The ways from a secret to a key, by the names that are stored.
const (
	Raw        = "hkdf-sha512" // from 32 uniformly random bytes
	Passphrase = "argon2id"    // from any text that is not empty
)

// Sizes in bytes.
const (
	RawSize  = 32 // of a secret of random bytes
	SaltSize = 32
	KeySize  = 32
)

// A Spec says how a key comes from a secret. It is stored beside what the key seals, and holds no secret.
type Spec struct {
	Name   string
	Params string
	Salt   []byte
}

// New returns a Spec with the parameters of today and a random salt. The name must be one of this package.
func New(name string) Spec {
	s := Spec{Name: name, Salt: make([]byte, SaltSize)}
	if name == Passphrase {
		// The second recommendation of RFC 9106, section 4.
		s.Params = argonParams{memory: 64 << 10, passes: 3, lanes: 4}.String()
	}
	rand.Read(s.Salt)
	return s
}

// Validate checks the sizes, and bounds the parameters before anything is computed with them.
func (s Spec) Validate() error {
	if len(s.Salt) != SaltSize {
		return fmt.Errorf("has a salt of %d bytes, want %d", len(s.Salt), SaltSize)
	}
	switch s.Name {
	case Raw:
		if s.Params != "" {
			return fmt.Errorf("has parameters for %s, want none", Raw)
		}
		return nil
	case Passphrase:
		_, err := parseArgon(s.Params)
		return err
	}
	return errors.New("has an unknown KDF")
}

// Derive returns the key, which the caller wipes. The Spec must be a valid one, and the secret of its kind. info tells the uses
// of random bytes apart; those of a passphrase are told apart by their salts. The error is ErrUnsupported where the FIPS mode of the process rules
// the KDF out.
func (s Spec) Derive(secret []byte, info string) (key []byte, err error) {
	if err := CheckMode(s.Name); err != nil {
		return nil, err
	}
	if s.Name == Raw {
		erase.After(func() { key, err = hkdf.Key(sha512.New, secret, s.Salt, info, KeySize) })
		return key, err
	}
	p, err := parseArgon(s.Params)
	if err != nil {
		return nil, err
	}
	erase.After(func() { key = argon2.IDKey(secret, s.Salt, p.passes, p.memory, p.lanes, KeySize) })
	return key, nil
}

// CheckMode returns ErrUnsupported where the FIPS mode of the process rules a KDF out.
func CheckMode(name string) error {
	if name == Passphrase && fips140.Enforced() {
		return fmt.Errorf("%w: a passphrase with fips140=only: Argon2id is not approved", kms.ErrUnsupported)
	}
	return nil
}

// CheckRaw checks a secret of random bytes. what names it in the error, which wraps ErrInvalidConfig.
func CheckRaw(what string, raw []byte) error {
	if len(raw) != RawSize {
		return fmt.Errorf("%w: %s has %d bytes, want %d", kms.ErrInvalidConfig, what, len(raw), RawSize)
	}
	var or byte
	for _, b := range raw {
		or |= b
	}
	if or == 0 {
		return fmt.Errorf("%w: %s is all zero", kms.ErrInvalidConfig, what)
	}
	return nil
}

// argonParams are the parameters of Argon2id, RFC 9106 section 3.1: m in KiB, t and p.
type argonParams struct {
	memory, passes uint32
	lanes          uint8
}

func (p argonParams) String() string {
	return fmt.Sprintf("m=%d,t=%d,p=%d", p.memory, p.passes, p.lanes)
}

// parseArgon reads the one form of parameters within the bounds: 19 MiB, the least that OWASP suggests, to 1 GiB.
func parseArgon(text string) (p argonParams, err error) {
	if _, err := fmt.Sscanf(text, "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.lanes); err != nil || p.String() != text {
		return argonParams{}, errors.New("has malformed parameters")
	}
	if p.memory < 19<<10 || p.memory > 1<<20 || p.passes < 1 || p.passes > 16 || p.lanes < 1 || p.lanes > 16 {
		return argonParams{}, fmt.Errorf("has the parameters %s, want m 19456 to 1048576, t and p 1 to 16", text)
	}
	return p, nil
}
