package encryption

import (
	"bytes"
	"encoding/xml"
	"io"
	"slices"
)

// maxDocument is the size in bytes of the longest document that is parsed.
const maxDocument = 16 << 10

const (
	s3Namespace       = "http://s3.amazonaws.com/doc/2006-03-01/"
	instanceNamespace = "http://www.w3.org/2001/XMLSchema-instance"
)

const (
	xmlSpace      = " \t\r\n"
	byteOrderMark = "\ufeff"
)

// decodeDocument decodes the one element of a document.
func decodeDocument(document []byte, element any) error {
	if len(document) > maxDocument {
		return errConfiguration("%d bytes, want at most %d", len(document), maxDocument)
	}
	document = bytes.TrimPrefix(document, []byte(byteOrderMark))
	if err := checkDocument(document); err != nil {
		return err
	}
	if err := xml.Unmarshal(document, element); err != nil {
		return errConfiguration("another element than it is to have")
	}
	return nil
}

// checkDocument checks what Unmarshal passes over: what stands around the one element, attributes and namespaces. Text in an element that
// has no text is left to xmlText.
func checkDocument(document []byte) error {
	d := xml.NewDecoder(bytes.NewReader(document))
	depth, elements := 0, 0
	for {
		atBegin := d.InputOffset() == 0
		token, err := d.Token()
		switch {
		case err == io.EOF && elements == 1:
			return nil
		case err == io.EOF:
			return errConfiguration("%d elements, want 1", elements)
		case err != nil:
			return errConfiguration("text that is no well-formed XML")
		}
		switch token.(type) {
		case xml.StartElement:
			if depth == 0 {
				elements++
			}
			depth++
		case xml.EndElement:
			depth--
		}
		if err := checkToken(token, atBegin, depth == 0); err != nil {
			return err
		}
	}
}

// checkToken checks one token of a document, and whether it may stand there.
func checkToken(token xml.Token, atBegin, outside bool) error {
	switch token := token.(type) {
	case xml.StartElement:
		return checkElement(token)
	case xml.CharData:
		if outside && len(bytes.Trim(token, xmlSpace)) > 0 {
			return errConfiguration("text before or behind its element, want none")
		}
	case xml.ProcInst:
		if !atBegin || token.Target != "xml" {
			return errConfiguration("a processing instruction, want none but an XML declaration at its begin")
		}
	case xml.Directive:
		return errConfiguration("a directive such as DOCTYPE, want none")
	}
	return nil
}

// checkElement checks that an element is of S3, or of no namespace, and has no attributes but those that any element may have.
func checkElement(e xml.StartElement) error {
	if e.Name.Space != "" && e.Name.Space != s3Namespace {
		return errConfiguration("an element of another namespace, want %q", s3Namespace)
	}
	for i, a := range e.Attr {
		// A prefix whose namespace is "xmlns" would make a declaration of everything.
		declares := a.Name == xml.Name{Local: "xmlns"} || a.Name.Space == "xmlns" && a.Value != "xmlns"
		if !declares && a.Name.Space != instanceNamespace {
			return errConfiguration("an attribute, want none but namespaces and those of %q", instanceNamespace)
		}
		if slices.ContainsFunc(e.Attr[:i], func(b xml.Attr) bool { return b.Name == a.Name }) {
			return errConfiguration("an attribute twice, want it once")
		}
	}
	return nil
}

// xmlUnknown is an element that is not known.
type xmlUnknown struct{ XMLName xml.Name }

// xmlText is the text of an element, and the elements in it that are not known. It is a part of every element, so that what should not be there is seen.
type xmlText struct {
	Text    string       `xml:",chardata"`
	Unknown []xmlUnknown `xml:",any"`
}

// expectElements checks that an element has nothing but known elements and space.
func (x xmlText) expectElements(name string) error {
	switch {
	case len(x.Unknown) > 0:
		return errConfiguration("%d unknown elements in its %s, want none", len(x.Unknown), name)
	case len(bytes.Trim([]byte(x.Text), xmlSpace)) > 0:
		return errConfiguration("text between the elements of its %s, want none", name)
	}
	return nil
}

// only returns the text of an element that may be there once, or "" where it is not.
func only(texts []xmlText, name string) (string, error) {
	switch {
	case len(texts) == 0:
		return "", nil
	case len(texts) > 1:
		return "", errConfiguration("%d elements %s, want at most 1", len(texts), name)
	case len(texts[0].Unknown) > 0:
		return "", errConfiguration("an element in its %s, want text", name)
	}
	return texts[0].Text, nil
}
