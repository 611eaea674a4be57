package encryption_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// fillUploads puts n objects that were uploaded in parts, of which some are empty. Their plaintext is their number.
func (b *bucket) fillUploads(t testing.TB, svc *encryption.Service, n int, protect func(i int) *encryption.Request) {
	t.Helper()
	for i := range n {
		id := numbered(len(b.ids))
		upload, err := svc.CreateUpload(t.Context(), id, uploadID, protect(i))
		require.NoError(t, err)
		var receipts []encryption.PartReceipt
		var body bytes.Buffer
		for number, plain := range []string{"", id.Key[:1], "", id.Key[1:], ""} {
			part, err := upload.EncryptPart(2*number+1, bytes.NewReader([]byte(plain)))
			require.NoError(t, err)
			_, err = part.WriteTo(&body)
			require.NoError(t, err)
			receipt, err := part.Receipt()
			require.NoError(t, err)
			receipts = append(receipts, receipt)
		}
		b.ids, b.bodies[id] = append(b.ids, id), body.Bytes()
		b.envelopes[id], err = upload.Complete(t.Context(), id, receipts)
		require.NoError(t, err)
		require.NoError(t, upload.Close())
	}
}

// layouts returns what the envelopes of the bucket say of parts.
func (b *bucket) layouts() (texts []string) {
	for _, id := range b.ids {
		parts := b.envelopes[id].Parts()
		texts = append(texts, strconv.FormatInt(parts.PlainSize(), 10)+hex.EncodeToString(parts.Digest()))
	}
	return texts
}

func TestRewrapAllOfUploadsAfterARotation(t *testing.T) {
	svc, keys := newSharing(t, encryption.Options{})
	b := newBucket()
	b.fillUploads(t, svc, 50, anyProtection)
	before := b.layouts()
	sealed := b.envelopes[numbered(0)].Parts().Sealed
	decrypted := keys.Calls("Decrypt")
	rotate(t, svc, "default")
	rotate(t, svc, "other")
	census := b.rewrap(t, svc, encryption.RewrapAllOptions{DryRun: true}).Before
	require.Equal(t, encryption.Census{version("default", 1): 20, version("other", 1): 20}, census)
	report := b.rewrap(t, svc, encryption.RewrapAllOptions{BatchSize: 7})
	require.Equal(t, 40, report.Written)
	require.Equal(t, 10, report.SSEC)
	require.Zero(t, report.After.MayUse("default", 1)+report.After.MayUse("other", 1))
	require.Equal(t, encryption.Census{version("default", 2): 20, version("other", 2): 20}, report.After)
	require.Equal(t, before, b.layouts())
	require.Equal(t, sealed, b.envelopes[numbered(0)].Parts().Sealed, "only the wrapped data key is another one")
	require.Equal(t, decrypted, keys.Calls("Decrypt"))
	b.open(t, svc)
	require.Equal(t, 40, b.rewrap(t, svc, encryption.RewrapAllOptions{}).Current, "again, nothing is to do")

	// An upload that began before the rotation is found when it is complete.
	upload, err := svc.CreateUpload(t.Context(), photo, uploadID, &encryption.Request{Mode: encryption.SSES3})
	require.NoError(t, err)
	defer upload.Close()
	rotate(t, svc, "default")
	part, err := upload.EncryptPart(1, bytes.NewReader(nil))
	require.NoError(t, err)
	_, err = part.WriteTo(io.Discard)
	require.NoError(t, err)
	receipt, err := part.Receipt()
	require.NoError(t, err)
	env, err := upload.Complete(t.Context(), photo, []encryption.PartReceipt{receipt})
	require.NoError(t, err)
	require.Equal(t, uint32(2), env.Parts().KeyVersion())
}

func TestRewrapAllOfUploadsToAnotherKeyAndMode(t *testing.T) {
	svc, _ := newSharing(t, sharing())
	b := newBucket()
	b.fillUploads(t, svc, 25, anyProtection)
	before := b.layouts()
	target := &encryption.Request{Mode: encryption.SSEKMS, KeyID: "other", BucketKey: true, Context: kms.EncryptionContext{"a": "b"}}
	opts := encryption.RewrapAllOptions{BatchSize: 4, Request: func(encryption.Item) *encryption.Request { return target }}
	report := b.rewrap(t, svc, opts)
	require.Equal(t, 20, report.Written)
	require.Equal(t, encryption.Census{version("other", 1): 20}, report.After)
	require.Equal(t, before, b.layouts())
	b.open(t, svc)
	require.Equal(t, 20, b.rewrap(t, svc, opts).Current)
}

func TestUploadsMoveToAnotherBackend(t *testing.T) {
	source, from := newSharing(t, encryption.Options{})
	target, _ := newSharing(t, encryption.Options{})
	b := newBucket()
	b.fillUploads(t, source, 25, anyProtection)
	b.fill(t, source, 25, anyProtection)
	before := b.layouts()
	opts := encryption.RewrapAllOptions{Target: target}
	report := b.rewrap(t, source, opts)
	require.Equal(t, 40, report.Written)
	require.Equal(t, 10, report.SSEC)
	require.Equal(t, before, b.layouts())
	b.open(t, target)
	decrypted := from.Calls("Decrypt")
	require.Equal(t, 40, b.rewrap(t, source, opts).Current)
	require.Equal(t, decrypted, from.Calls("Decrypt"), "nobody needs the old backend any more")
}

// A process that ends in the middle of a run leaves the cursor that it was told last. What it had stored behind that is found to be current.
func TestRewrapAllGoesOnAfterACrash(t *testing.T) {
	type crash struct{}
	for _, end := range []int{0, 1, 6, 7, 8, 20, 31} {
		t.Run(strconv.Itoa(end), func(t *testing.T) {
			svc, _ := newSharing(t, encryption.Options{})
			b := newBucket()
			b.fill(t, svc, 20, anyProtection)
			b.fillUploads(t, svc, 20, anyProtection)
			rotate(t, svc, "default")
			rotate(t, svc, "other")
			var cursor string
			var done int
			opts := encryption.RewrapAllOptions{BatchSize: 7, Store: func(ctx context.Context, item encryption.Item, env *encryption.Envelope) error {
				if b.writes == end {
					panic(crash{})
				}
				return b.store(ctx, item, env)
			}, Progress: func(report encryption.Report) {
				require.GreaterOrEqual(t, report.Items, done)
				cursor, done = report.Cursor, report.Items
			}}
			func() {
				defer func() { require.Equal(t, crash{}, recover()) }()
				svc.RewrapAll(t.Context(), b.from(""), opts)
			}()
			require.Equal(t, end, b.writes)

			opts.Store, opts.Progress = b.store, nil
			second, err := svc.RewrapAll(t.Context(), b.from(cursor), opts)
			require.NoError(t, err)
			require.Equal(t, 40, done+second.Items)
			require.Equal(t, 32, b.writes, "each was written once")
			require.Zero(t, second.Failed)
			proof := b.rewrap(t, svc, encryption.RewrapAllOptions{DryRun: true})
			require.Equal(t, encryption.Census{version("default", 2): 16, version("other", 2): 16}, proof.After)
			b.open(t, svc)
		})
	}
}

func TestAChangedEnvelopeOfAnUploadFailsAlone(t *testing.T) {
	svc, _ := newSharing(t, encryption.Options{})
	b := newBucket()
	b.fillUploads(t, svc, 4, func(int) *encryption.Request { return &encryption.Request{Mode: encryption.SSES3} })
	for i, change := range []func(*encryption.Parts, encryption.Parts){
		func(p *encryption.Parts, other encryption.Parts) { p.Layout = other.Layout },
		func(p *encryption.Parts, other encryption.Parts) { p.Wrapped = other.Wrapped },
		func(p *encryption.Parts, other encryption.Parts) { p.Sealed = slices.Clone(other.Sealed) },
	} {
		parts := b.envelopes[numbered(i)].Parts()
		change(&parts, b.envelopes[numbered(3)].Parts())
		b.envelopes[numbered(i)] = parts.Envelope()
	}
	// Another key for all: each is opened.
	report := b.rewrap(t, svc, encryption.RewrapAllOptions{KeyID: "other"})
	require.Equal(t, 1, report.Written)
	require.Equal(t, 3, report.Failed)
	for _, failed := range report.Errors {
		require.True(t, errors.Is(failed, kms.ErrDecrypt))
	}
}
