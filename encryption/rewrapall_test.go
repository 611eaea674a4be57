package encryption_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// A bucket is a server's store of objects, in the order of their numbers.
type bucket struct {
	ids       []encryption.ObjectID
	envelopes map[encryption.ObjectID]*encryption.Envelope
	bodies    map[encryption.ObjectID][]byte
	writes    int
}

func newBucket() *bucket {
	return &bucket{envelopes: make(map[encryption.ObjectID]*encryption.Envelope), bodies: make(map[encryption.ObjectID][]byte)}
}

// fill puts n objects, whose plaintext is their number.
func (b *bucket) fill(t testing.TB, svc *encryption.Service, n int, req func(i int) *encryption.Request) {
	t.Helper()
	for i := range n {
		id := numbered(len(b.ids))
		b.ids = append(b.ids, id)
		b.envelopes[id], b.bodies[id] = put(t, svc, id, req(i), []byte(id.Key))
	}
}

// from lists the items behind a cursor.
func (b *bucket) from(cursor string) func() (encryption.Item, bool) {
	i := 0
	if cursor != "" {
		last, _ := strconv.Atoi(cursor)
		i = last + 1
	}
	return func() (encryption.Item, bool) {
		if i >= len(b.ids) {
			return encryption.Item{}, false
		}
		item := encryption.Item{ID: b.ids[i], Envelope: b.envelopes[b.ids[i]], Cursor: strconv.Itoa(i)}
		i++
		return item, true
	}
}

// store compares and sets.
func (b *bucket) store(_ context.Context, item encryption.Item, env *encryption.Envelope) error {
	if b.envelopes[item.ID] != item.Envelope {
		return fmt.Errorf("number %s: %w", item.ID.Key, encryption.ErrChanged)
	}
	b.envelopes[item.ID] = env
	b.writes++
	return nil
}

// open opens every object by the text of its envelope.
func (b *bucket) open(t testing.TB, svc *encryption.Service) {
	t.Helper()
	for _, id := range b.ids {
		env, err := encryption.ParseEnvelope(b.envelopes[id].Map())
		require.NoError(t, err)
		var req *encryption.Request
		if env.Mode() == encryption.SSEC {
			req = &encryption.Request{CustomerKey: customerKey()}
		}
		plain, err := get(t.Context(), svc, id, env, req, bytes.NewReader(b.bodies[id]))
		require.NoError(t, err, id.Key)
		require.Equal(t, id.Key, string(plain))
	}
}

func (b *bucket) rewrap(t testing.TB, svc *encryption.Service, opts encryption.RewrapAllOptions) encryption.Report {
	t.Helper()
	if opts.Store == nil {
		opts.Store = b.store
	}
	report, err := svc.RewrapAll(t.Context(), b.from(""), opts)
	require.NoError(t, err)
	return report
}

func rotate(t testing.TB, keys kms.KeyRotator, id string) {
	t.Helper()
	_, err := keys.RotateKey(t.Context(), &kms.RotateKeyRequest{KeyID: id})
	require.NoError(t, err)
}

// anyProtection alternates between all modes.
func anyProtection(i int) *encryption.Request {
	all := protections()
	return all[i%len(all)].write()
}

func version(keyID string, version uint32) encryption.KeyVersion {
	return encryption.KeyVersion{KeyID: keyID, Version: version}
}

func TestRewrapAllAfterARotation(t *testing.T) {
	const objects = 10_000
	svc, keys := newSharing(t, sharing())
	b := newBucket()
	b.fill(t, svc, objects, func(i int) *encryption.Request {
		return &encryption.Request{Mode: encryption.SSES3, KeyID: []string{"default", "other"}[i%2], BucketKey: i%5 == 0}
	})
	rotate(t, svc, "default")
	before := b.rewrap(t, svc, encryption.RewrapAllOptions{DryRun: true})
	all := encryption.Census{version("default", 1): objects / 2, version("other", 1): objects / 2}
	require.Equal(t, encryption.Report{Items: objects, Before: all, After: all, Cursor: "9999"}, before)
	require.Equal(t, objects/2, before.After.MayUse("default", 1))
	require.Zero(t, keys.Calls("RewrapDataKeys"))

	generated, decrypted := keys.Calls("GenerateDataKey"), keys.Calls("Decrypt")
	sealed := b.envelopes[numbered(0)].Parts().Sealed
	report := b.rewrap(t, svc, encryption.RewrapAllOptions{})
	after := encryption.Census{version("default", 2): objects / 2, version("other", 1): objects / 2}
	require.Equal(t, encryption.Report{Items: objects, Written: objects / 2, Current: objects / 2, Before: all, After: after, Cursor: "9999"}, report)
	require.Zero(t, report.After.MayUse("default", 1))
	require.Equal(t, objects/2, report.After.MayUse("default", 2))
	require.Equal(t, 2*objects/500, keys.Calls("RewrapDataKeys"))
	require.Equal(t, generated, keys.Calls("GenerateDataKey"))
	require.Equal(t, decrypted, keys.Calls("Decrypt"))
	require.Equal(t, sealed, b.envelopes[numbered(0)].Parts().Sealed, "the sealed object key is untouched")

	again := b.rewrap(t, svc, encryption.RewrapAllOptions{BatchSize: 1 << 30})
	require.Equal(t, encryption.Report{Items: objects, Current: objects, Before: after, After: after, Cursor: "9999"}, again)
	require.Equal(t, objects/2, b.writes)
	b.open(t, svc)
}

func TestRewrapAllKeepsSharedDataKeysShared(t *testing.T) {
	svc, keys := newSharing(t, sharing())
	b := newBucket()
	b.fill(t, svc, 100, func(int) *encryption.Request { return shared() })
	rotate(t, svc, "default")
	require.Equal(t, 100, b.rewrap(t, svc, encryption.RewrapAllOptions{}).Written)
	for _, env := range b.envelopes {
		require.Equal(t, b.envelopes[numbered(0)].Parts().Wrapped, env.Parts().Wrapped)
	}
	b.open(t, svc)
	require.Equal(t, 1, keys.Calls("Decrypt"))
}

func TestRewrapAllOfAllModes(t *testing.T) {
	svc, _ := newSharing(t, encryption.Options{})
	b := newBucket()
	b.fill(t, svc, 50, anyProtection)
	rotate(t, svc, "default")
	rotate(t, svc, "other")
	report := b.rewrap(t, svc, encryption.RewrapAllOptions{BatchSize: 7})
	require.Equal(t, 40, report.Written)
	require.Equal(t, 10, report.SSEC)
	require.Equal(t, encryption.Census{version("default", 2): 20, version("other", 2): 20}, report.After)
	b.open(t, svc)
}

func TestRewrapAllResumes(t *testing.T) {
	for _, end := range []int{0, 1, 6, 7, 8, 29} {
		t.Run(strconv.Itoa(end), func(t *testing.T) {
			svc, _ := newSharing(t, encryption.Options{})
			b := newBucket()
			b.fill(t, svc, 30, anyProtection)
			rotate(t, svc, "default")
			rotate(t, svc, "other")
			ctx, cancel := context.WithCancel(t.Context())
			opts := encryption.RewrapAllOptions{BatchSize: 7, Store: func(ctx context.Context, item encryption.Item, env *encryption.Envelope) error {
				if b.writes == end {
					cancel()
					return ctx.Err()
				}
				return b.store(ctx, item, env)
			}}
			first, err := svc.RewrapAll(ctx, b.from(""), opts)
			cancel()
			if end == 29 {
				require.NoError(t, err, "there are 24 to write")
				require.Equal(t, 24, first.Written)
				return
			}
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, end, first.Written)
			require.Equal(t, end, b.writes)
			require.Empty(t, first.Errors)
			second, err := svc.RewrapAll(t.Context(), b.from(first.Cursor), encryption.RewrapAllOptions{Store: b.store})
			require.NoError(t, err)
			require.Equal(t, 24, first.Written+second.Written)
			require.Equal(t, "29", second.Cursor)
			require.Equal(t, 24, b.rewrap(t, svc, encryption.RewrapAllOptions{}).Current)
			b.open(t, svc)
		})
	}
}

// Items of two keys end out of order: the cursor never passes one that is not done.
func TestTheCursorPassesNoItemThatIsNotDone(t *testing.T) {
	svc, _ := newSharing(t, encryption.Options{})
	b := newBucket()
	b.fill(t, svc, 6, func(i int) *encryption.Request {
		return &encryption.Request{Mode: encryption.SSES3, KeyID: []string{"default", "other", "default"}[i%3]}
	})
	rotate(t, svc, "default")
	rotate(t, svc, "other")
	ctx, cancel := context.WithCancel(t.Context())
	report, err := svc.RewrapAll(ctx, b.from(""), encryption.RewrapAllOptions{Store: func(ctx context.Context, item encryption.Item, env *encryption.Envelope) error {
		if env.KeyID() == "other" {
			cancel()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return b.store(ctx, item, env)
	}})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 4, report.Written)
	require.Equal(t, "0", report.Cursor)
}

func TestRewrapAllWithAContextThatIsOverReadsNothing(t *testing.T) {
	svc, keys := newSharing(t, encryption.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report, err := svc.RewrapAll(ctx, func() (encryption.Item, bool) { panic("asked") }, encryption.RewrapAllOptions{DryRun: true})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, report.Items)
	_, err = svc.RewrapAll(t.Context(), newBucket().from(""), encryption.RewrapAllOptions{})
	require.ErrorIs(t, err, kms.ErrInvalidRequest, "no Store")
	report, err = svc.RewrapAll(t.Context(), newBucket().from(""), encryption.RewrapAllOptions{Store: newBucket().store})
	require.NoError(t, err, "no objects")
	require.Empty(t, report.Cursor)
	require.Zero(t, keys.Calls("RewrapDataKeys"))
}

func TestRewrapAllLeavesWhatWasChangedMeanwhile(t *testing.T) {
	svc, _ := newSharing(t, encryption.Options{})
	b := newBucket()
	b.fill(t, svc, 10, func(int) *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} })
	rotate(t, svc, "default")
	newer := make(map[encryption.ObjectID]*encryption.Envelope)
	report := b.rewrap(t, svc, encryption.RewrapAllOptions{Store: func(ctx context.Context, item encryption.Item, env *encryption.Envelope) error {
		if n, _ := strconv.Atoi(item.ID.Key); n%2 == 0 {
			newer[item.ID], b.bodies[item.ID] = put(t, svc, item.ID, &encryption.Request{Mode: encryption.SSES3}, []byte(item.ID.Key))
			b.envelopes[item.ID] = newer[item.ID]
		}
		return b.store(ctx, item, env)
	}})
	require.Equal(t, 5, report.Changed)
	require.Equal(t, 5, report.Written)
	require.Zero(t, report.Failed)
	require.Empty(t, report.Errors)
	require.Equal(t, 5, report.After.MayUse("default", 1), "who knows what they are now")
	for id, env := range newer {
		require.Same(t, env, b.envelopes[id])
	}
	b.open(t, svc)
}

func TestABadItemFailsNoOther(t *testing.T) {
	svc, keys := newSharing(t, encryption.Options{})
	b := newBucket()
	b.fill(t, svc, 20, func(i int) *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} })
	rotate(t, svc, "default")
	broken := b.envelopes[numbered(3)].Parts()
	broken.Wrapped = slices.Clone(broken.Wrapped)
	broken.Wrapped[len(broken.Wrapped)-1] ^= 1
	b.envelopes[numbered(3)] = broken.Envelope()
	b.envelopes[numbered(5)] = b.envelopes[numbered(6)] // of another object
	b.envelopes[numbered(7)] = nil
	b.envelopes[numbered(8)] = new(encryption.Envelope)
	b.ids[9] = encryption.ObjectID{Bucket: "photos"}
	b.envelopes[b.ids[9]] = b.envelopes[numbered(9)]
	foreign := b.envelopes[numbered(11)].Parts()
	foreign.KeyID = "other"
	b.envelopes[numbered(11)] = foreign.Envelope()
	unstored := errors.New("disk full")
	store := func(ctx context.Context, item encryption.Item, env *encryption.Envelope) error {
		if item.ID == numbered(12) {
			return unstored
		}
		return b.store(ctx, item, env)
	}
	report := b.rewrap(t, svc, encryption.RewrapAllOptions{Store: store})
	require.Equal(t, 20, report.Items)
	require.Equal(t, 13, report.Written)
	require.Equal(t, 7, report.Failed)
	require.Len(t, report.Errors, 7)
	want := map[string]error{"3": kms.ErrDecrypt, "5": kms.ErrDecrypt, "7": kms.ErrInvalidRequest, "8": kms.ErrInvalidRequest, "9": kms.ErrInvalidRequest, "11": kms.ErrDecrypt, "12": unstored}
	for _, failed := range report.Errors {
		require.Contains(t, want, failed.Cursor)
		require.ErrorIs(t, failed, want[failed.Cursor], failed.Cursor)
	}
	require.ErrorContains(t, report.Errors[len(report.Errors)-1], `in "photos": `)
	require.Equal(t, "19", report.Cursor)
	require.Equal(t, 5, report.After[version("default", 1)]+report.After[version("other", 0)])

	bounded := b.rewrap(t, svc, encryption.RewrapAllOptions{MaxErrors: 2, Store: store})
	require.Equal(t, 7, bounded.Failed)
	require.Len(t, bounded.Errors, 2)
	require.Equal(t, 13, bounded.Current)

	keys.FailNext("RewrapDataKeys", kms.ErrPermission)
	denied := b.rewrap(t, svc, encryption.RewrapAllOptions{BatchSize: 2, Store: store})
	require.Equal(t, 2, denied.Failed-bounded.Failed)
}

func TestAKeyServiceThatIsDownEndsTheRun(t *testing.T) {
	svc, keys := newSharing(t, encryption.Options{})
	b := newBucket()
	b.fill(t, svc, 6, func(int) *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} })
	rotate(t, svc, "default")
	keys.FailNext("RewrapDataKeys", nil)
	for range 3 {
		keys.FailNext("RewrapDataKeys", kms.ErrUnavailable)
	}
	report, err := svc.RewrapAll(t.Context(), b.from(""), encryption.RewrapAllOptions{Store: b.store, BatchSize: 2})
	require.ErrorIs(t, err, kms.ErrUnavailable)
	require.Equal(t, "1", report.Cursor)
	require.Equal(t, 2, report.Written)
	require.Zero(t, report.Failed)
}
