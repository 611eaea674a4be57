package encryption

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/encctx"
	"github.com/objectkms/kms/internal/flight"
	"github.com/objectkms/kms/internal/ttlcache"
)

// BucketKeyOptions say for how long and for how many objects one data key serves, where a write asks for it by Request.BucketKey: all objects of
// one bucket under one master key with the same client's encryption context then share it, so that small objects do not wait for the KeyService
// one by one. The zero value shares nothing: each object has a data key of its own, as without BucketKey.
//
// Nothing is shared either with a KeyService that has no AuthorizeDataKey as [kms.Manager] has it: that is asked before each use of a shared key,
// so that Options.Authorize of the Manager and the state of the key hold for every object. With the Manager's caches turned off, each asks the backend for
// the key's description.
type BucketKeyOptions struct {
	// TTL is how long a data key is shared at most, from before it was made. 0 turns sharing off.
	TTL time.Duration
	// MaxObjects is how many objects share one data key at most. 0 means 10,000.
	MaxObjects int
	// MaxKeys is how many data keys are held at most; the one used longest ago leaves first. 0 means 1,000.
	MaxKeys int
}

const (
	defaultBucketKeyObjects = 10_000
	defaultBucketKeys       = 1000
)

// A dataKeyAuthorizer is a KeyService that can say whether it would make a data key now.
type dataKeyAuthorizer interface {
	AuthorizeDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.DescribeKeyResponse, error)
	KeysMade() uint64
}

var (
	_ dataKeyAuthorizer = (*kms.Manager)(nil)
	_ dataKeyAuthorizer = (*kms.ServiceManager)(nil)
)

// A bucketKeyName says which objects may share a data key. The key that was asked for is part of it, which is empty for the default key, and so are the key and
// the version that this means now: with another default key or another version the name is another one. A key that was deleted and made again under its id begins with version 1 again, so the time when it was made and the number of
// keys made are part of the name too.
type bucketKeyName struct {
	requested string
	keyID     string
	version   uint32
	created   int64
	made      uint64
	context   string // effective, in canonical form; the bucket is in it
}

// A bucketKey is a data key that objects share. What is held in the cache and what is given to those who wait for it are copies with the same count.
type bucketKey struct {
	dk   *kms.GenerateDataKeyResponse
	made time.Time     // a moment before it was made
	left *atomic.Int64 // objects that may still use it
}

// copy returns the same data key in memory of its own.
func (k bucketKey) copy() bucketKey {
	k.dk = copyDataKey(k.dk)
	return k
}

func (k bucketKey) destroy() { k.dk.Plaintext.Destroy() }

func copyDataKey(dk *kms.GenerateDataKeyResponse) *kms.GenerateDataKeyResponse {
	c := *dk
	c.Plaintext, c.Ciphertext = dk.Plaintext.Clone(), bytes.Clone(dk.Ciphertext)
	return &c
}

// take returns a copy of the data key for one more object, or nil if it has served as many as it may. last says that this was the last one.
func (k bucketKey) take() (dk *kms.GenerateDataKeyResponse, last bool) {
	left := k.left.Add(-1)
	if left < 0 {
		return nil, false
	}
	return copyDataKey(k.dk), left == 0
}

// bucketKeys holds the data keys that objects share. What it holds it wipes.
type bucketKeys struct {
	ttl          time.Duration
	maxObjects   int64
	entries      *ttlcache.Cache[bucketKeyName, bucketKey]
	loads        flight.Group[bucketKeyLoad, bucketKey]
	hits, misses atomic.Uint64
}

// A bucketKeyLoad is one question for a data key. The mark is part of it, so that nobody who asks after a change is answered from before.
type bucketKeyLoad struct {
	name bucketKeyName
	mark uint64
}

// newBucketKeys returns nil where nothing is shared.
func newBucketKeys(opts BucketKeyOptions) *bucketKeys {
	if opts.TTL <= 0 {
		return nil
	}
	if opts.MaxObjects <= 0 {
		opts.MaxObjects = defaultBucketKeyObjects
	}
	if opts.MaxKeys <= 0 {
		opts.MaxKeys = defaultBucketKeys
	}
	b := &bucketKeys{ttl: opts.TTL, maxObjects: int64(opts.MaxObjects)}
	b.entries = ttlcache.New(opts.MaxKeys, opts.TTL, func(_ bucketKeyName, k bucketKey) { k.destroy() })
	b.loads.Release = bucketKey.destroy
	return b
}

// bucketDataKey returns a data key that other objects may share. It is the caller's own copy.
func (s *Service) bucketDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	keys, ok := s.keys().(dataKeyAuthorizer)
	if s.bucketKeys == nil || !ok {
		return s.ownDataKey(ctx, req)
	}
	made := keys.KeysMade()
	// Whoever waits for another's data key is authorized here, and not by the call that makes it.
	allowed, err := keys.AuthorizeDataKey(ctx, req)
	if errors.Is(err, kms.ErrKeyNotFound) {
		return s.ownDataKey(ctx, req) // which may make the key
	}
	if err == nil && allowed == nil {
		err = errNoAnswer("AuthorizeDataKey")
	}
	if err != nil {
		return nil, err
	}
	key := allowed.Key
	name := bucketKeyName{req.KeyID, key.ID, key.Version, key.CreatedAt.UnixNano(), made, string(encctx.Append(nil, req.Context))}
	return s.bucketKeys.get(ctx, name, func(ctx context.Context) (*kms.GenerateDataKeyResponse, error) {
		return s.ownDataKey(ctx, req)
	})
}

// get returns a copy of the data key of that name, which generate makes where there is none to share.
func (b *bucketKeys) get(ctx context.Context, name bucketKeyName, generate func(context.Context) (*kms.GenerateDataKeyResponse, error)) (*kms.GenerateDataKeyResponse, error) {
	// As many of those who wait for one data key go on with it as it may serve. The others wait for the next one.
	for {
		if dk := b.takeHeld(name); dk != nil {
			b.hits.Add(1)
			return dk, nil
		}
		dk, shared, err := b.join(ctx, name, generate)
		switch {
		case shared && errors.Is(err, kms.ErrPermission):
			// Another writer's refusal says nothing of this one, who asks himself: each time round, the one who asks has his answer.
		case err != nil:
			return nil, err
		case dk != nil:
			return dk, nil
		}
	}
}

// join loads the data key of that name together with all who want it now, and returns a copy, or nil where it does not serve so many. shared says that
// another one had asked for it.
func (b *bucketKeys) join(ctx context.Context, name bucketKeyName, generate func(context.Context) (*kms.GenerateDataKeyResponse, error)) (dk *kms.GenerateDataKeyResponse, shared bool, err error) {
	made, last := false, false
	load := bucketKeyLoad{name, b.entries.Mark()}
	shared, err = b.loads.Do(ctx, load, func(ctx context.Context) (k bucketKey, err error) {
		k, made, err = b.load(ctx, load, generate)
		return k, err
	}, func(k bucketKey) {
		if made {
			dk = copyDataKey(k.dk) // whoever asked is counted already
		} else {
			dk, last = k.take()
		}
	})
	if last {
		b.wipeUsedUp(name)
	}
	if dk != nil && !made {
		b.hits.Add(1)
	}
	return dk, shared, err
}

// takeHeld returns a copy of the data key that is held, or nil where none is that may serve one more object.
func (b *bucketKeys) takeHeld(name bucketKeyName) (dk *kms.GenerateDataKeyResponse) {
	b.entries.Change(name, func(held bucketKey) {
		if b.expired(held) {
			return
		}
		var last bool
		if dk, last = held.take(); last {
			held.destroy()
		}
	})
	return dk
}

// wipeUsedUp wipes the data key that is held if those who waited for it have used it up. Only the cache's lock makes sure that nobody copies it meanwhile.
func (b *bucketKeys) wipeUsedUp(name bucketKeyName) {
	b.entries.Change(name, func(held bucketKey) {
		if held.left.Load() <= 0 {
			held.destroy()
		}
	})
}

func (b *bucketKeys) expired(k bucketKey) bool { return time.Since(k.made) >= b.ttl }

// load makes a data key and holds it, unless that was done since it was missed.
func (b *bucketKeys) load(ctx context.Context, load bucketKeyLoad, generate func(context.Context) (*kms.GenerateDataKeyResponse, error)) (k bucketKey, made bool, err error) {
	b.entries.Recheck(load.name, func(held bucketKey) {
		if !b.expired(held) && held.left.Load() > 0 {
			k = held.copy()
		}
	})
	if k.dk != nil {
		return k, false, nil
	}
	b.misses.Add(1)
	k = bucketKey{made: time.Now(), left: new(atomic.Int64)}
	k.left.Store(b.maxObjects - 1)
	if k.dk, err = generate(ctx); err != nil {
		return bucketKey{}, true, err
	}
	// Where the default key has become another one meanwhile, the data key is not of this name.
	if k.dk.KeyID == load.name.keyID && b.maxObjects > 1 {
		b.entries.PutSince(load.mark, load.name, k.copy())
	}
	return k, true, nil
}

// BucketKeyStats counts what became of the writes that asked for a bucket key: hits were served with a data key that another write had asked
// for, misses asked the KeyService, and evictions are the data keys that are not held any more. All are zero where nothing is shared.
func (s *Service) BucketKeyStats() kms.CacheCounts {
	b := s.bucketKeys
	if b == nil {
		return kms.CacheCounts{}
	}
	return kms.CacheCounts{Entries: b.entries.Len(), Hits: b.hits.Load(), Misses: b.misses.Load(), Evictions: b.entries.Stats().Evictions}
}

// ClearBucketKeys wipes the data keys that objects share. The next writes get new ones. Without it they are wiped when their time has passed, so
// that a Service needs no Close.
func (s *Service) ClearBucketKeys() {
	if s.bucketKeys != nil {
		s.bucketKeys.entries.Clear()
	}
}
