package encryption

import "github.com/objectkms/kms"

// Parts are the fields of an Envelope, for tests that put one together from several.
type Parts struct {
	Mode            Mode
	BucketKey       bool
	KeyID           string
	Context         []byte
	Layout          layout
	Sealed, Wrapped []byte
}

// Parts returns the fields of the envelope.
func (e *Envelope) Parts() Parts {
	return Parts{e.mode, e.bucketKey, e.keyID, e.context, e.layout, e.sealed, e.wrapped}
}

// PlainSize returns the size in the layout.
func (p Parts) PlainSize() int64 { return p.Layout.plainSize() }

// Envelope returns the envelope with these fields, whether or not it could be parsed.
func (p Parts) Envelope() *Envelope {
	return &Envelope{p.Mode, p.BucketKey, p.KeyID, p.Context, p.Layout, p.Sealed, p.Wrapped}
}

// SealContext returns what the object key in the envelope is bound to.
func (p Parts) SealContext(id ObjectID) []byte {
	e := p.Envelope()
	return e.sealContext(id, "", e.effectiveContext(id))
}

// EffectiveContext returns the encryption context of the data key in the envelope.
func (p Parts) EffectiveContext(id ObjectID) kms.EncryptionContext {
	return p.Envelope().effectiveContext(id)
}

// Keys returns the secrets that are held until the envelope is made.
func (o *EncryptedObject) Keys() []*kms.Secret { return []*kms.Secret{o.objectKey, o.sealer.inputKey} }

// Key returns the secret that is held until the header was seen.
func (o *Object) Key() *kms.Secret { return o.messages.key }

// OnHold has f called with every key that the Service opens, and every one that it seals another with.
func OnHold(s *Service, f func(*kms.Secret)) { s.held = f }

// Digest returns the digest of the parts in the layout.
func (p Parts) Digest() []byte { return p.Layout.digest[:] }
