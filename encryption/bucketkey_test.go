package encryption_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/mock"
)

// sharing are options under which nothing ends but by a test's own doing.
func sharing() encryption.Options {
	return encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: time.Hour}}
}

func newSharing(t testing.TB, opts encryption.Options) (*encryption.Service, *mock.Backend) {
	t.Helper()
	keys := newMock(t)
	svc := encryption.NewService(newManager(t, keys), opts)
	t.Cleanup(svc.ClearBucketKeys)
	return svc, keys
}

func shared() *encryption.Request {
	return &encryption.Request{Mode: encryption.SSEKMS, BucketKey: true}
}

func wrappedOf(t testing.TB, svc *encryption.Service, id encryption.ObjectID, req *encryption.Request) string {
	t.Helper()
	env, _ := put(t, svc, id, req, nil)
	return string(env.Parts().Wrapped)
}

func numbered(i int) encryption.ObjectID {
	return encryption.ObjectID{Bucket: "photos", Key: strconv.Itoa(i)}
}

func TestAThousandObjectsCostOneDataKey(t *testing.T) {
	const objects = 1000
	svc, keys := newSharing(t, sharing())
	envs, bodies := make([]*encryption.Envelope, objects), make([][]byte, objects)
	for i := range objects {
		envs[i], bodies[i] = put(t, svc, numbered(i), shared(), []byte(strconv.Itoa(i)))
	}
	for i := range objects {
		plain, err := get(t.Context(), svc, numbered(i), envs[i], nil, bytes.NewReader(bodies[i]))
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(i), string(plain))
	}
	require.Equal(t, 1, keys.Calls("GenerateDataKey"))
	require.Equal(t, 1, keys.Calls("Decrypt"))
	require.Equal(t, 1, keys.Calls("DescribeKey"))
	require.Equal(t, kms.CacheCounts{Entries: 1, Hits: objects - 1, Misses: 1}, svc.BucketKeyStats())
	_, err := get(t.Context(), svc, numbered(1), envs[0], nil, bytes.NewReader(bodies[0]))
	require.Equal(t, kms.ErrDecrypt, err, "a shared data key opens no object under another name")
	require.NotEqual(t, envs[0].Parts().Sealed, envs[1].Parts().Sealed)
}

func TestNothingIsSharedByDefault(t *testing.T) {
	tests := map[string]struct {
		opts encryption.Options
		req  *encryption.Request
	}{
		"without options":            {encryption.Options{}, shared()},
		"with no time":               {encryption.Options{BucketKeys: encryption.BucketKeyOptions{MaxObjects: 5, MaxKeys: 5}}, shared()},
		"without the request's wish": {sharing(), &encryption.Request{Mode: encryption.SSEKMS}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc, keys := newSharing(t, tt.opts)
			require.NotEqual(t, wrappedOf(t, svc, photo, tt.req), wrappedOf(t, svc, photo, tt.req))
			require.Equal(t, 2, keys.Calls("GenerateDataKey"))
			require.Equal(t, kms.CacheCounts{}, svc.BucketKeyStats())
			svc.ClearBucketKeys()
		})
	}
}

// A KeyService that cannot be asked would let a shared data key pass by what it checks.
func TestNothingIsSharedWithAKeyServiceThatCannotAuthorize(t *testing.T) {
	keys := newMock(t)
	svc := encryption.NewService(keys, sharing())
	req := &encryption.Request{Mode: encryption.SSEKMS, KeyID: "other", BucketKey: true}
	require.NotEqual(t, wrappedOf(t, svc, photo, req), wrappedOf(t, svc, photo, req))
	require.Equal(t, 2, keys.Calls("GenerateDataKey"))
}

func TestDataKeysAreSharedWithinABucketKeyAndContextOnly(t *testing.T) {
	svc, keys := newSharing(t, sharing())
	blue, red := kms.EncryptionContext{"tenant": "blue"}, kms.EncryptionContext{"tenant": "red"}
	first := wrappedOf(t, svc, photo, shared())
	require.Equal(t, first, wrappedOf(t, svc, encryption.ObjectID{Bucket: "photos", Key: "other", Version: "2"}, shared()))
	seen := map[string]bool{first: true}
	for i, other := range []string{
		wrappedOf(t, svc, encryption.ObjectID{Bucket: "archive", Key: photo.Key}, shared()),
		wrappedOf(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS, BucketKey: true, KeyID: "other"}),
		wrappedOf(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS, BucketKey: true, Context: blue}),
		wrappedOf(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS, BucketKey: true, Context: red}),
		wrappedOf(t, svc, photo, &encryption.Request{Mode: encryption.SSEKMS}),
	} {
		require.False(t, seen[other], i)
		seen[other] = true
	}
	require.Equal(t, 6, keys.Calls("GenerateDataKey"))
}

func TestASharedDataKeyEndsWithItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc, keys := newSharing(t, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: time.Minute}})
		first := wrappedOf(t, svc, photo, shared())
		time.Sleep(time.Minute - 1)
		require.Equal(t, first, wrappedOf(t, svc, photo, shared()))
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Zero(t, svc.BucketKeyStats().Entries, "wiped by itself")
		require.NotEqual(t, first, wrappedOf(t, svc, photo, shared()))
		require.Equal(t, 2, keys.Calls("GenerateDataKey"))
	})
}

// What was disabled elsewhere while the data key was on its way is shared for no longer than the TTL either.
func TestTheTimeOfASharedDataKeyBeginsBeforeItIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc, keys := newSharing(t, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: time.Minute}})
		keys.Delay("GenerateDataKey", 20*time.Second)
		first := wrappedOf(t, svc, photo, shared())
		keys.Delay("GenerateDataKey", 0)
		time.Sleep(40*time.Second - 1)
		require.Equal(t, first, wrappedOf(t, svc, photo, shared()))
		time.Sleep(time.Nanosecond)
		require.NotEqual(t, first, wrappedOf(t, svc, photo, shared()))
		svc.ClearBucketKeys()
	})
}

func TestADataKeyThatComesTooLateToBeSharedServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc, keys := newSharing(t, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: time.Second}})
		keys.Delay("GenerateDataKey", 2*time.Second)
		require.NotEqual(t, wrappedOf(t, svc, photo, shared()), wrappedOf(t, svc, photo, shared()))
		require.Equal(t, 2, keys.Calls("GenerateDataKey"))
		svc.ClearBucketKeys()
	})
}

func TestASharedDataKeyServesSoManyObjects(t *testing.T) {
	svc, keys := newSharing(t, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: time.Hour, MaxObjects: 3}})
	counts := make(map[string]int)
	for range 9 {
		counts[wrappedOf(t, svc, photo, shared())]++
	}
	require.Len(t, counts, 3)
	for _, n := range counts {
		require.Equal(t, 3, n)
	}
	require.Equal(t, 3, keys.Calls("GenerateDataKey"))
	require.Equal(t, kms.CacheCounts{Entries: 1, Hits: 6, Misses: 3, Evictions: 2}, svc.BucketKeyStats())
}

func TestManyWritersShareNoMoreAndNoLessThanTheyMay(t *testing.T) {
	const writers = 1000
	for _, maxObjects := range []int{1, 7, 100, writers, 0} {
		t.Run(strconv.Itoa(maxObjects), func(t *testing.T) {
			svc, keys := newSharing(t, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: time.Hour, MaxObjects: maxObjects}})
			var wrapped [writers]string
			var group sync.WaitGroup
			start := make(chan struct{})
			for i := range writers {
				group.Go(func() {
					<-start
					wrapped[i] = wrappedOf(t, svc, numbered(i), shared())
				})
			}
			close(start)
			group.Wait()
			counts := make(map[string]int)
			for _, w := range wrapped {
				counts[w]++
			}
			each, want := maxObjects, 1
			if maxObjects == 0 {
				each = writers
			}
			want = (writers + each - 1) / each
			require.Len(t, counts, want)
			for _, n := range counts {
				require.LessOrEqual(t, n, each)
			}
			require.Equal(t, want, keys.Calls("GenerateDataKey"))
			stats := svc.BucketKeyStats()
			require.Equal(t, uint64(writers), stats.Hits+stats.Misses)
			require.Equal(t, uint64(want), stats.Misses)
		})
	}
}

func TestSharedDataKeysAreBounded(t *testing.T) {
	svc, _ := newSharing(t, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: time.Hour, MaxKeys: 2}})
	in := func(bucket string) string {
		return wrappedOf(t, svc, encryption.ObjectID{Bucket: bucket, Key: "k"}, shared())
	}
	a, b := in("a"), in("b")
	require.Equal(t, a, in("a"))
	in("c")
	require.Equal(t, a, in("a"))
	require.NotEqual(t, b, in("b"), "the one used longest ago has left")
	require.Equal(t, kms.CacheCounts{Entries: 2, Hits: 2, Misses: 4, Evictions: 2}, svc.BucketKeyStats())
}

// A change that failed may have arrived.
func TestEachChangeOfAKeyDropsItsSharedDataKeys(t *testing.T) {
	for op := range changes(nil, "") {
		t.Run(op, func(t *testing.T) {
			svc, keys := newSharing(t, sharing())
			byName := &encryption.Request{Mode: encryption.SSES3, KeyID: "default", BucketKey: true}
			other := &encryption.Request{Mode: encryption.SSES3, KeyID: "other", BucketKey: true}
			first, named, others := wrappedOf(t, svc, photo, shared()), wrappedOf(t, svc, photo, byName), wrappedOf(t, svc, photo, other)
			require.Equal(t, first, wrappedOf(t, svc, photo, shared()))
			failure := errors.New("no answer")
			keys.FailNext(op, failure)
			require.ErrorIs(t, changes(svc, "default")[op](t.Context()), failure)
			require.NotEqual(t, first, wrappedOf(t, svc, photo, shared()))
			require.NotEqual(t, named, wrappedOf(t, svc, photo, byName))
			if op != "RemoveExpiredKeys" && op != "ImportKey" { // those may be about any key
				require.Equal(t, others, wrappedOf(t, svc, photo, other), "other keys stay")
			}
		})
	}
}

func TestADisabledKeyIsNotShared(t *testing.T) {
	svc, _ := newSharing(t, sharing())
	first := wrappedOf(t, svc, photo, shared())
	do := changes(svc, "default")
	write := func() error {
		_, err := svc.EncryptStream(t.Context(), photo, shared(), bytes.NewReader(nil))
		return err
	}
	require.NoError(t, do["DisableKey"](t.Context()))
	require.ErrorIs(t, write(), kms.ErrKeyDisabled)
	require.NoError(t, do["EnableKey"](t.Context()))
	require.NotEqual(t, first, wrappedOf(t, svc, photo, shared()))
	require.NoError(t, do["DeleteKey"](t.Context()))
	require.ErrorIs(t, write(), kms.ErrKeyPendingDeletion)
	require.NoError(t, do["CancelKeyDeletion"](t.Context()))
	require.ErrorIs(t, write(), kms.ErrKeyDisabled)
}

// The Manager knows what was changed through it, and what its backend says when its own TTL has passed.
func TestAChangeThatPassesByTheServiceIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newMock(t)
		manager := newManager(t, keys)
		svc := encryption.NewService(manager, sharing())
		defer svc.ClearBucketKeys()
		first := wrappedOf(t, svc, photo, shared())
		_, err := manager.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: "default"})
		require.NoError(t, err)
		second := wrappedOf(t, svc, photo, shared())
		require.NotEqual(t, first, second, "the version of before is not shared after a rotation")
		_, err = manager.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "default"})
		require.NoError(t, err)
		_, err = svc.EncryptStream(t.Context(), photo, shared(), bytes.NewReader(nil))
		require.ErrorIs(t, err, kms.ErrKeyDisabled)
		_, err = manager.EnableKey(t.Context(), &kms.EnableKeyRequest{KeyID: "default"})
		require.NoError(t, err)

		require.Equal(t, second, wrappedOf(t, svc, photo, shared()))
		_, err = keys.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "default"})
		require.NoError(t, err)
		require.Equal(t, second, wrappedOf(t, svc, photo, shared()), "within the Manager's TTL")
		time.Sleep(5 * time.Minute)
		_, err = svc.EncryptStream(t.Context(), photo, shared(), bytes.NewReader(nil))
		require.ErrorIs(t, err, kms.ErrKeyDisabled)
		manager.ClearCache()
	})
}

// held is a KeyService whose data keys are made when a test lets them.
type held struct {
	*kms.Manager
	made, release chan struct{}
}

func (h held) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	resp, err := h.Manager.GenerateDataKey(ctx, req)
	h.made <- struct{}{}
	<-h.release
	return resp, err
}

func TestADataKeyFromBeforeAChangeIsNotSharedAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		manager := newManager(t, newMock(t))
		keys := held{manager, make(chan struct{}, 2), make(chan struct{})}
		svc := encryption.NewService(keys, sharing())
		var before, after string
		go func() { before = wrappedOf(t, svc, photo, shared()) }()
		<-keys.made
		_, err := svc.DisableKey(t.Context(), &kms.DisableKeyRequest{KeyID: "default"})
		require.NoError(t, err)
		_, err = svc.EnableKey(t.Context(), &kms.EnableKeyRequest{KeyID: "default"})
		require.NoError(t, err)
		go func() { after = wrappedOf(t, svc, photo, shared()) }()
		<-keys.made // nobody who asks after the change waits for a data key of before
		close(keys.release)
		synctest.Wait()
		require.NotEqual(t, before, after)
		require.Equal(t, after, wrappedOf(t, svc, photo, shared()))
		svc.ClearBucketKeys()
		manager.ClearCache()
	})
}

func TestASharedDataKeyIsAuthorizedForEachObject(t *testing.T) {
	type user struct{}
	var asked atomic.Int64
	keys := newMock(t)
	manager := kms.NewManager(keys, kms.Options{DefaultKeyID: "default", Authorize: func(ctx context.Context, op, keyID string, ec kms.EncryptionContext) error {
		asked.Add(1)
		if op != "GenerateDataKey" || keyID != "default" || ec["aws:s3:arn"] != "arn:aws:s3:::photos" {
			return fmt.Errorf("asked about %s with %s", op, keyID)
		}
		if ctx.Value(user{}) == "eve" {
			return errors.New("not you")
		}
		return nil
	}})
	svc := encryption.NewService(manager, sharing())
	t.Cleanup(svc.ClearBucketKeys)
	write := func(name string) error {
		object, err := svc.EncryptStream(context.WithValue(t.Context(), user{}, name), photo, shared(), bytes.NewReader(nil))
		if err == nil {
			object.Close()
		}
		return err
	}
	require.ErrorIs(t, write("eve"), kms.ErrPermission)
	require.Zero(t, keys.Calls("GenerateDataKey"))
	require.NoError(t, write("bob"))
	before := asked.Load()
	require.ErrorIs(t, write("eve"), kms.ErrPermission)
	require.NoError(t, write("alice"))
	require.Equal(t, before+2, asked.Load(), "once for each")
	require.Equal(t, 1, keys.Calls("GenerateDataKey"))

	// Who waits for another's data key is asked about too, and one who may not spoils nothing.
	svc.ClearBucketKeys()
	var denied atomic.Int64
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			if write([]string{"bob", "eve"}[i%2]) != nil {
				denied.Add(1)
			}
		})
	}
	group.Wait()
	require.Equal(t, int64(50), denied.Load())
	require.Equal(t, 2, keys.Calls("GenerateDataKey"))
}

// refusing is a KeyService whose policy looks at the caller only where a data key is made.
type refusing struct {
	held
	calls atomic.Int64
}

type caller struct{}

func (r *refusing) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	r.calls.Add(1)
	if ctx.Value(caller{}) == "eve" {
		r.made <- struct{}{}
		<-r.release
		return nil, &kms.Error{Kind: kms.KindBackend, Op: "GenerateDataKey", Err: kms.ErrPermission}
	}
	return r.Manager.GenerateDataKey(ctx, req)
}

func TestARefusalOfOneWriterIsNotAnsweredToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		manager := newManager(t, newMock(t))
		keys := &refusing{held: held{manager, make(chan struct{}, 10), make(chan struct{})}}
		svc := encryption.NewService(keys, sharing())
		write := func(name string) error {
			object, err := svc.EncryptStream(context.WithValue(t.Context(), caller{}, name), photo, shared(), bytes.NewReader(nil))
			if err == nil {
				object.Close()
			}
			return err
		}
		var eves, bobs [3]error
		var group sync.WaitGroup
		group.Go(func() { eves[0] = write("eve") })
		<-keys.made
		for i := range bobs {
			group.Go(func() { bobs[i] = write("bob") })
		}
		for i := range eves[1:] {
			group.Go(func() { eves[i+1] = write("eve") })
		}
		synctest.Wait() // all wait for the data key that eve has asked for
		close(keys.release)
		group.Wait()
		for _, err := range bobs {
			require.NoError(t, err)
		}
		require.ErrorIs(t, eves[0], kms.ErrPermission)
		require.LessOrEqual(t, keys.calls.Load(), int64(4), "one for each eve at most, and one that the others share")
		svc.ClearBucketKeys()
		manager.ClearCache()
	})
}

// What is no refusal concerns all who wait.
func TestAnOutageIsAnsweredToAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newMock(t)
		manager := kms.NewManager(keys, kms.Options{DefaultKeyID: "default", RetryAttempts: 1})
		svc := encryption.NewService(manager, sharing())
		keys.Delay("GenerateDataKey", time.Second)
		keys.FailNext("GenerateDataKey", kms.ErrUnavailable)
		var errs [5]error
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() { _, errs[i] = svc.EncryptStream(t.Context(), photo, shared(), bytes.NewReader(nil)) })
		}
		group.Wait()
		for _, err := range errs {
			require.ErrorIs(t, err, kms.ErrUnavailable)
		}
		require.Equal(t, 1, keys.Calls("GenerateDataKey"))
		require.NoError(t, manager.Close())
	})
}
