package main

import (
	"encoding"
	"errors"

	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/examples/objectserver/gateway"
)

// objects is the encryption of the server. The gateway calls its methods, one for each operation of S3.
type objects struct {
	service    *encryption.Service
	bucketKeys bool
}

// Put encrypts the body of a PUT or of a POST form.
func (o *objects) Put(r *gateway.Request, id encryption.ObjectID, plain *gateway.Body) (*gateway.Draft, error) {
	target, err := o.parseWrite(r)
	if err != nil {
		return nil, err
	}
	return o.encrypt(r, id, target, plain)
}

// parseWrite returns how a request wants a new object to be encrypted.
func (o *objects) parseWrite(r *gateway.Request) (*encryption.Request, error) {
	def, err := o.BucketEncryption(r.Bucket)
	if err != nil {
		return nil, err
	}
	target, err := encryption.ParseWriteHeaders(r.Header, r.Transport, def)
	if err == nil && o.bucketKeys && target.Mode == encryption.SSES3 {
		target.BucketKey = true // clients have no say in this
	}
	return target, err
}

// encrypt makes a stored body of plaintext. Behind its last byte stands what belongs beside it, and takes the name of the object together with it.
func (o *objects) encrypt(r *gateway.Request, id encryption.ObjectID, target *encryption.Request, plain *gateway.Body) (*gateway.Draft, error) {
	target.PlainSize = plain.Size // 0 for a form, which tells no more than a limit
	object, err := o.service.EncryptStream(r, id, target, plain)
	if err != nil {
		return nil, err
	}
	finish := func(f gateway.Attributes) (gateway.Facts, error) {
		env, err := object.Envelope()
		if err != nil {
			return gateway.Facts{}, err
		}
		object.WriteHeaders(r.Answer)
		facts := gateway.Facts{Size: env.PlainSize(), ETag: object.ETag(), Checksum: plain.Checksum()}
		return facts, errors.Join(store(f, envelopeAttribute, env), storeChecksum(f, checksumAttribute, facts.Checksum, object.SealAttribute))
	}
	return &gateway.Draft{Body: object, Size: encryption.StoredSize(plain.Limit), Finish: finish, Close: object.Close}, nil
}

// The attributes that lie beside stored bodies. Clients cannot write them.
const (
	envelopeAttribute = "objectkms-envelope" // of an object
	checksumAttribute = "objectkms-checksum" // of an object or a part, sealed
	receiptAttribute  = "objectkms-receipt"  // of a part
	stateAttribute    = "objectkms-upload"   // of an upload
	bucketAttribute   = "objectkms-default"  // of a bucket
)

// store stores an envelope, a receipt or the state of an upload. None of them holds a secret.
func store(a gateway.Attributes, name string, value encoding.TextMarshaler) error {
	text, err := value.MarshalText()
	if err != nil {
		return err
	}
	return a.Set(name, text)
}

// storeChecksum stores a checksum, which tells of the plaintext, under a seal.
func storeChecksum(a gateway.Attributes, name string, checksum []byte, seal func(name string, value []byte) ([]byte, error)) error {
	sealed, err := seal(name, checksum)
	if err != nil {
		return err
	}
	return a.Set(checksumAttribute, sealed)
}
