package main

import (
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/examples/objectserver/gateway"
)

// BucketEncryption returns the configuration of a bucket, for its writes and for a GetBucketEncryption.
func (o *objects) BucketEncryption(bucket gateway.Attributes) (encryption.BucketDefault, error) {
	document, err := bucket.Get(bucketAttribute)
	if err != nil || len(document) == 0 {
		return encryption.BucketDefault{BucketKey: o.bucketKeys}, err
	}
	return encryption.ParseBucketEncryption(document)
}

// SetBucketEncryption serves a PutBucketEncryption, or, without a document, a DeleteBucketEncryption. What the document does not say about customer keys stays
// as it was.
func (o *objects) SetBucketEncryption(bucket gateway.Attributes, document []byte) error {
	old, err := o.BucketEncryption(bucket)
	if err != nil {
		return err
	}
	def := encryption.BucketDefault{BucketKey: o.bucketKeys}
	if document != nil {
		if def, err = encryption.ParseBucketEncryption(document); err != nil {
			return err
		}
	}
	if def.CustomerKeys == encryption.CustomerKeysUnset {
		def.CustomerKeys = old.CustomerKeys
	}
	if document, err = def.AppendXML(nil); err != nil {
		return err
	}
	return bucket.Set(bucketAttribute, document)
}

// UpdateObjectEncryption gives an object another key. Its body, its ETag and its date stay.
func (o *objects) UpdateObjectEncryption(r *gateway.Request, f *gateway.File, document []byte) error {
	target, err := encryption.ParseObjectEncryption(document)
	if err != nil {
		return err
	}
	env := new(encryption.Envelope)
	if err := load(f, envelopeAttribute, env); err != nil {
		return err
	}
	target.Context = env.Context()
	if env, err = o.service.Rewrap(r, f.ID, env, nil, f.ID, target); err != nil {
		return err
	}
	return store(f, envelopeAttribute, env)
}
