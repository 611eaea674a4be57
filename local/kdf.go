package local

import (
	"github.com/objectkms/kms/internal/kdf"
)

// rootKeyInfo tells the root key from other keys that could be derived from the same bytes.
const rootKeyInfo = "objectkms/v1/root-key"

// describeKDF says what kind of secret a KDF wants.
func describeKDF(name string) string {
	if name == kdf.Passphrase {
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

// kdf returns the KDF for the kind of secret that is configured.
func (c Config) kdf() string {
	if c.Passphrase != nil {
		return kdf.Passphrase
	}
	return kdf.Raw
}

// secret returns a copy of the secret, which the caller destroys. A root key file is made only if the directory is fresh.
func (c Config) secret(fresh bool) (rootSecret, error) {
	switch {
	case c.RootKey != nil:
		return rootSecret{kdf.Raw, c.RootKey.Clone().Bytes()}, nil
	case c.Passphrase != nil:
		return rootSecret{kdf.Passphrase, c.Passphrase.Clone().Bytes()}, nil
	}
	raw, err := c.readKeyFile(fresh)
	return rootSecret{kdf.Raw, raw}, err
}

// derive returns the root key. The entry must be a valid one, of the secret's kind.
func (e rootEntry) derive(secret rootSecret) ([]byte, error) {
	return e.spec().Derive(secret.bytes, rootKeyInfo)
}

func (e rootEntry) spec() kdf.Spec { return kdf.Spec{Name: e.KDF, Params: e.Params, Salt: e.Salt} }
