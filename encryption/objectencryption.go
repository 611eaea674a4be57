package encryption

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/objectkms/kms"
)

// The elements of an ObjectEncryption.
type (
	xmlObjectEncryption struct {
		XMLName xml.Name       `xml:"ObjectEncryption"`
		SSEKMS  []xmlObjectKMS `xml:"SSE-KMS"`
		xmlText
	}
	xmlObjectKMS struct {
		KeyARN    []xmlText `xml:"KMSKeyArn"`
		BucketKey []xmlText `xml:"BucketKeyEnabled"`
		xmlText
	}
)

// ParseObjectEncryption returns the target in the body of an UpdateObjectEncryption, for [Service.Rewrap]: SSE-KMS, with the key and the bucket key that the
// document says. The caller sets its Context, which is the object's own: see [Envelope.Context]. The key is named as in the header of a write, and not
// looked for.
//
// Documents are read as strictly as those of [ParseBucketEncryption], and errors are those of MalformedXML. A document without a key is one of them: the default
// key is for writes that say nothing.
func ParseObjectEncryption(document []byte) (*Request, error) {
	var update xmlObjectEncryption
	if err := decodeDocument(document, &update); err != nil {
		return nil, err
	}
	if err := update.expectElements("ObjectEncryption"); err != nil {
		return nil, err
	}
	if len(update.SSEKMS) != 1 {
		return nil, errConfiguration("%d elements SSE-KMS, want 1", len(update.SSEKMS))
	}
	return update.SSEKMS[0].parse()
}

func (x xmlObjectKMS) parse() (*Request, error) {
	if err := x.expectElements("SSE-KMS"); err != nil {
		return nil, err
	}
	keyID, err := only(x.KeyARN, "KMSKeyArn")
	if err != nil {
		return nil, err
	}
	if keyID == "" || !isPrintable(keyID) {
		return nil, errConfiguration("a KMSKeyArn of %d bytes, want printable text of 1 to %d", len(keyID), maxKeyID)
	}
	bucketKey, err := parseBucketKey(x.BucketKey)
	if err != nil {
		return nil, err
	}
	return &Request{Mode: SSEKMS, KeyID: keyID, BucketKey: bucketKey}, nil
}

// parseBucketKey returns what a BucketKeyEnabled says. It is false where there is none.
func parseBucketKey(elements []xmlText) (bool, error) {
	text, err := only(elements, "BucketKeyEnabled")
	if err != nil || len(elements) == 0 {
		return false, err
	}
	switch {
	case strings.EqualFold(text, "true"):
		return true, nil
	case strings.EqualFold(text, "false"):
		return false, nil
	}
	return false, errConfiguration("a BucketKeyEnabled that is not true or false")
}

func errConfiguration(format string, args ...any) *Error {
	return errMalformedXML(fmt.Errorf("%w: encryption configuration has %s", kms.ErrInvalidRequest, fmt.Sprintf(format, args...)))
}
