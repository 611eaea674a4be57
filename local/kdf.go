package local

import (
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/sha512"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"

	"github.com/objectkms/kms"
)

// The ways from the secret of the operator to the root key, by their names in root.json.
const (
	kdfRaw        = "hkdf-sha512"
	kdfPassphrase = "argon2id"
)

const (
	rawKeySize  = 32
	rootKeySize = 32
	rootKeyInfo = "objectkms/v1/root-key"
)

// describeKDF says what kind of secret a KDF wants.
func describeKDF(kdf string) string {
	if kdf == kdfPassphrase {
		return "a passphrase"
	}
	return "a raw root key"
}

// A rootSecret is a copy of what the operator has given.
type rootSecret struct {
	kdf   string
	bytes []byte
}

func (s rootSecret) destroy() { clear(s.bytes) }

// checkMode refuses what the FIPS mode of the process rules out.
func (c Config) checkMode() error {
	if c.Passphrase != nil && fips140.Enforced() {
		return fmt.Errorf("%w: a passphrase with fips140=only: Argon2id is not approved", kms.ErrUnsupported)
	}
	return nil
}

// kdf returns the KDF for the kind of secret that is configured.
func (c Config) kdf() string {
	if c.Passphrase != nil {
		return kdfPassphrase
	}
	return kdfRaw
}

// secret returns a copy of the secret, which the caller destroys. A root key file is made only if the directory is fresh.
func (c Config) secret(fresh bool) (rootSecret, error) {
	switch {
	case c.RootKey != nil:
		return rootSecret{kdfRaw, c.RootKey.Clone().Bytes()}, nil
	case c.Passphrase != nil:
		return rootSecret{kdfPassphrase, c.Passphrase.Clone().Bytes()}, nil
	}
	raw, err := c.readKeyFile(fresh)
	return rootSecret{kdfRaw, raw}, err
}

// derive returns the root key. The entry must be a valid one, of the secret's kind.
func (e rootEntry) derive(secret rootSecret) ([]byte, error) {
	if e.KDF == kdfRaw {
		return hkdf.Key(sha512.New, secret.bytes, e.Salt, rootKeyInfo, rootKeySize)
	}
	p, err := parseArgon(e.Params)
	if err != nil {
		return nil, err
	}
	return argon2.IDKey(secret.bytes, e.Salt, p.passes, p.memory, p.lanes, rootKeySize), nil
}

// argonParams are the parameters of Argon2id, RFC 9106 section 3.1: m in KiB, t and p.
type argonParams struct {
	memory, passes uint32
	lanes          uint8
}

// defaultParams returns the parameters of new roots. For Argon2id they are, in memory, passes and lanes, the second
// recommendation of RFC 9106, section 4.
func defaultParams(kdf string) string {
	if kdf == kdfRaw {
		return ""
	}
	return argonParams{memory: 64 << 10, passes: 3, lanes: 4}.String()
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
