package encryption

import (
	"context"

	"github.com/objectkms/kms"
)

// Rewrap returns a new envelope for the stored body of an object: under the newest version of its key, under another key, in another mode, or for another
// object. No data moves, the body stays as it is. The object that env belongs to is from, and req is what a read of it
// would need; to is the object that the new envelope is for, and target says how it is protected, as in a write. Its PlainSize and MD5 have no meaning.
//
// The target's encryption context is that of target alone: Envelope.Context of env gives the old one. An envelope of before still opens the object that it
// was made for. Who could open the body before can open it now: after a compromise, or between parties that do not trust each other, read and write again.
func (s *Service) Rewrap(ctx context.Context, from ObjectID, env *Envelope, req *Request, to ObjectID, target *Request) (*Envelope, error) {
	defer req.customerKey().Destroy()
	defer target.customerKey().Destroy()
	if err := to.validate(); err != nil {
		return nil, err
	}
	if err := target.checkWrite(); err != nil {
		return nil, err
	}
	key, err := s.openObjectKey(ctx, from, env, req)
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	return s.sealFor(ctx, to, target, key, env.layout)
}

// sealFor seals an object key for an object.
func (s *Service) sealFor(ctx context.Context, to ObjectID, target *Request, key *kms.Secret, layout layout) (*Envelope, error) {
	sealer, err := s.newSealer(ctx, to, target)
	if err != nil {
		return nil, err
	}
	defer sealer.inputKey.Destroy()
	return sealer.seal(key, layout)
}
