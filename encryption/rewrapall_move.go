package encryption

import (
	"context"

	"github.com/objectkms/kms"
)

// move opens one item and seals it again. Its error is one that ends the run.
func (r *rewrapAll) move(ctx context.Context, item *rewrapItem) error {
	env, err := r.reseal(ctx, item)
	switch {
	case ends(ctx, err):
		return err
	case err != nil:
		r.fail(item, err)
		return nil
	case env == nil:
		r.done(item, &r.report.Current, item.Envelope)
		return nil
	}
	return r.store(ctx, item, env)
}

// reseal returns the new envelope of an item, or nil if it needs none.
func (r *rewrapAll) reseal(ctx context.Context, item *rewrapItem) (*Envelope, error) {
	key, ofTarget, err := r.open(ctx, item)
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	if ofTarget && item.batch {
		current, err := r.current(ctx, item.Envelope)
		if current || err != nil {
			return nil, err
		}
	}
	return r.sealer.sealFor(ctx, item.ID, item.target, key, item.Envelope.layout)
}

// withKeyIDs returns the Service with another face: requests name keys by the ids of the KeyService.
func (s *Service) withKeyIDs() *Service {
	byID := *s
	byID.opts.ResolveKeyID = func(keyID string) (string, error) { return keyID, nil }
	return &byID
}

// open opens the object key of an item, with the target's keys where it may have been moved there before.
func (r *rewrapAll) open(ctx context.Context, item *rewrapItem) (key *kms.Secret, ofTarget bool, err error) {
	if r.opts.Target == r.source || item.batch && r.single {
		key, err = r.opts.Target.openObjectKey(ctx, item.ID, item.Envelope, nil)
		if err == nil || !r.mayMove(err) {
			return key, true, err
		}
	}
	key, err = r.source.openObjectKey(ctx, item.ID, item.Envelope, nil)
	return key, false, err
}

// current reports whether an envelope is of the newest version of its key, as far as its wrapped data key tells.
func (r *rewrapAll) current(ctx context.Context, env *Envelope) (bool, error) {
	version := env.keyVersion()
	if version == 0 {
		return false, nil
	}
	resp, err := r.opts.Target.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: env.keyID})
	if err == nil && resp == nil {
		err = errNoAnswer("DescribeKey")
	}
	if err != nil {
		return false, err
	}
	return resp.Key.Version == version, nil
}
