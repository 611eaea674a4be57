package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/cobblestone"
	"github.com/objectkms/kms/internal/encctx"
	"github.com/objectkms/kms/internal/erase"
	"github.com/objectkms/kms/internal/kdf"
)

// A bundle is a line that says how its key comes from the secret of the operator, and behind it one message, of what content.go
// describes.
const (
	bundleFormat  = 1
	bundleKeyInfo = "objectkms/v1/bundle-key"
	maxHeadSize   = 256
	// maxBundleSize bounds what is read into memory. A key of one version takes about 200 bytes.
	maxBundleSize = 256 << 20
)

// A bundleHead is the first line of a bundle.
type bundleHead struct {
	Bundle int    `json:"bundle"`
	KDF    string `json:"kdf"`
	Params string `json:"params"`
	Salt   []byte `json:"salt"`
}

// renderHead returns the line in its one form.
func renderHead(spec kdf.Spec) []byte {
	return fmt.Appendf(nil, "{\"bundle\":%d,\"kdf\":\"%s\",\"params\":\"%s\",\"salt\":\"%s\"}\n",
		bundleFormat, spec.Name, spec.Params, base64.StdEncoding.EncodeToString(spec.Salt))
}

// cutHead reads what renderHead wrote, and refuses all other bytes.
func cutHead(raw []byte) (spec kdf.Spec, message []byte, err error) {
	end := bytes.IndexByte(raw[:min(len(raw), maxHeadSize)], '\n') + 1
	var head bundleHead
	if end == 0 || json.Unmarshal(raw[:end], &head) != nil {
		return spec, nil, errors.New("is none, or is cut")
	}
	if head.Bundle != bundleFormat {
		return spec, nil, fmt.Errorf("has format %d, want %d", head.Bundle, bundleFormat)
	}
	spec = kdf.Spec{Name: head.KDF, Params: head.Params, Salt: head.Salt}
	if err := spec.Validate(); err != nil {
		return spec, nil, err
	}
	if !bytes.Equal(renderHead(spec), raw[:end]) {
		return spec, nil, errors.New("has a first line that is not in its one form")
	}
	return spec, raw[end:], nil
}

func bundleContext(spec kdf.Spec) []byte {
	return encctx.Bind(nil, "bundle", encctx.Uint32(bundleFormat), []byte(spec.Name), []byte(spec.Params), spec.Salt)
}

// A bundleSecret is a copy of what an operator seals bundles under.
type bundleSecret struct {
	kdf   string
	bytes []byte
}

// newBundleSecret returns a copy of the one secret that is given. Errors wrap ErrInvalidConfig, or ErrUnsupported.
func newBundleSecret(key, passphrase *kms.Secret) (bundleSecret, error) {
	switch {
	case (key == nil) == (passphrase == nil):
		return bundleSecret{}, fmt.Errorf("%w: want one of key and passphrase for the bundle", kms.ErrInvalidConfig)
	case key != nil:
		s := bundleSecret{kdf.Raw, copyOf(key)}
		return s, kdf.CheckRaw("bundle key", s.bytes)
	case passphrase.Len() == 0:
		return bundleSecret{}, fmt.Errorf("%w: the passphrase of the bundle is empty", kms.ErrInvalidConfig)
	}
	return bundleSecret{kdf.Passphrase, copyOf(passphrase)}, kdf.CheckMode(kdf.Passphrase)
}

func copyOf(secret *kms.Secret) (b []byte) {
	erase.After(func() { b = secret.Clone().Bytes() })
	return b
}

func (s bundleSecret) destroy() { clear(s.bytes) }

func describeKDF(name string) string {
	if name == kdf.Passphrase {
		return "a passphrase"
	}
	return "a key"
}

// write seals content, and writes the bundle.
func (s bundleSecret) write(w io.Writer, content []byte) error {
	spec := kdf.New(s.kdf)
	head := renderHead(spec)
	if n := int64(len(head)) + cobblestone.StoredSize(int64(len(content))); n > maxBundleSize {
		return fmt.Errorf("%w: the bundle would have %d bytes, want at most %d: export fewer keys", kms.ErrInvalidRequest, n, maxBundleSize)
	}
	key, err := spec.Derive(s.bytes, bundleKeyInfo)
	if err != nil {
		return err
	}
	defer clear(key)
	message, err := cobblestone.NewEncryptReader(key, bundleContext(spec), bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("%w: %w", kms.ErrUnsupported, err)
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	// Without WriteTo nothing is done by other goroutines, whose copies of the materials would not be erased.
	_, err = io.Copy(w, struct{ io.Reader }{message})
	return err
}

// read returns the content of a bundle, which the caller wipes.
func (s bundleSecret) read(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxBundleSize+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxBundleSize {
		return nil, fmt.Errorf("%w: bundle has more than %d bytes", kms.ErrKeyMaterial, maxBundleSize)
	}
	spec, message, err := cutHead(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: bundle %w", kms.ErrKeyMaterial, err)
	}
	if spec.Name != s.kdf {
		return nil, fmt.Errorf("%w: the bundle is sealed under %s, not under %s", kms.ErrInvalidConfig, describeKDF(spec.Name), describeKDF(s.kdf))
	}
	key, err := spec.Derive(s.bytes, bundleKeyInfo)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	content, err := cobblestone.Open(nil, key, bundleContext(spec), message)
	if errors.Is(err, cobblestone.ErrOpen) {
		return nil, kms.ErrDecrypt
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kms.ErrUnsupported, err)
	}
	return content, nil
}
