package encryption_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// layouts are rows of parts that every way through the package must get right.
var layouts = map[string][]piece{
	"one part":                {{1, 100}},
	"one part, high number":   {{10_000, chunk + 1}},
	"one empty part":          {{1, 0}},
	"three equal and a tail":  {{1, 2 * chunk}, {2, 2 * chunk}, {3, 2 * chunk}, {4, 77}},
	"unequal":                 {{1, 5}, {2, chunk}, {3, chunk - 1}, {4, 2*chunk + 3}, {5, 5}},
	"gaps":                    {{2, chunk}, {3, chunk}, {7, chunk}, {10_000, 1}},
	"empty in front":          {{1, 0}, {2, 0}, {3, chunk + 9}},
	"empty in between":        {{1, chunk}, {2, 0}, {5, 0}, {6, 10}},
	"empty at the end":        {{1, chunk}, {2, 10}, {3, 0}},
	"all empty":               {{1, 0}, {2, 0}, {4, 0}},
	"more than are held open": manyPieces(40, 100),
}

func manyPieces(count, size int) []piece {
	pieces := make([]piece, count)
	for i := range pieces {
		pieces[i] = piece{i + 1, size}
	}
	return pieces
}

func TestObjectsInParts(t *testing.T) {
	ring := newRing("default", "other")
	for _, p := range protections() {
		for name, pieces := range layouts {
			t.Run(p.name+", "+name, func(t *testing.T) {
				env, body, plain := ring.upload(t, photo, p, pieces...)
				require.EqualValues(t, len(plain), env.PlainSize())
				require.Equal(t, p.write().Mode, env.Mode())
				require.Equal(t, p.write().BucketKey, env.BucketKey())
				require.Equal(t, p.write().Context, env.Context())
				info, err := encryption.Info(env, int64(len(body)))
				require.NoError(t, err)
				require.Equal(t, len(pieces), info.Parts)
				require.EqualValues(t, len(plain), info.PlainSize)
				var sizes []piece
				for number, size := range env.PartSizes() {
					sizes = append(sizes, piece{number, int(size)})
				}
				require.Equal(t, pieces, sizes)
				requireReadable(t, ring, photo, env, p, body, plain)
			})
		}
	}
}

// requireReadable reads an object in every way, in a process that has seen nothing of it.
func requireReadable(t *testing.T, ring *ring, id encryption.ObjectID, env *encryption.Envelope, p protection, body, plain []byte) {
	t.Helper()
	svc := encryption.NewService(ring, encryption.Options{})
	for name, stored := range map[string]io.Reader{"at once": bytes.NewReader(body), "byte by byte": iotest.OneByteReader(bytes.NewReader(body)), "with its end": iotest.DataErrReader(bytes.NewReader(body))} {
		got, err := get(t.Context(), svc, id, env, p.read(), stored)
		require.NoError(t, err, name)
		require.True(t, bytes.Equal(plain, got), name)
	}
	r, err := svc.DecryptStream(t.Context(), id, env, p.read(), bytes.NewReader(body))
	require.NoError(t, err)
	defer r.Close()
	var written bytes.Buffer
	n, err := r.(io.WriterTo).WriteTo(&written)
	require.NoError(t, err)
	require.EqualValues(t, len(plain), n)
	require.True(t, bytes.Equal(plain, written.Bytes()))

	object, err := svc.OpenObject(t.Context(), id, env, p.read(), int64(len(body)))
	require.NoError(t, err)
	defer object.Close()
	require.EqualValues(t, len(plain), object.Size())
	readerAt, err := object.NewReaderAt(bytes.NewReader(body))
	require.NoError(t, err)
	got, err := io.ReadAll(io.NewSectionReader(readerAt, 0, object.Size()))
	require.NoError(t, err)
	require.True(t, bytes.Equal(plain, got))
	part, err := object.Range(t.Context(), 0, object.Size(), (&store{stored: body}).fetch)
	require.NoError(t, err)
	defer part.Close()
	require.NoError(t, iotest.TestReader(struct{ io.Reader }{part}, plain))
}

func TestTenThousandPartsHaveASmallEnvelope(t *testing.T) {
	ring := newRing("default", "other")
	const size = 3
	for _, p := range protections() {
		if p.write().BucketKey {
			continue
		}
		env, body, plain := ring.upload(t, photo, p, append(manyPieces(9_999, size), piece{10_000, 1})...)
		require.Less(t, len(text(t, env)), 2048)
		t.Logf("%s: text of %d bytes", p.name, len(text(t, env)))
		got, err := get(t.Context(), encryption.NewService(ring, encryption.Options{}), photo, env, p.read(), bytes.NewReader(body))
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, got))
	}
}

func TestPartsInAnyOrderAtOnceAndAgain(t *testing.T) {
	ring := newRing("default")
	u := newUpload(t, ring, photo, protections()[0])
	opened := u.opened(t)
	const parts, attempts = 20, 50
	plain := random(parts * 100)
	var mu sync.Mutex
	var wg sync.WaitGroup
	headers := make(map[string]bool)
	for attempt := range attempts {
		for _, i := range rand.Perm(parts) {
			wg.Go(func() {
				number := i + 1
				part, err := opened.EncryptPart(number, bytes.NewReader(plain[i*100:][:100]))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(part)
				receipt, receiptErr := part.Receipt()
				text, textErr := receipt.MarshalText()
				if err := errors.Join(err, receiptErr, textErr); err != nil {
					t.Error(attempt, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				headers[string(body[:56])] = true
				u.parts[number] = storedPart{body, string(text), part.ETag()}
			})
		}
	}
	wg.Wait()
	require.Len(t, headers, parts*attempts, "key and nonce come from the header, so no two are the same")
	numbers := make([]int, parts)
	for i := range numbers {
		numbers[i] = i + 1
	}
	env, body := u.complete(t, numbers...)
	requireReadable(t, ring, photo, env, u.p, body, plain)
}

func TestUploadAsksForOneDataKey(t *testing.T) {
	ring := newRing("default")
	u := newUpload(t, ring, photo, protections()[0])
	require.Len(t, ring.requests, 1)
	require.Equal(t, kms.EncryptionContext{"aws:s3:arn": "arn:aws:s3:::photos/2024/cat.jpg"}, ring.requests[0].Context)
	u.put(t, 1, nil)
	u.put(t, 2, nil)
	u.complete(t, 1, 2)
	require.Len(t, ring.requests, 1)
	require.Len(t, ring.unwraps, 3, "one for each time that it was opened")
}

func TestCompletedObjectHasAVersionOfItsOwn(t *testing.T) {
	ring := newRing("default", "other")
	for _, p := range protections() {
		u := newUpload(t, ring, encryption.ObjectID{Bucket: photo.Bucket, Key: photo.Key, Version: "not looked at"}, p)
		u.put(t, 1, []byte("meow"))
		versioned := photo
		versioned.Version = "v7"
		env, err := u.opened(t).Complete(t.Context(), versioned, u.receipts(t, 1))
		require.NoError(t, err)
		requireReadable(t, ring, versioned, env, p, u.parts[1].body, []byte("meow"))
		require.Error(t, readAll(t, u.service(), photo, env, p.read, u.parts[1].body))
	}
}

func TestCompleteCanBeRepeated(t *testing.T) {
	ring := newRing("default")
	u := newUpload(t, ring, photo, protections()[0])
	u.put(t, 1, []byte("meow"))
	opened := u.opened(t)
	for range 3 {
		env, err := opened.Complete(t.Context(), photo, u.receipts(t, 1))
		require.NoError(t, err)
		requireReadable(t, ring, photo, env, u.p, u.parts[1].body, []byte("meow"))
	}
}

func TestUploadIsRewrappedAsAnyObject(t *testing.T) {
	ring := newRing("default", "other")
	for _, p := range protections() {
		for _, q := range protections() {
			env, body, plain := ring.upload(t, photo, p, piece{1, chunk}, piece{3, 9})
			to := encryption.ObjectID{Bucket: "copies", Key: "cat", Version: "2"}
			moved, err := encryption.NewService(ring, encryption.Options{}).Rewrap(t.Context(), photo, env, p.read(), to, q.write())
			require.NoError(t, err)
			moved, err = encryption.ParseEnvelope(moved.Map())
			require.NoError(t, err)
			requireReadable(t, ring, to, moved, q, body, plain)
		}
	}
}

func TestETagsOfParts(t *testing.T) {
	ring := newRing("default", "other")
	for _, p := range protections() {
		for _, wanted := range []bool{false, true} {
			u := newUpload(t, ring, photo, p)
			created, err := u.service().CreateUpload(t.Context(), photo, "other", withMD5(p.write(), wanted))
			require.NoError(t, err)
			req := p.read()
			if req == nil {
				req = new(encryption.Request)
			}
			state := new(encryption.UploadState)
			require.NoError(t, state.UnmarshalText([]byte(u.state)))
			opened, err := u.service().OpenUpload(t.Context(), photo, u.name, state, withMD5(req, wanted))
			require.NoError(t, err)
			for _, upload := range []*encryption.Upload{created, opened} {
				etag := encryptPart(t, upload, 1, []byte("meow")).etag
				require.Regexp(t, "^[0-9a-f]{32}$", etag)
				isMD5 := etag == "4a4be40c96ac6314e91d93f38043a634"
				require.Equal(t, wanted && p.write().Mode == encryption.SSES3, isMD5)
				require.NoError(t, upload.Close())
			}
		}
	}
}

func withMD5(req *encryption.Request, wanted bool) *encryption.Request {
	req.MD5 = wanted
	return req
}

func TestCompletedETag(t *testing.T) {
	receipts := func(etags ...string) (parts []encryption.PartReceipt) {
		for i, etag := range etags {
			parts = append(parts, encryption.PartReceipt{Number: i + 1, ETag: etag})
		}
		return parts
	}
	const a, b = "4a4be40c96ac6314e91d93f38043a634", "d41d8cd98f00b204e9800998ecf8427e"
	raw, err := hex.DecodeString(a + b)
	require.NoError(t, err)
	for _, tt := range []struct {
		parts []encryption.PartReceipt
		raw   []byte
		count string
	}{
		{receipts(a), raw[:16], "-1"},
		{receipts(a, b), raw, "-2"},
		{receipts(a, `"`+b+`"`), raw, "-2"},
	} {
		sum := md5.Sum(tt.raw)
		got, err := encryption.CompletedETag(tt.parts)
		require.NoError(t, err)
		require.Equal(t, hex.EncodeToString(sum[:])+tt.count, got)
	}
	for _, parts := range [][]encryption.PartReceipt{nil, receipts(""), receipts(a, b[:31]), receipts(a + "00"), receipts(`"` + a), receipts(a[:30] + "zz")} {
		_, err := encryption.CompletedETag(parts)
		require.ErrorIs(t, err, kms.ErrInvalidRequest)
	}
}

func TestHeadersOfUploads(t *testing.T) {
	ring := newRing("default", "other")
	const sse = "X-Amz-Server-Side-Encryption"
	for _, p := range protections() {
		u := newUpload(t, ring, photo, p)
		created, err := u.service().CreateUpload(t.Context(), photo, u.name, p.write())
		require.NoError(t, err)
		part, err := created.EncryptPart(1, bytes.NewReader(nil))
		require.NoError(t, err)
		ofCreate, ofPart, ofComplete := http.Header{}, http.Header{}, http.Header{}
		created.WriteHeaders(ofCreate)
		part.WriteHeaders(ofPart)
		u.opened(t).WriteHeaders(ofComplete)
		req := p.write()
		for _, h := range []http.Header{ofCreate, ofPart, ofComplete} {
			require.Equal(t, map[encryption.Mode]string{encryption.SSES3: "AES256", encryption.SSEKMS: "aws:kms"}[req.Mode], h.Get(sse))
		}
		require.Equal(t, len(req.Context) > 0, ofCreate.Get(sse+"-Context") != "")
		require.Empty(t, ofPart.Get(sse+"-Context"))
		require.Empty(t, ofComplete.Get(sse+"-Context"))
		const customer = sse + "-Customer-Key-Md5"
		require.Equal(t, req.Mode == encryption.SSEC, ofCreate.Get(customer) != "")
		require.Equal(t, ofCreate.Get(customer), ofPart.Get(customer))
		require.Empty(t, ofComplete.Get(customer))
	}
}

func TestPartOfABodyThatFails(t *testing.T) {
	u := newUpload(t, newRing("default"), photo, protections()[0])
	opened := u.opened(t)
	broken := errors.New("connection lost")
	part, err := opened.EncryptPart(1, io.MultiReader(bytes.NewReader(random(5)), iotest.ErrReader(broken)))
	require.NoError(t, err)
	_, err = part.Receipt()
	require.ErrorIs(t, err, kms.ErrInvalidRequest)
	require.Empty(t, part.ETag())
	_, err = io.ReadAll(part)
	require.ErrorIs(t, err, broken)
	for range 2 {
		_, err = part.Receipt()
		require.ErrorIs(t, err, broken)
		require.Empty(t, part.ETag())
	}

	closed, err := opened.EncryptPart(1, bytes.NewReader(nil))
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	_, err = closed.Read(make([]byte, 100))
	require.Equal(t, kms.ErrClosed, err)
	_, err = closed.Receipt()
	require.Equal(t, kms.ErrClosed, err)

	done := encryptPart(t, opened, 1, nil)
	require.NotEmpty(t, done.receipt)
}

func TestClosedUploadIsClosedAndWiped(t *testing.T) {
	for _, p := range protections() {
		u := newUpload(t, newRing("default", "other"), photo, p)
		u.put(t, 1, []byte("meow"))
		opened, err := u.open(t.Context())
		require.NoError(t, err)
		part, err := opened.EncryptPart(2, bytes.NewReader([]byte("purr")))
		require.NoError(t, err)
		for _, key := range opened.Keys() {
			require.Equal(t, 32, key.Len())
		}
		require.NoError(t, opened.Close())
		require.NoError(t, opened.Close())
		for _, key := range opened.Keys() {
			require.Zero(t, key.Len())
		}
		var body bytes.Buffer
		_, err = part.WriteTo(&body)
		require.Equal(t, kms.ErrClosed, err)
		_, err = part.Receipt()
		require.Equal(t, kms.ErrClosed, err)
		require.Empty(t, part.ETag())
		_, err = opened.EncryptPart(1, bytes.NewReader(nil))
		require.Equal(t, kms.ErrClosed, err)
		_, err = opened.Complete(t.Context(), photo, u.receipts(t, 1))
		require.Equal(t, kms.ErrClosed, err)
		require.NotNil(t, opened.State())
	}
}
