package encryption

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/objectkms/kms"
)

// maxEncodedContext is the size in bytes of the longest header value that is decoded as an encryption context. JSON may escape every byte of it.
const maxEncodedContext = 16 << 10

// parseContext returns the encryption context in a header: base64 of a JSON object of strings. Its errors hold nothing of it.
func parseContext(f field) (kms.EncryptionContext, error) {
	if !f.present {
		return nil, nil
	}
	context, err := decodeContext(f.value)
	if err == nil {
		err = checkUserContext(context)
	}
	if err != nil {
		return nil, errBadContext(err)
	}
	return context, nil
}

func decodeContext(value string) (kms.EncryptionContext, error) {
	if len(value) > maxEncodedContext {
		return nil, fmt.Errorf("%w: encryption context header has %d bytes, want at most %d", kms.ErrInvalidRequest, len(value), maxEncodedContext)
	}
	// The decoder passes over line ends.
	document, err := base64.StdEncoding.Strict().DecodeString(value)
	if err != nil || strings.ContainsAny(value, "\r\n") {
		return nil, fmt.Errorf("%w: encryption context header is not base64", kms.ErrInvalidRequest)
	}
	return decodeStringMap(document)
}

// decodeStringMap returns the strings of a JSON object. Unmarshal would take the last of two equal names, null for an empty string, and any bytes for UTF-8.
func decodeStringMap(document []byte) (kms.EncryptionContext, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errNoStringMap("is not a JSON object")
	}
	var context kms.EncryptionContext
	for d.More() {
		name, err := decodeString(d)
		if err != nil {
			return nil, err
		}
		if _, ok := context[name]; ok {
			return nil, errNoStringMap("has a name twice")
		}
		value, err := decodeString(d)
		if err != nil {
			return nil, err
		}
		if context == nil {
			context = make(kms.EncryptionContext)
		}
		context[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errNoStringMap("is not JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errNoStringMap("has more than one JSON object")
	}
	return context, nil
}

func decodeString(d *json.Decoder) (string, error) {
	token, err := d.Token()
	if err != nil {
		return "", errNoStringMap("is not JSON")
	}
	text, ok := token.(string)
	if !ok {
		return "", errNoStringMap("has a value that is not a string")
	}
	// The decoder puts this character in the place of what is not Unicode.
	if strings.ContainsRune(text, utf8.RuneError) {
		return "", errNoStringMap("has text that is not Unicode")
	}
	return text, nil
}

func errNoStringMap(why string) error {
	return fmt.Errorf("%w: encryption context header %s", kms.ErrInvalidRequest, why)
}

// formatContext returns the header value of an encryption context, with the names in order.
func formatContext(context kms.EncryptionContext) string {
	var document bytes.Buffer
	encoder := json.NewEncoder(&document)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(context); err != nil {
		panic("encryption: internal error: a map of strings that is not JSON")
	}
	return base64.StdEncoding.EncodeToString(bytes.TrimSuffix(document.Bytes(), []byte("\n")))
}
