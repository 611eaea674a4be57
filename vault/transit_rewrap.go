package vault

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/encctx"
)

// RewrapDataKeys wraps data keys again under the newest version of an Enabled key, in batches. Where key and encryption context stay, and the key is
// a derived one, Transit does it without showing a plaintext; all else is decrypted and encrypted again, in memory that is wiped. Each item has an outcome of
// its own, except that a key named by the request which cannot wrap fails the call.
func (t *transit) RewrapDataKeys(ctx context.Context, req *kms.RewrapDataKeysRequest) (*kms.RewrapDataKeysResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	r := &rewrap{t: t, req: req, keys: make(map[string]look), results: make([]kms.RewrapResult, len(req.Items))}
	if req.KeyID != "" {
		if l := r.look(ctx, req.KeyID); l.err != nil {
			return nil, l.err
		} else if err := l.view.mayWrap(); err != nil {
			return nil, err
		}
	}
	r.sort(ctx)
	for _, group := range r.groups {
		for batch := range slices.Chunk(group.jobs, maxBatch) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			group.run(ctx, r, batch)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &kms.RewrapDataKeysResponse{Items: r.results}, nil
}

// maxBatch is how many items are in one request at most.
const maxBatch = 500

// A rewrap is one call of RewrapDataKeys.
type rewrap struct {
	t       *transit
	req     *kms.RewrapDataKeysRequest
	keys    map[string]look // as they were at the beginning of the call
	groups  []*rewrapGroup  // in the order of their first items
	results []kms.RewrapResult
}

// A rewrapJob is one item that can be tried.
type rewrapJob struct {
	index int
	wrapped
	from, to kms.EncryptionContext
}

// A rewrapGroup is all items that change from one key to one other, or stay with one, in the same way.
type rewrapGroup struct {
	source, target view
	native         bool
	jobs           []rewrapJob
}

// look looks at a key once in a call.
func (r *rewrap) look(ctx context.Context, id string) look {
	l, ok := r.keys[id]
	if !ok {
		l.err = kms.ValidateKeyID(id)
		if l.err == nil {
			l.view, l.err = r.t.look(ctx, id)
		}
		r.keys[id] = l
	}
	return l
}

// sort puts every item into its group. One that cannot be tried has its result then.
func (r *rewrap) sort(ctx context.Context) {
	type way struct {
		source, target string
		native         bool
	}
	groups := make(map[way]*rewrapGroup)
	for i := range r.req.Items {
		job, source, target, err := r.job(ctx, i)
		if err != nil {
			r.results[i] = kms.RewrapResult{Err: err}
			continue
		}
		native := source.key.Derived && source.rec.ID == target.rec.ID && sameContext(job.from, job.to)
		key := way{source.rec.ID, target.rec.ID, native}
		if groups[key] == nil {
			groups[key] = &rewrapGroup{source: source, target: target, native: native}
			r.groups = append(r.groups, groups[key])
		}
		groups[key].jobs = append(groups[key].jobs, job)
	}
}

// job parses an item, and looks at its two keys.
func (r *rewrap) job(ctx context.Context, i int) (job rewrapJob, source, target view, err error) {
	item := r.req.Items[i]
	if err = item.Validate(); err != nil {
		return
	}
	w, err := parseWrapped(item.Ciphertext)
	if err != nil {
		return
	}
	from := r.look(ctx, w.KeyID)
	if err = from.err; err != nil {
		return
	}
	if err = from.view.mayUnwrap(); err != nil {
		return
	}
	if err = w.of(from.view); err != nil {
		return
	}
	to := r.look(ctx, cmp.Or(r.req.KeyID, w.KeyID))
	if err = to.err; err != nil {
		return
	}
	return rewrapJob{i, w, item.From, item.To}, from.view, to.view, to.view.mayWrap()
}

// run rewraps a batch of the group's jobs.
func (g *rewrapGroup) run(ctx context.Context, r *rewrap, jobs []rewrapJob) {
	if g.native {
		g.rewrapNatively(ctx, r, jobs)
		return
	}
	g.rewrapHere(ctx, r, jobs)
}

// rewrapNatively has Transit rewrap. An item that turns out to be of the newest version already is answered as it was; Transit has authenticated it all the same.
func (g *rewrapGroup) rewrapNatively(ctx context.Context, r *rewrap, jobs []rewrapJob) {
	items := make([]batchItem, len(jobs))
	for i, job := range jobs {
		items[i] = batchItem{bound: bind(job.Kind, job.KeyID, job.from), Ciphertext: job.text}
	}
	outcomes := r.t.batch(ctx, "rewrap", g.source.rec.Name, items)
	for i, job := range jobs {
		r.finish(g, job, outcomes[i])
	}
}

// rewrapHere decrypts and encrypts in two requests.
func (g *rewrapGroup) rewrapHere(ctx context.Context, r *rewrap, jobs []rewrapJob) {
	items := make([]batchItem, len(jobs))
	for i, job := range jobs {
		items[i] = batchItem{bound: bind(job.Kind, job.KeyID, job.from), Ciphertext: job.text}
	}
	opened := r.t.batch(ctx, "decrypt", g.source.rec.Name, items)
	defer wipe(opened)
	var open []rewrapJob
	items = items[:0]
	for i, job := range jobs {
		outcome := opened[i]
		if outcome.err == nil && len(outcome.Plaintext) != job.size {
			outcome.err = errAnswer("has a plaintext of %d bytes, want %d", len(outcome.Plaintext), job.size)
		}
		if outcome.err != nil || g.current(job) {
			r.finish(g, job, batchOutcome{plainAndSealed: plainAndSealed{Ciphertext: job.text}, err: outcome.err})
			continue
		}
		open = append(open, job)
		items = append(items, batchItem{bound: bind(g.target.key.kind(), g.target.rec.ID, job.to), Plaintext: outcome.Plaintext})
	}
	if len(open) == 0 {
		return
	}
	outcomes := r.t.batch(ctx, "encrypt", g.target.rec.Name, items)
	for i, job := range open {
		r.finish(g, job, outcomes[i])
	}
}

// current reports whether an item is wrapped as it is wanted.
func (g *rewrapGroup) current(job rewrapJob) bool {
	return g.source.rec.ID == g.target.rec.ID && job.Version == g.target.key.Latest && sameContext(job.from, job.to)
}

// finish sets the result of an item from what Transit has made of it.
func (r *rewrap) finish(g *rewrapGroup, job rewrapJob, outcome batchOutcome) {
	result := kms.RewrapResult{KeyID: g.target.rec.ID, SourceKeyID: job.KeyID, SourceKeyVersion: job.Version}
	err := outcome.err
	if err == nil {
		result.Ciphertext, result.KeyVersion, err = makeBlob(g.target.key.kind(), g.target.rec.ID, outcome.Ciphertext, job.size)
	}
	if err != nil {
		r.results[job.index] = kms.RewrapResult{Err: ofVersion(err, job.Version)}
		return
	}
	if (g.native || g.current(job)) && result.KeyVersion == job.Version {
		result.Ciphertext, result.Current = bytes.Clone(r.req.Items[job.index].Ciphertext), true
	}
	r.results[job.index] = result
}

func sameContext(a, b kms.EncryptionContext) bool {
	return bytes.Equal(encctx.Append(nil, a), encctx.Append(nil, b))
}
