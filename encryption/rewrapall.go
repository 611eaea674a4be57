package encryption

import (
	"context"
	"errors"
	"fmt"

	"github.com/objectkms/kms"
)

// ErrChanged is what [RewrapAllOptions.Store] answers when the envelope that it would replace is not the stored one any more.
var ErrChanged = errors.New("object was changed meanwhile")

// Item is one object of a [Service.RewrapAll].
type Item struct {
	ID       ObjectID
	Envelope *Envelope
	// Cursor is where the listing goes on behind this item, in a form of the server's own. It comes back in the Report.
	Cursor string
}

// RewrapAllOptions say what a [Service.RewrapAll] brings the objects to, and what becomes of their new envelopes. The zero value is right for a
// rotation, but for Store.
type RewrapAllOptions struct {
	// Store puts a new envelope in the place of item.Envelope, which must still be the stored one: where it is not, since the object was
	// written again or is gone, it changes nothing and returns ErrChanged, and the item is counted as that. With any other error the item has failed.
	Store func(ctx context.Context, item Item, env *Envelope) error
	// Target is the Service whose keys wrap from now on. Nil means the one that RewrapAll is called on.
	Target *Service
	// KeyID is the master key, as a write names it. Empty means for each object the id that it has.
	KeyID string
	// Request, if not nil, says how an object is to be protected, as in a write, where that is more than the KeyID. Without it, and where it returns nil,
	// mode, encryption context and bucket key stay as they are. One Request may serve many items: nothing in it is changed, and a CustomerKey is copied and stays the
	// caller's, who destroys it when RewrapAll has returned.
	Request func(item Item) *Request
	// DryRun counts only. It asks no KeyService, and needs no Store.
	DryRun bool
	// Progress, if not nil, is told what was done so far after each batch. A server that stores the Cursor resumes behind it also where its process has ended meanwhile. The
	// Report's censuses are counted on: they are not to be kept or changed.
	Progress func(Report)
	// BatchSize is how many items are read ahead and given to the KeyService at once, at most. 0 means 500, and more than 10,000 means 10,000.
	BatchSize int
	// MaxErrors is how many errors the Report holds at most. 0 means 100.
	MaxErrors int
}

const (
	defaultBatchSize = 500
	maxBatchSize     = 10_000
	defaultMaxErrors = 100
)

func (o RewrapAllOptions) withDefaults(s *Service) (RewrapAllOptions, error) {
	if o.Store == nil && !o.DryRun {
		return o, fmt.Errorf("%w: no Store, and no dry run", kms.ErrInvalidRequest)
	}
	if o.Target == nil {
		o.Target = s
	}
	if o.BatchSize <= 0 {
		o.BatchSize = defaultBatchSize
	}
	if o.MaxErrors <= 0 {
		o.MaxErrors = defaultMaxErrors
	}
	o.BatchSize = min(o.BatchSize, maxBatchSize)
	return o, nil
}

// Report is what a [Service.RewrapAll] has done. Items is the sum of the counts behind it; a dry run only tells SSEC and Failed from the rest.
type Report struct {
	Items   int // done with
	Written int // got a new envelope
	Current int // had the right one already
	Changed int // were changed meanwhile: see ErrChanged
	SSEC    int // cannot be rewrapped: their keys are the clients'
	Failed  int // kept their envelope, for a reason of their own
	// Errors are the reasons of the first failures, at most RewrapAllOptions.MaxErrors.
	Errors []ItemError
	// Before and After count the objects by the version of the master key that wraps them. They hold the items that were done with, so that after a resumed
	// run a dry run over all objects is what proves something.
	Before, After Census
	// Cursor is that of the last item before which, and with which, all are done with. A run that resumes begins behind it. It is empty where none is.
	Cursor string
}

// ItemError is why one item of a [Service.RewrapAll] has failed.
type ItemError struct {
	ID     ObjectID
	Cursor string
	Err    error
}

// Error returns the object's name and the reason in one line.
func (e ItemError) Error() string { return fmt.Sprintf("%q in %q: %v", e.ID.Key, e.ID.Bucket, e.Err) }

// Unwrap returns the reason.
func (e ItemError) Unwrap() error { return e.Err }

// RewrapAll makes new envelopes for any number of objects, after a rotation of their keys, for another key, another mode, or for a Service with another backend. Bodies are
// neither read nor written. next returns one item after the other, and false at the end; it is called by this goroutine only.
//
// An object whose mode, key id, encryption context and bucket key stay as they are keeps its sealed object key: only the wrapped data key is replaced, in batches, by
// RewrapDataKeys of the KeyService. Objects that share a data key within a batch share it afterwards. Any other object is opened and sealed again, one by one, as by [Service.Rewrap]. Where the
// KeyService has no RewrapDataKeys, or the object comes from another Service, that is so too. What is of the newest version already is counted, and not written: RewrapAll may be run again.
// Only a wrapped data key of another form than this library's, from a KeyService without RewrapDataKeys, does not tell its version and is always written.
//
// An item that fails is counted and reported, and fails no other. What concerns all items ends the run: the end of ctx, and a KeyService that is
// unavailable or closed. The Report is right then too, and Report.Cursor is where to resume. It is safe to run beside reads and writes of the same objects as long as Store
// compares before it replaces. Memory is bounded by BatchSize.
//
// A multipart upload that was begun before a rotation is completed under the version of its beginning: run again when such uploads are over.
func (s *Service) RewrapAll(ctx context.Context, next func() (Item, bool), opts RewrapAllOptions) (Report, error) {
	report := Report{Before: make(Census), After: make(Census)}
	opts, err := opts.withDefaults(s)
	if err == nil {
		err = checkContext(ctx)
	}
	if err == nil && next == nil {
		err = fmt.Errorf("%w: no items", kms.ErrInvalidRequest)
	}
	if err != nil {
		return report, err
	}
	run := &rewrapAll{source: s, opts: opts, sealer: opts.Target.withKeyIDs(), report: &report}
	for more := true; more; {
		var batch []*rewrapItem
		for more && len(batch) < opts.BatchSize && ctx.Err() == nil {
			var item Item
			if item, more = next(); more {
				batch = append(batch, &rewrapItem{Item: item})
			}
		}
		if err := run.batch(ctx, batch); err != nil {
			return report, err
		}
		if opts.Progress != nil {
			opts.Progress(report)
		}
	}
	return report, nil
}
