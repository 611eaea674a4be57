package encryption

import (
	"crypto/fips140"
	"crypto/md5" // #nosec G501 -- S3 has customer keys checked by MD5
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/objectkms/kms"
)

// customerHeaders are the three headers of a customer key.
type customerHeaders struct {
	algorithm, encoded, md5 field
}

func (c *customerHeaders) read(h Header, prefix string) (err error) {
	if c.algorithm, err = lookup(h, prefix+"algorithm"); err != nil {
		return err
	}
	if c.encoded, err = lookup(h, prefix+"key"); err != nil {
		return err
	}
	c.md5, err = lookup(h, prefix+"key-md5")
	return err
}

// present reports whether any of the headers is there.
func (c *customerHeaders) present() bool {
	return c.algorithm.present || c.encoded.present || c.md5.present
}

// key returns the customer key, which the caller destroys. noMD5 makes the error for a key without its MD5.
func (c *customerHeaders) key(t Transport, noMD5 func() *Error) (*kms.Secret, error) {
	switch {
	case !t.Secure && !t.AllowPlainSSEC:
		return nil, errPlainTransport()
	case c.algorithm.value == "":
		return nil, errNoCustomerAlgorithm()
	case c.algorithm.value != algorithmAES256:
		return nil, errUnknownCustomerAlgorithm(c.algorithm.value)
	case c.encoded.value == "":
		return nil, errNoCustomerKey()
	case c.md5.value == "":
		return nil, noMD5()
	}
	decoded := make([]byte, maxEncodedKey)
	key, err := decodeCustomerKey(decoded, c.encoded.value)
	if err != nil {
		return nil, err
	}
	if err := checkCustomerKey(key, c.md5.value); err != nil {
		return nil, err
	}
	return key, nil
}

// maxEncodedKey is the size in bytes of the longest header value that is decoded as a key. A key has 44.
const maxEncodedKey = 256

// decodeCustomerKey decodes a key of any length into the secret that it makes of dst. It leaves no other copy of it, and none where it fails.
func decodeCustomerKey(dst []byte, value string) (*kms.Secret, error) {
	// The decoder passes over line ends.
	if len(value) > maxEncodedKey || strings.ContainsAny(value, "\r\n") {
		return nil, errBadCustomerKey()
	}
	encoded := []byte(value)
	defer clear(encoded)
	n, err := base64.StdEncoding.Strict().Decode(dst, encoded)
	if err != nil {
		clear(dst)
		return nil, errBadCustomerKey()
	}
	return kms.NewSecret(dst[:n]), nil
}

// checkCustomerKey destroys a key that is refused. It compares the MD5 first: a key that was damaged on its way may have another length too.
func checkCustomerKey(key *kms.Secret, md5 string) error {
	var err *Error
	switch {
	case subtle.ConstantTimeCompare([]byte(customerKeyMD5(key)), []byte(md5)) != 1:
		err = errWrongCustomerKeyMD5()
	case key.Len() != customerKeySize:
		err = errBadCustomerKey()
	default:
		return nil
	}
	key.Destroy()
	return err
}

// customerKeyMD5 returns the MD5 of a customer key as headers have it. It finds mistakes of transmission, and is no cryptography: FIPS 140 has nothing
// against it.
func customerKeyMD5(key *kms.Secret) string {
	var sum [md5.Size]byte
	fips140.WithoutEnforcement(func() { sum = md5.Sum(key.Bytes()) }) // #nosec G401
	return base64.StdEncoding.EncodeToString(sum[:])
}
