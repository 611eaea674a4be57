package main

import (
	"errors"

	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/examples/objectserver/gateway"
)

// Copy copies an object. The copy is protected as the request and its bucket say, not as the source is.
//
// The stored body is copied as it is where that is right, and only the envelope is new. It is encrypted again where modes change, since an
// ETag that is an MD5 belongs to SSE-S3 only; where the source is one of parts, which a copy never is; and where a client brings a key, which
// is shared with nobody.
func (o *objects) Copy(r *gateway.Request, from *gateway.File, to encryption.ObjectID) (*gateway.Draft, error) {
	target, err := o.parseWrite(r)
	if err != nil {
		return nil, err
	}
	defer target.CustomerKey.Destroy()
	source, err := encryption.ParseCopySourceHeaders(r.Header, r.Transport)
	if err != nil {
		return nil, err
	}
	object, env, err := o.open(r, from, source)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	checksum, err := openChecksum(from, object)
	if err != nil {
		return nil, err
	}
	if env.Mode() != target.Mode || env.Mode() == encryption.SSEC || object.Parts() > 0 || r.OtherChecksum(checksum) {
		plain, err := object.Range(r, 0, object.Size(), from.Fetch)
		if err != nil {
			return nil, err
		}
		return o.encrypt(r, to, target, r.NewBody(plain, object.Size(), checksum))
	}
	if env, err = o.service.Rewrap(r, from.ID, env, nil, to, target); err != nil {
		return nil, err
	}
	finish := func(f gateway.Attributes) (gateway.Facts, error) {
		o.service.WriteCopyHeaders(r.Answer, env, target)
		sealed, err := from.Get(checksumAttribute)
		facts := gateway.Facts{Size: env.PlainSize(), ETag: from.ETag, Checksum: checksum}
		return facts, errors.Join(err, store(f, envelopeAttribute, env), f.Set(checksumAttribute, sealed))
	}
	return &gateway.Draft{Body: from, Size: from.Size, Finish: finish}, nil
}
