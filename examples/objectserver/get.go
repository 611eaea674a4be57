package main

import (
	"encoding"
	"fmt"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/examples/objectserver/gateway"
)

// Get serves a GET, a HEAD, a GetObjectAttributes, or what an UploadPartCopy reads. The first byte of the body is authentic when it returns.
func (o *objects) Get(r *gateway.Request, f *gateway.File, want gateway.Want) (*gateway.Content, error) {
	parse := encryption.ParseReadHeaders
	if want.CopySource {
		parse = encryption.ParseCopySourceHeaders
	}
	req, err := parse(r.Header, r.Transport)
	if err != nil {
		return nil, err
	}
	object, env, err := o.open(r, f, req)
	if err != nil {
		return nil, err
	}
	defer object.Close() // the body stays readable
	c := &gateway.Content{Size: object.Size(), Parts: object.Parts(), PartSizes: env.PartSizes()}
	if want.Part > 0 {
		c.Offset, c.Length, err = object.Part(want.Part)
		c.Partial = c.Length > 0
	} else {
		c.Offset, c.Length, c.Partial, err = object.ParseRange(want.Range)
	}
	if err == nil && want.Checksum && c.Length == c.Size {
		c.Checksum, err = openChecksum(f, object)
	}
	if err == nil && want.Body {
		c.Body, err = object.Range(r, c.Offset, c.Length, f.Fetch)
	}
	object.WriteHeaders(r.Answer)
	return c, err
}

// open opens an object, without reading its body.
func (o *objects) open(r *gateway.Request, f *gateway.File, req *encryption.Request) (*encryption.Object, *encryption.Envelope, error) {
	defer req.CustomerKey.Destroy() // also where OpenObject, which does it too, is not reached
	env := new(encryption.Envelope)
	if err := load(f, envelopeAttribute, env); err != nil {
		return nil, nil, err
	}
	if env.Mode() == encryption.SSEKMS && !r.Transport.SigV4 {
		return nil, nil, gateway.ErrUnsigned // a public bucket does not make a key public
	}
	object, err := o.service.OpenObject(r, f.ID, env, req, f.Size)
	return object, env, err
}

// load reads what store has stored. What is missing is not taken for an object that was not encrypted.
func load(a gateway.Attributes, name string, value encoding.TextUnmarshaler) error {
	text, err := a.Get(name)
	if err == nil && len(text) == 0 {
		err = fmt.Errorf("%w: there is no %s", kms.ErrDecrypt, name)
	}
	if err != nil {
		return err
	}
	return value.UnmarshalText(text)
}

// openChecksum returns the checksum of an object, or nothing where it has none.
func openChecksum(a gateway.Attributes, object *encryption.Object) ([]byte, error) {
	sealed, err := a.Get(checksumAttribute)
	if err != nil || len(sealed) == 0 {
		return nil, err
	}
	return object.OpenAttribute(checksumAttribute, sealed)
}

// PlainSize returns the size that listings show of an object. It needs no key.
func (o *objects) PlainSize(a gateway.Attributes, stored int64) (int64, error) {
	env := new(encryption.Envelope)
	if err := load(a, envelopeAttribute, env); err != nil {
		return 0, err
	}
	info, err := encryption.Info(env, stored)
	return info.PlainSize, err
}
