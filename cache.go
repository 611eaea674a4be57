package kms

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"maps"
	"time"

	"github.com/objectkms/kms/internal/encctx"
	"github.com/objectkms/kms/internal/flight"
	"github.com/objectkms/kms/internal/ttlcache"
)

// A keyName names a key of one of the Manager's backends: 0 is the first, and the former ones follow.
type keyName struct {
	backend int
	id      string
}

// A description is a key as a backend described it.
type description struct {
	key      Key
	at       time.Time // when the backend was asked; an answer that was reused keeps its time
	retry    time.Time // not before this is the backend asked again
	attempts int       // what the answer took; 0 where the cache had it
	err      error     // there is no answer
}

// A keyCache remembers descriptions. They are fresh for one TTL. For one more they serve while the
// backend is unavailable, and then no longer, however long that lasts.
type keyCache struct {
	ttl     time.Duration
	entries *ttlcache.Cache[keyName, description]
	loads   flight.Group[keyLoad, description]
}

// A keyLoad is one question for a description. The mark is part of it, so that nobody who asks
// after an invalidation is answered from before.
type keyLoad struct {
	name keyName
	mark uint64
}

// While a description that is no longer fresh could still serve, the backend is asked no longer
// than refreshTimeout, and no more often than once in refreshPause.
const (
	refreshTimeout = time.Second
	refreshPause   = time.Second
)

func newKeyCache(opts CacheOptions) *keyCache {
	c := &keyCache{ttl: opts.TTL}
	c.entries = ttlcache.New[keyName, description](opts.MaxKeys, c.twice(), nil)
	return c
}

// twice returns two TTLs, or one where that is too long to be doubled: the product is negative then.
func (c *keyCache) twice() time.Duration { return max(c.ttl, 2*c.ttl) }

// describe returns the description of a key, from the cache while it is fresh, else by ask.
func (c *keyCache) describe(ctx context.Context, name keyName, ask func(context.Context) (description, error)) (d description, err error) {
	known, ok := c.held(name)
	hit := ok && c.answers(known)
	c.entries.Count(hit)
	if hit {
		return known, nil
	}
	load := keyLoad{name, c.entries.Mark()}
	shared, err := c.loads.Do(ctx, load, func(ctx context.Context) (description, error) {
		return c.load(ctx, load, ask), nil
	}, func(loaded description) { d = loaded })
	if shared {
		d.attempts = 0
	}
	return d, cmp.Or(err, d.err)
}

// held returns the description that the cache holds, unless it has served for two TTLs.
func (c *keyCache) held(name keyName) (d description, ok bool) {
	ok = c.entries.Recheck(name, func(held description) { d = held })
	return d, ok && time.Since(d.at) < c.twice()
}

// answers reports whether a description serves without a question to the backend.
func (c *keyCache) answers(d description) bool {
	return time.Since(d.at) < c.ttl || time.Now().Before(d.retry)
}

// load asks for a description, unless another load has just ended, and goes on with the one that
// is held where the backend is unavailable.
func (c *keyCache) load(ctx context.Context, load keyLoad, ask func(context.Context) (description, error)) description {
	known, ok := c.held(load.name)
	if ok && c.answers(known) {
		return known
	}
	limited := ctx
	if ok {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, refreshTimeout)
		defer cancel()
	}
	at := time.Now()
	d, err := ask(limited)
	d.at = at
	if err != nil {
		if ok && !unanswered(limited, err) {
			c.entries.Delete(load.name) // what was known is known to be wrong
		}
		if !ok || !unanswered(limited, err) {
			return description{attempts: d.attempts, err: err}
		}
		d.key, d.at, d.retry = known.key, known.at, time.Now().Add(refreshPause)
	}
	c.entries.PutSince(load.mark, load.name, description{key: d.key, at: d.at, retry: d.retry})
	return d
}

// unanswered reports whether an error leaves it open how a key is.
func unanswered(ctx context.Context, err error) bool {
	switch classify(err).err {
	case ErrUnavailable:
		return true
	case context.Canceled, context.DeadlineExceeded:
		return ctx.Err() != nil
	}
	return false
}

// A dataKeyID stands for a wrapped data key and its encryption context.
type dataKeyID [sha256.Size]byte

func newDataKeyID(req *DecryptRequest) dataKeyID {
	var buf [1024]byte
	context := encctx.Append(buf[:0:512], req.Context)
	return sha256.Sum256(encctx.Bind(buf[512:512], "cached-data-key", req.Ciphertext, context))
}

// An unwrapped is what the backends answered to Decrypt, and how many attempts that took.
type unwrapped struct {
	resp     DecryptResponse
	err      error
	backend  int
	attempts int
}

// copy returns the answer with a plaintext of its own.
func (u unwrapped) copy() unwrapped {
	u.resp.Plaintext = u.resp.Plaintext.Clone()
	return u
}

func (u unwrapped) destroy() { u.resp.Plaintext.Destroy() }

// A dataKeyCache remembers decrypted data keys. What it holds it wipes.
type dataKeyCache struct {
	entries *ttlcache.Cache[dataKeyID, unwrapped]
	loads   flight.Group[dataKeyLoad, unwrapped]
}

// A dataKeyLoad is one question for a data key. See keyLoad for the mark.
type dataKeyLoad struct {
	id    dataKeyID
	keyID string
	mark  uint64
}

func newDataKeyCache(opts CacheOptions) *dataKeyCache {
	c := &dataKeyCache{}
	c.entries = ttlcache.New(opts.MaxKeys, opts.TTL, func(_ dataKeyID, u unwrapped) { u.destroy() })
	c.loads.Release = unwrapped.destroy
	return c
}

// unwrap answers a request from the cache, or else by ask. The answer's plaintext is a copy that
// the caller destroys.
func (c *dataKeyCache) unwrap(ctx context.Context, req *DecryptRequest, ask func(context.Context, *DecryptRequest) unwrapped) (u unwrapped, hit bool) {
	id := newDataKeyID(req)
	if c.entries.View(id, func(held unwrapped) { u = held.copy() }) {
		return u, true
	}
	load := dataKeyLoad{id, req.KeyID, c.entries.Mark()}
	req = req.clone()
	shared, err := c.loads.Do(ctx, load, func(ctx context.Context) (loaded unwrapped, _ error) {
		if c.entries.Recheck(id, func(held unwrapped) { loaded = held.copy() }) {
			return loaded, nil // loaded since
		}
		loaded = ask(ctx, req)
		if loaded.err == nil && isDataKey(loaded.resp.Plaintext) {
			held := loaded.copy()
			held.attempts = 0
			c.entries.PutSince(load.mark, id, held)
		}
		return loaded, nil
	}, func(loaded unwrapped) { u = loaded.copy() })
	if err != nil {
		u.err = err
	}
	if shared {
		u.attempts = 0
	}
	return u, false
}

// clone returns a copy of the request for a load that may outlive the call: the caller may write
// to its own once the call has returned.
func (r *DecryptRequest) clone() *DecryptRequest {
	return &DecryptRequest{Ciphertext: bytes.Clone(r.Ciphertext), Context: maps.Clone(r.Context), KeyID: r.KeyID}
}

// isDataKey reports whether a plaintext is as long as a data key: only those are cached.
func isDataKey(plaintext *Secret) bool {
	return plaintext.Len() == AES256.Size() || plaintext.Len() == AES128.Size()
}
