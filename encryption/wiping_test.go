package encryption_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// A witness keeps the memory of every secret that goes into a Service or is held by it, and so sees whether it was wiped.
type witness struct {
	*ring
	t    *testing.T
	p    protection
	svc  *encryption.Service
	seen map[string][][]byte // by kind
	fail error               // of the KeyService

	env       *encryption.Envelope // of a stored object
	body      []byte
	state     *encryption.UploadState
	uploadEnv *encryption.Envelope // of an object that was uploaded in parts
	uploaded  []byte
}

func newWitness(t *testing.T, p protection) *witness {
	t.Helper()
	w := &witness{ring: newRing("default", "other"), t: t, p: p, seen: map[string][][]byte{}}
	w.env, w.body = put(t, encryption.NewService(w.ring, encryption.Options{}), photo, p.write(), random(3*chunk))
	w.uploadEnv, w.uploaded, _ = w.upload(t, photo, p, manyPieces(3, 100)...)
	w.state = new(encryption.UploadState)
	require.NoError(t, w.state.UnmarshalText([]byte(newUpload(t, w.ring, photo, p).state)))
	w.generate = func(resp *kms.GenerateDataKeyResponse) { w.note("data key", resp.Plaintext) }
	w.decrypt = func(resp *kms.DecryptResponse) { w.note("data key", resp.Plaintext) }
	w.svc = encryption.NewService(w, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: 1 << 40}})
	encryption.OnHold(w.svc, func(key *kms.Secret) { w.note("key of the Service", key) })
	return w
}

// note takes the memory of secrets, and returns the first of them.
func (w *witness) note(kind string, secrets ...*kms.Secret) *kms.Secret {
	for _, s := range secrets {
		if s.Len() > 0 {
			w.seen[kind] = append(w.seen[kind], s.Bytes())
		}
	}
	return secrets[0]
}

func (w *witness) GenerateDataKey(ctx context.Context, req *kms.GenerateDataKeyRequest) (*kms.GenerateDataKeyResponse, error) {
	if err := errors.Join(w.fail, ctx.Err()); err != nil {
		return nil, err
	}
	return w.ring.GenerateDataKey(ctx, req)
}

func (w *witness) Decrypt(ctx context.Context, req *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	if err := errors.Join(w.fail, ctx.Err()); err != nil {
		return nil, err
	}
	return w.ring.Decrypt(ctx, req)
}

func (w *witness) DescribeKey(context.Context, *kms.DescribeKeyRequest) (*kms.DescribeKeyResponse, error) {
	return nil, kms.ErrKeyNotFound
}

// write and read return requests whose customer keys are watched.
func (w *witness) write() *encryption.Request { return w.watch(w.p.write()) }
func (w *witness) read() *encryption.Request  { return w.watch(w.p.read()) }

func (w *witness) watch(req *encryption.Request) *encryption.Request {
	if req != nil && req.CustomerKey != nil {
		w.note("customer key", req.CustomerKey)
	}
	return req
}

// unwiped says what was not wiped.
func (w *witness) unwiped() (left []string) {
	for kind, all := range w.seen {
		for i, memory := range all {
			if !bytes.Equal(memory, make([]byte, len(memory))) {
				left = append(left, fmt.Sprintf("%s %d", kind, i+1))
			}
		}
	}
	return left
}

// An entry is a call of the Service, with all that follows from it. It returns the error of the call.
type entry struct {
	name string
	do   func(w *witness, ctx context.Context) error
}

// encrypt and the others make the call and give what it returned to then, which may be nil. Nothing is closed but by then.
func encrypting(declared int64, body io.Reader, then func(*encryption.EncryptedObject)) func(*witness, context.Context) error {
	return func(w *witness, ctx context.Context) error {
		req := w.write()
		req.PlainSize = declared
		object, err := w.svc.EncryptStream(ctx, photo, req, body)
		if err != nil {
			return err
		}
		w.note("object key", object.Keys()...)
		then(object)
		return nil
	}
}

func decrypting(body func(*witness) io.Reader, then func(io.ReadCloser)) func(*witness, context.Context) error {
	return func(w *witness, ctx context.Context) error {
		r, err := w.svc.DecryptStream(ctx, photo, w.env, w.read(), body(w))
		if err != nil {
			return err
		}
		w.note("object key", encryption.PlainReaderOf(r).Key())
		then(r)
		return nil
	}
}

func opening(then func(*witness, *encryption.Object)) func(*witness, context.Context) error {
	return func(w *witness, ctx context.Context) error {
		object, err := w.svc.OpenObject(ctx, photo, w.env, w.read(), int64(len(w.body)))
		if err != nil {
			return err
		}
		w.note("object key", object.Key())
		then(w, object)
		return nil
	}
}

func uploading(then func(*encryption.Upload)) func(*witness, context.Context) error {
	return func(w *witness, ctx context.Context) error {
		u, err := w.svc.OpenUpload(ctx, photo, uploadID, w.state, w.read())
		if err != nil {
			return err
		}
		w.note("upload key", u.Keys()...)
		then(u)
		return nil
	}
}

// rewrappingAll rewraps an object, and one that the envelope is not of. RewrapAll leaves the customer key of the request to its caller.
func rewrappingAll(request func(*witness) *encryption.Request) func(*witness, context.Context) error {
	return func(w *witness, ctx context.Context) error {
		target := request(w)
		items := []encryption.Item{{ID: photo, Envelope: w.env}, {ID: encryption.ObjectID{Bucket: "b", Key: "k"}, Envelope: w.env}}
		next := func() (item encryption.Item, more bool) {
			if len(items) == 0 {
				return item, false
			}
			item, items = items[0], items[1:]
			return item, true
		}
		_, err := w.svc.RewrapAll(ctx, next, encryption.RewrapAllOptions{
			KeyID:   "other",
			Request: func(encryption.Item) *encryption.Request { return target },
			Store:   func(context.Context, encryption.Item, *encryption.Envelope) error { return nil },
		})
		if target != nil {
			target.CustomerKey.Destroy()
		}
		return err
	}
}

func whole(w *witness) io.Reader { return bytes.NewReader(w.body) }

func flipped(at int) func(w *witness) io.Reader {
	return func(w *witness) io.Reader {
		body := bytes.Clone(w.body)
		body[at] ^= 1
		return bytes.NewReader(body)
	}
}

func closeAfter[T io.ReadCloser](n int64) func(T) {
	return func(r T) {
		io.CopyN(io.Discard, r, n)
		r.Close()
	}
}

const all = 1 << 40

// entries are all calls of the Service that are given a key, each in the ways in which it may go on.
func entries() []entry {
	failing := func() io.Reader { return io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(io.ErrClosedPipe)) }
	readNothing := func(u *encryption.Upload) {
		u.EncryptPart(1, strings.NewReader("abandoned"))
		u.Close()
	}
	return []entry{
		{"encrypt to the end", encrypting(0, strings.NewReader("abc"), closeAfter[*encryption.EncryptedObject](all))},
		{"encrypt a declared size", encrypting(3, strings.NewReader("abc"), closeAfter[*encryption.EncryptedObject](all))},
		{"encrypt another size than was declared", encrypting(4, strings.NewReader("abc"), closeAfter[*encryption.EncryptedObject](all))},
		{"encrypt and abandon", encrypting(0, strings.NewReader("abc"), closeAfter[*encryption.EncryptedObject](0))},
		{"encrypt and abandon within", encrypting(0, bytes.NewReader(random(100_000)), closeAfter[*encryption.EncryptedObject](20_000))},
		{"encrypt what fails, and do not close", encrypting(0, failing(), func(o *encryption.EncryptedObject) { io.Copy(io.Discard, o) })},
		{"encrypt for a writer that fails, and do not close", encrypting(0, strings.NewReader("abc"), func(o *encryption.EncryptedObject) { o.WriteTo(failingWriter{}) })},
		{"encrypt nothing", encrypting(0, nil, nil)},

		{"decrypt to the end", decrypting(whole, closeAfter[io.ReadCloser](all))},
		{"decrypt and abandon", decrypting(whole, closeAfter[io.ReadCloser](0))},
		{"decrypt and abandon within", decrypting(whole, closeAfter[io.ReadCloser](20_000))},
		{"decrypt a header that was changed", decrypting(flipped(3), nil)},
		{"decrypt a first chunk that was changed", decrypting(flipped(60), nil)},
		{"decrypt a later chunk that was changed", decrypting(flipped(2*chunk), closeAfter[io.ReadCloser](all))},
		{"decrypt what cannot be read", decrypting(func(*witness) io.Reader { return failing() }, nil)},
		{"decrypt nothing", decrypting(func(*witness) io.Reader { return nil }, nil)},

		{"open", opening(func(_ *witness, o *encryption.Object) { o.Close() })},
		{"open and read ranges", opening(func(w *witness, o *encryption.Object) {
			r, _ := o.Range(w.t.Context(), 5, 7, (&store{stored: w.body}).fetch)
			left, _ := o.Range(w.t.Context(), chunk, 1, (&store{stored: w.body}).fetch)
			io.Copy(io.Discard, r)
			r.Close()
			o.Close()
			left.Close()
		})},
		{"open and read at offsets", opening(func(w *witness, o *encryption.Object) {
			r, _ := o.NewReaderAt(bytes.NewReader(w.body))
			r.ReadAt(make([]byte, 10), chunk)
			o.Close()
		})},
		{"open a body of another size", func(w *witness, ctx context.Context) error {
			_, err := w.svc.OpenObject(ctx, photo, w.env, w.read(), 1)
			return err
		}},
		{"decrypt parts", func(w *witness, ctx context.Context) error {
			r, err := w.svc.DecryptStream(ctx, photo, w.uploadEnv, w.read(), bytes.NewReader(w.uploaded))
			if err == nil {
				w.note("object key", encryption.PlainReaderOf(r).Key())
				closeAfter[io.ReadCloser](150)(r)
			}
			return err
		}},

		{"create an upload", func(w *witness, ctx context.Context) error {
			u, err := w.svc.CreateUpload(ctx, photo, uploadID, w.write())
			if err == nil {
				w.note("upload key", u.Keys()...)
				u.Close()
			}
			return err
		}},
		{"create an upload without an id", func(w *witness, ctx context.Context) error {
			_, err := w.svc.CreateUpload(ctx, photo, "", w.write())
			return err
		}},
		{"open an upload", uploading(func(u *encryption.Upload) { u.Close() })},
		{"open an upload and abandon a part", uploading(readNothing)},
		{"open an upload and complete it with nothing", uploading(func(u *encryption.Upload) {
			u.Complete(context.Background(), photo, nil)
			u.Close()
		})},
		{"open an upload of another id", func(w *witness, ctx context.Context) error {
			_, err := w.svc.OpenUpload(ctx, photo, "another", w.state, w.read())
			return err
		}},

		{"rewrap", func(w *witness, ctx context.Context) error {
			_, err := w.svc.Rewrap(ctx, photo, w.env, w.read(), photo, w.write())
			return err
		}},
		{"rewrap the wrong object", func(w *witness, ctx context.Context) error {
			_, err := w.svc.Rewrap(ctx, encryption.ObjectID{Bucket: "b", Key: "k"}, w.env, w.read(), photo, w.write())
			return err
		}},
		{"rewrap for nothing", func(w *witness, ctx context.Context) error {
			_, err := w.svc.Rewrap(ctx, photo, w.env, w.read(), encryption.ObjectID{}, w.write())
			return err
		}},
		{"rewrap under a key that is missing", func(w *witness, ctx context.Context) error {
			target := &encryption.Request{Mode: encryption.SSEKMS, KeyID: "missing"}
			_, err := w.svc.Rewrap(ctx, photo, w.env, w.read(), photo, target)
			return err
		}},
		{"rewrap all", rewrappingAll(func(*witness) *encryption.Request { return nil })},
		{"rewrap all for customers", rewrappingAll(func(w *witness) *encryption.Request {
			return w.watch(&encryption.Request{Mode: encryption.SSEC, CustomerKey: customerKey()})
		})},
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// circumstances are how the world is when a call is made.
var circumstances = []struct {
	name  string
	world func(w *witness, ctx context.Context) context.Context
}{
	{"all is well", func(_ *witness, ctx context.Context) context.Context { return ctx }},
	{"the context has ended", func(_ *witness, ctx context.Context) context.Context {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx
	}},
	{"the context ends with the answer", func(w *witness, ctx context.Context) context.Context {
		ctx, cancel := context.WithCancel(ctx)
		generate, decrypt := w.generate, w.decrypt
		w.generate = func(resp *kms.GenerateDataKeyResponse) { generate(resp); cancel() }
		w.decrypt = func(resp *kms.DecryptResponse) { decrypt(resp); cancel() }
		return ctx
	}},
	{"there is no context", func(*witness, context.Context) context.Context { return nil }},
	{"the KeyService fails", func(w *witness, ctx context.Context) context.Context {
		w.fail = kms.ErrUnavailable
		return ctx
	}},
	{"data keys are too short", func(w *witness, ctx context.Context) context.Context {
		w.generate = func(resp *kms.GenerateDataKeyResponse) {
			resp.Plaintext = w.note("data key", kms.NewSecret(random(16)))
		}
		w.decrypt = func(resp *kms.DecryptResponse) { resp.Plaintext = w.note("data key", kms.NewSecret(random(16))) }
		return ctx
	}},
	{"data keys are wrong ones", func(w *witness, ctx context.Context) context.Context {
		w.decrypt = func(resp *kms.DecryptResponse) { resp.Plaintext = w.note("data key", kms.NewSecret(random(32))) }
		return ctx
	}},
	{"data keys are of another key", func(w *witness, ctx context.Context) context.Context {
		generate, decrypt := w.generate, w.decrypt
		w.generate = func(resp *kms.GenerateDataKeyResponse) { generate(resp); resp.KeyID = "" }
		w.decrypt = func(resp *kms.DecryptResponse) { decrypt(resp); resp.KeyID = "x" }
		return ctx
	}},
}

func TestEverySecretIsWipedHoweverACallEnds(t *testing.T) {
	seen := map[string]int{}
	for _, c := range circumstances {
		for _, p := range protections() {
			for i := range entries() {
				e := entries()[i] // with readers of its own
				w := newWitness(t, p)
				err := e.do(w, c.world(w, t.Context()))
				w.svc.ClearBucketKeys()
				require.Empty(t, w.unwiped(), "%s, %s, while %s: %v", e.name, p.name, c.name, err)
				for kind, all := range w.seen {
					seen[kind] += len(all)
				}
			}
		}
	}
	for _, kind := range []string{"customer key", "data key", "object key", "upload key", "key of the Service"} {
		require.Greater(t, seen[kind], 20, kind)
	}
}

// The test above sees what is not wiped yet.
func TestASecretThatIsNotWipedIsSeen(t *testing.T) {
	w := newWitness(t, protections()[0])
	object, err := w.svc.EncryptStream(t.Context(), photo, w.write(), strings.NewReader("abc"))
	require.NoError(t, err)
	w.note("object key", object.Keys()...)
	left := w.unwiped()
	slices.Sort(left)
	require.Equal(t, []string{"data key 1", "key of the Service 1", "object key 1", "object key 2"}, left)
	require.NoError(t, object.Close())
	require.Empty(t, w.unwiped())
}
