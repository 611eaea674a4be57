package encryption

import (
	"bytes"
	"encoding/xml"
	"io"
	"strconv"
)

// maxBucketXML is the size in bytes of the longest configuration that is parsed.
const maxBucketXML = 16 << 10

const s3Namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

const (
	blockedNone = "NONE"
	blockedSSEC = "SSE-C"
)

// The elements of a ServerSideEncryptionConfiguration. Those that may stand there once are lists too, so that a second one is seen.
type (
	xmlConfiguration struct {
		XMLName xml.Name     `xml:"ServerSideEncryptionConfiguration"`
		XMLNS   string       `xml:"xmlns,attr"`
		Rules   []xmlRule    `xml:"Rule"`
		Unknown []xmlUnknown `xml:",any"`
	}
	xmlRule struct {
		Default   []xmlDefault `xml:"ApplyServerSideEncryptionByDefault"`
		BucketKey []xmlText    `xml:"BucketKeyEnabled"`
		Blocked   []xmlBlocked `xml:"BlockedEncryptionTypes"`
		Unknown   []xmlUnknown `xml:",any"`
	}
	xmlDefault struct {
		Algorithm []xmlText    `xml:"SSEAlgorithm"`
		KeyID     []xmlText    `xml:"KMSMasterKeyID"`
		Unknown   []xmlUnknown `xml:",any"`
	}
	xmlBlocked struct {
		Types   []xmlText    `xml:"EncryptionType"`
		Unknown []xmlUnknown `xml:",any"`
	}
	xmlText struct {
		Text    string       `xml:",chardata"`
		Unknown []xmlUnknown `xml:",any"`
	}
	xmlUnknown struct{ XMLName xml.Name }
)

// ParseBucketEncryption returns the configuration in the body of a PutBucketEncryption, or in what AppendXML wrote. Where it says nothing of
// BlockedEncryptionTypes, CustomerKeys is CustomerKeysUnset, and the server keeps what the bucket has.
//
// What is not XML, is longer than 16 KiB, has not exactly one rule, or has an element that is not known, is MalformedXML: a server that passed over a part of
// what it was told about encryption would promise what it does not keep. A key id with AES256 is InvalidArgument, and aws:kms:dsse
// NotImplemented. Every error is an [*Error] to be answered. The key is not looked for.
func ParseBucketEncryption(document []byte) (BucketDefault, error) {
	var config xmlConfiguration
	if err := decodeDocument(document, &config); err != nil {
		return BucketDefault{}, err
	}
	if len(config.Rules) != 1 || len(config.Unknown) > 0 {
		return BucketDefault{}, errConfiguration("%d rules and %d other elements, want 1 and none", len(config.Rules), len(config.Unknown))
	}
	d, err := config.Rules[0].parse()
	if err != nil {
		return BucketDefault{}, err
	}
	if err := d.check(); err != nil {
		return BucketDefault{}, errConfiguration("a key id of %d bytes, want printable text of at most %d", len(d.KeyID), maxKeyID)
	}
	return d, nil
}

// decodeDocument decodes the one element of a document.
func decodeDocument(document []byte, element any) error {
	if len(document) > maxBucketXML {
		return errConfiguration("%d bytes, want at most %d", len(document), maxBucketXML)
	}
	d := xml.NewDecoder(bytes.NewReader(document))
	if err := d.Decode(element); err != nil {
		return errConfiguration("no element of this name that is well-formed")
	}
	if err := expectEnd(d); err != nil {
		return err
	}
	return checkNamespaces(document)
}

// expectEnd checks that nothing but space and comments follows: Decode stops behind the first element.
func expectEnd(d *xml.Decoder) error {
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		text, isText := token.(xml.CharData)
		_, isComment := token.(xml.Comment)
		if err != nil || !isComment && (!isText || len(bytes.TrimSpace(text)) > 0) {
			return errConfiguration("something behind its end")
		}
	}
}

// checkNamespaces checks that all elements of a document are of S3, or of no namespace: Decode looks at their local names only.
func checkNamespaces(document []byte) error {
	d := xml.NewDecoder(bytes.NewReader(document))
	for {
		token, err := d.Token()
		if err != nil {
			return nil // the end: Decode was there before
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Space != "" && e.Name.Space != s3Namespace {
			return errConfiguration("another namespace, want %q", s3Namespace)
		}
	}
}

func (r xmlRule) parse() (d BucketDefault, err error) {
	if len(r.Unknown) > 0 || len(r.Default) > 1 || len(r.Blocked) > 1 {
		return d, errConfiguration("an unknown or repeated element in its rule")
	}
	d.Mode = SSES3
	if len(r.Default) == 1 {
		if d.Mode, d.KeyID, err = r.Default[0].parse(); err != nil {
			return d, err
		}
	}
	if len(r.Blocked) == 1 {
		if d.CustomerKeys, err = r.Blocked[0].parse(); err != nil {
			return d, err
		}
	}
	d.BucketKey, err = parseBucketKey(r.BucketKey)
	return d, err
}

func (x xmlDefault) parse() (Mode, string, error) {
	algorithm, err := only(x.Algorithm, "SSEAlgorithm")
	if err != nil {
		return None, "", err
	}
	keyID, err := only(x.KeyID, "KMSMasterKeyID")
	if err != nil {
		return None, "", err
	}
	switch {
	case len(x.Unknown) > 0:
		return None, "", errConfiguration("an unknown element in its default")
	case algorithm == algorithmDSSE:
		return None, "", errMethodNotImplemented()
	case algorithm == algorithmKMS:
		return SSEKMS, keyID, nil
	case algorithm != algorithmAES256:
		return None, "", errConfiguration("an unknown SSEAlgorithm, want %s or %s", algorithmAES256, algorithmKMS)
	case keyID != "":
		return None, "", errKeyNotApplicable()
	}
	return SSES3, "", nil
}

func (x xmlBlocked) parse() (CustomerKeys, error) {
	blocked, err := only(x.Types, "EncryptionType")
	switch {
	case err != nil:
		return CustomerKeysUnset, err
	case len(x.Unknown) == 0 && blocked == blockedNone:
		return CustomerKeysAllowed, nil
	case len(x.Unknown) == 0 && blocked == blockedSSEC:
		return CustomerKeysBlocked, nil
	}
	return CustomerKeysUnset, errConfiguration("BlockedEncryptionTypes other than %s or %s", blockedNone, blockedSSEC)
}

// only returns the text of an element that may be there once, or "" where it is not.
func only(texts []xmlText, name string) (string, error) {
	switch {
	case len(texts) == 0:
		return "", nil
	case len(texts) > 1:
		return "", errConfiguration("%d elements %s, want at most 1", len(texts), name)
	case len(texts[0].Unknown) > 0:
		return "", errConfiguration("an element in its %s", name)
	}
	return texts[0].Text, nil
}

// AppendXML appends the configuration to dst as the body that GetBucketEncryption answers, and [ParseBucketEncryption] reads. It fails with
// [kms.ErrInvalidConfig] for a mode other than SSE-S3 and SSE-KMS, for a key id with SSE-S3, and for one that cannot be shown.
func (d BucketDefault) AppendXML(dst []byte) ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	text := func(s string) []xmlText { return []xmlText{{Text: s}} }
	rule := xmlRule{Default: []xmlDefault{{Algorithm: text(algorithmAES256)}}, BucketKey: text(strconv.FormatBool(d.BucketKey))}
	if d.mode() == SSEKMS {
		rule.Default[0].Algorithm = text(algorithmKMS)
		if d.KeyID != "" {
			rule.Default[0].KeyID = text(d.KeyID)
		}
	}
	switch d.CustomerKeys {
	case CustomerKeysAllowed:
		rule.Blocked = []xmlBlocked{{Types: text(blockedNone)}}
	case CustomerKeysBlocked:
		rule.Blocked = []xmlBlocked{{Types: text(blockedSSEC)}}
	}
	body, err := xml.Marshal(xmlConfiguration{XMLNS: s3Namespace, Rules: []xmlRule{rule}})
	if err != nil {
		return nil, err
	}
	return append(append(dst, xml.Header...), body...), nil
}
