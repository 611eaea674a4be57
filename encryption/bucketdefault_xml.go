package encryption

import (
	"encoding/xml"
	"strconv"
)

const (
	blockedNone = "NONE"
	blockedSSEC = "SSE-C"
)

// The elements of a ServerSideEncryptionConfiguration. Those that may stand there once are lists too, so that a second one is seen.
type (
	xmlConfiguration struct {
		XMLName xml.Name  `xml:"ServerSideEncryptionConfiguration"`
		XMLNS   string    `xml:"xmlns,attr"`
		Rules   []xmlRule `xml:"Rule"`
		xmlText
	}
	xmlRule struct {
		Default   []xmlDefault `xml:"ApplyServerSideEncryptionByDefault"`
		BucketKey []xmlText    `xml:"BucketKeyEnabled"`
		Blocked   []xmlBlocked `xml:"BlockedEncryptionTypes"`
		xmlText
	}
	xmlDefault struct {
		Algorithm []xmlText `xml:"SSEAlgorithm"`
		KeyID     []xmlText `xml:"KMSMasterKeyID"`
		xmlText
	}
	xmlBlocked struct {
		Types []xmlText `xml:"EncryptionType"`
		xmlText
	}
)

// ParseBucketEncryption returns the configuration in the body of a PutBucketEncryption, or in what AppendXML wrote. Where it says nothing of
// BlockedEncryptionTypes, CustomerKeys is CustomerKeysUnset, and the server keeps what the bucket has.
//
// What is not XML, is longer than 16 KiB, has not exactly one rule, or has an element or attribute that is not known, or text that is in none of the elements for text, is MalformedXML: a server that
// passed over a part of what it was told about encryption would promise what it does not keep. An XML declaration, comments, namespaces and attributes of
// XMLSchema-instance may be there; a DOCTYPE may not. A key id with AES256 is InvalidArgument, and aws:kms:dsse
// NotImplemented. Every error is an [*Error] to be answered. The key is not looked for.
func ParseBucketEncryption(document []byte) (BucketDefault, error) {
	var config xmlConfiguration
	if err := decodeDocument(document, &config); err != nil {
		return BucketDefault{}, err
	}
	if err := config.expectElements("ServerSideEncryptionConfiguration"); err != nil {
		return BucketDefault{}, err
	}
	if len(config.Rules) != 1 {
		return BucketDefault{}, errConfiguration("%d rules, want 1", len(config.Rules))
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

func (r xmlRule) parse() (d BucketDefault, err error) {
	if err := r.expectElements("Rule"); err != nil {
		return d, err
	}
	if len(r.Default) > 1 || len(r.Blocked) > 1 {
		return d, errConfiguration("%d defaults and %d lists of blocked types, want at most 1", len(r.Default), len(r.Blocked))
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
	if err := x.expectElements("ApplyServerSideEncryptionByDefault"); err != nil {
		return None, "", err
	}
	algorithm, err := only(x.Algorithm, "SSEAlgorithm")
	if err != nil {
		return None, "", err
	}
	keyID, err := only(x.KeyID, "KMSMasterKeyID")
	if err != nil {
		return None, "", err
	}
	switch {
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
	if err := x.expectElements("BlockedEncryptionTypes"); err != nil {
		return CustomerKeysUnset, err
	}
	blocked, err := only(x.Types, "EncryptionType")
	switch {
	case err != nil:
		return CustomerKeysUnset, err
	case blocked == blockedNone:
		return CustomerKeysAllowed, nil
	case blocked == blockedSSEC:
		return CustomerKeysBlocked, nil
	}
	return CustomerKeysUnset, errConfiguration("BlockedEncryptionTypes other than %s or %s", blockedNone, blockedSSEC)
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
