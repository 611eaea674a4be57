package encryption

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/encctx"
)

// A rewrapAll is one call of RewrapAll.
type rewrapAll struct {
	source *Service
	opts   RewrapAllOptions
	sealer *Service // the target, by the ids of its KeyService
	report *Report
	single bool // the target's KeyService has no RewrapDataKeys
}

// A rewrapItem is one item on its way.
type rewrapItem struct {
	Item
	target *Request // how it is to be protected, with the id that the KeyService knows
	batch  bool     // it is so already, but for the version of its key
	done   bool
}

// batch rewraps a number of items. Its error is one that ends the run.
func (r *rewrapAll) batch(ctx context.Context, items []*rewrapItem) error {
	defer r.finish(items)
	var keyIDs []string
	byKey := make(map[string][]*rewrapItem)
	for _, item := range items {
		if !r.prepare(item) || !item.batch {
			continue
		}
		id := item.Envelope.keyID
		if byKey[id] == nil {
			keyIDs = append(keyIDs, id)
		}
		byKey[id] = append(byKey[id], item)
	}
	for _, id := range keyIDs {
		if err := r.rewrapDataKeys(ctx, id, byKey[id]); err != nil {
			return err
		}
	}
	for _, item := range items {
		if item.done {
			continue
		}
		if err := r.move(ctx, item); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// finish sets the cursor to the last item up to which all are done, and wipes what is left of the requests.
func (r *rewrapAll) finish(items []*rewrapItem) {
	done := true
	for _, item := range items {
		item.target.customerKey().Destroy()
		if done = done && item.done; done {
			r.report.Cursor = item.Cursor
		}
	}
}

// prepare decides what becomes of an item, and returns false if it is done with.
func (r *rewrapAll) prepare(item *rewrapItem) bool {
	switch {
	case item.Envelope.Mode() == None:
		r.fail(item, item.Envelope.check())
		return false
	case item.Envelope.mode == SSEC:
		r.done(item, &r.report.SSEC, nil)
		return false
	case r.opts.DryRun:
		r.done(item, new(int), item.Envelope)
		return false
	}
	if err := r.aim(item); err != nil {
		r.fail(item, err)
		return false
	}
	item.batch = item.keepsForm()
	return true
}

// aim decides how an item is to be protected.
func (r *rewrapAll) aim(item *rewrapItem) error {
	if err := item.ID.validate(); err != nil {
		return err
	}
	item.target = r.target(item)
	if err := item.target.checkWrite(); err != nil || item.target.Mode == SSEC {
		return err
	}
	_, keyID, err := r.opts.Target.opts.resolveKeyID(cmp.Or(item.target.KeyID, r.opts.KeyID))
	item.target.KeyID = cmp.Or(keyID, item.Envelope.keyID)
	return err
}

// target returns the request for an item. It has a copy of the customer key, since one Request may serve many items.
func (r *rewrapAll) target(item *rewrapItem) *Request {
	if r.opts.Request != nil {
		if wanted := r.opts.Request(item.Item); wanted != nil {
			req := *wanted
			req.CustomerKey = wanted.CustomerKey.Clone()
			r.source.hold(req.CustomerKey)
			return &req
		}
	}
	env := item.Envelope
	return &Request{Mode: env.mode, Context: env.Context(), BucketKey: env.bucketKey}
}

// keepsForm reports whether all that is bound to the sealed object key stays as it is.
func (i *rewrapItem) keepsForm() bool {
	env, target := i.Envelope, i.target
	return target.Mode == env.mode && target.KeyID == env.keyID && target.BucketKey == env.bucketKey && maps.Equal(target.Context, env.Context())
}

// rewrapDataKeys rewraps the data keys of items that are under one key. Items that are not of the target's KeyService are left.
func (r *rewrapAll) rewrapDataKeys(ctx context.Context, keyID string, items []*rewrapItem) error {
	if r.single {
		return nil
	}
	req, places := dataKeysOf(keyID, items)
	resp, err := r.opts.Target.RewrapDataKeys(ctx, req)
	if err == nil && (resp == nil || len(resp.Items) != len(req.Items)) {
		err = fmt.Errorf("%w: not one answer for each of %d data keys", kms.ErrKeyMaterial, len(req.Items))
	}
	if errors.Is(err, kms.ErrUnsupported) {
		r.single = true
		return nil
	}
	if ends(ctx, err) {
		return err
	}
	for i, item := range items {
		result := kms.RewrapResult{Err: err}
		if err == nil {
			result = resp.Items[places[i]]
		}
		if err := r.take(ctx, item, result); err != nil {
			return err
		}
	}
	return nil
}

// dataKeysOf returns the request for the data keys of the items, each of them once, and where in it that of each item stands.
func dataKeysOf(keyID string, items []*rewrapItem) (*kms.RewrapDataKeysRequest, []int) {
	req := &kms.RewrapDataKeysRequest{KeyID: keyID}
	places := make([]int, len(items))
	known := make(map[string]int, len(items))
	for i, item := range items {
		effective := item.Envelope.effectiveContext(item.ID)
		name := string(encctx.Append(nil, effective)) + string(item.Envelope.wrapped)
		place, ok := known[name]
		if !ok {
			place = len(req.Items)
			known[name] = place
			req.Items = append(req.Items, kms.RewrapItem{Ciphertext: item.Envelope.wrapped, From: effective, To: effective})
		}
		places[i] = place
	}
	return req, places
}

// take stores the envelope of one item with its new wrapped data key.
func (r *rewrapAll) take(ctx context.Context, item *rewrapItem, result kms.RewrapResult) error {
	n := len(result.Ciphertext)
	switch {
	case ends(ctx, result.Err):
		return result.Err
	case result.Err != nil && r.mayMove(result.Err):
		return nil
	case result.Err != nil:
		r.fail(item, result.Err)
		return nil
	case result.SourceKeyID != item.Envelope.keyID:
		// Else whoever can change an envelope would bring the data key under a key of his own choice.
		r.fail(item, kms.ErrDecrypt)
		return nil
	case result.KeyID != item.Envelope.keyID || n == 0 || n > maxWrapped:
		r.fail(item, fmt.Errorf("%w: data key was rewrapped under key %q to %d bytes, want key %q and 1 to %d bytes",
			kms.ErrKeyMaterial, result.KeyID, n, item.Envelope.keyID, maxWrapped))
		return nil
	case result.Current:
		r.done(item, &r.report.Current, item.Envelope)
		return nil
	}
	env := *item.Envelope
	env.wrapped = bytes.Clone(result.Ciphertext)
	return r.store(ctx, item, &env)
}

// mayMove reports whether an error of the target leaves it open that the source can open the item.
func (r *rewrapAll) mayMove(err error) bool {
	return r.opts.Target != r.source && (errors.Is(err, kms.ErrDecrypt) || errors.Is(err, kms.ErrKeyNotFound) || errors.Is(err, kms.ErrUnsupported))
}

// store gives a new envelope to the server.
func (r *rewrapAll) store(ctx context.Context, item *rewrapItem, env *Envelope) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := r.opts.Store(ctx, item.Item, env)
	switch {
	case err == nil:
		r.done(item, &r.report.Written, env)
	case errors.Is(err, ErrChanged):
		r.done(item, &r.report.Changed, item.Envelope)
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		r.fail(item, err)
	}
	return nil
}

// done counts an item, and the envelope that it has now.
func (r *rewrapAll) done(item *rewrapItem, count *int, env *Envelope) {
	item.done = true
	r.report.Items++
	*count++
	r.report.Before.add(item.Envelope)
	r.report.After.add(env)
}

func (r *rewrapAll) fail(item *rewrapItem, err error) {
	r.done(item, &r.report.Failed, item.Envelope)
	if len(r.report.Errors) < r.opts.MaxErrors {
		r.report.Errors = append(r.report.Errors, ItemError{item.ID, item.Cursor, err})
	}
}

// ends reports whether an error concerns all items, and not only one.
func ends(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	for _, all := range []error{kms.ErrUnavailable, kms.ErrClosed, kms.ErrNotRunning, kms.ErrNotConfigured} {
		if errors.Is(err, all) {
			return true
		}
	}
	return ctx.Err() != nil
}
