package model_test

import (
	"bytes"
	"io"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

var objectSizes = []int{0, 1, 100, 16383, 16384, 16385, 40_000}

// target is how an object is to be protected.
type target struct {
	id  encryption.ObjectID
	req *encryption.Request
	by  byte // of the customer's key
	key string
}

func drawTarget(t *rapid.T) target {
	to := target{
		id:  encryption.ObjectID{Bucket: "photos", Key: rapid.SampledFrom([]string{"cat", "dog", "x/y"}).Draw(t, "name")},
		req: &encryption.Request{Mode: rapid.SampledFrom([]encryption.Mode{encryption.SSES3, encryption.SSEKMS, encryption.SSEC}).Draw(t, "mode")},
	}
	if to.req.Mode == encryption.SSEC {
		to.by = rapid.ByteRange(1, 3).Draw(t, "customer")
		to.req.CustomerKey = customerKey(to.by)
		return to
	}
	to.req.BucketKey = rapid.Bool().Draw(t, "bucket key")
	to.key = drawID(t)
	if to.key != defaultKey || rapid.Bool().Draw(t, "named") {
		to.req.KeyID = to.key
	}
	if to.req.Mode == encryption.SSEKMS {
		to.req.Context = rapid.MapOfN(rapid.SampledFrom([]string{"a", "b"}), rapid.SampledFrom([]string{"", "x"}), 0, 2).Draw(t, "context")
	}
	return to
}

func customerKey(by byte) *kms.Secret {
	return kms.NewSecret(append([]byte("a customer's key of 32 bytes .."), by))
}

// wantGenerate returns the error of making a data key for it.
func (m *machine) wantGenerate(to target) error {
	if to.req.Mode == encryption.SSEC {
		return nil
	}
	return m.places[0].keys[to.key].mayUse()
}

// stored notes an object that was written.
func (m *machine) stored(t *rapid.T, to target, o object) {
	o.id, o.mode, o.context, o.customer, o.by = to.id, to.req.Mode, to.req.Context, to.by, wrapping{}
	if to.req.Mode != encryption.SSEC {
		o.by = m.places[0].keys[to.key].newest(to.key)
	}
	m.objects[to.id.Key] = &o
	if o.envelope != "" {
		m.mustBeOfFirstPlace(t, &o)
	}
}

// mustBeOfFirstPlace reads an object that was just written, with the keys of the place where it was, and no other.
func (m *machine) mustBeOfFirstPlace(t *rapid.T, o *object) {
	t.Helper()
	alone := encryption.NewService(m.places[0].other, encryption.Options{})
	r, err := alone.DecryptStream(ctx, o.id, o.parsed(t), o.read(), bytes.NewReader(o.stored))
	check(t, "read what was just written", err, nil)
	defer r.Close()
	got, err := io.ReadAll(r)
	if check(t, "read what was just written", err, nil) && !bytes.Equal(got, o.plain) {
		t.Fatalf("read %d other bytes than the %d that were written", len(got), len(o.plain))
	}
}

func (m *machine) put(t *rapid.T) { m.write(t, drawTarget(t)) }

// putTwice writes an object, and the same way again after another place has taken over: none of its data key may be left.
func (m *machine) putTwice(t *rapid.T) {
	to := drawTarget(t)
	if to.req.Mode == encryption.SSEC {
		return // the customer's key is gone after the first
	}
	to.req.BucketKey = true
	m.write(t, to)
	m.reconfigure(t)
	m.write(t, to)
}

func (m *machine) write(t *rapid.T, to target) {
	plain := drawBody(t)
	body, err := m.enc.EncryptStream(ctx, to.id, to.req, bytes.NewReader(plain))
	if !check(t, "put", err, m.wantGenerate(to)) {
		return
	}
	defer body.Close()
	stored, err := io.ReadAll(body)
	check(t, "put", err, nil)
	env, err := body.Envelope()
	check(t, "put", err, nil)
	attribute, err := body.SealAttribute("tag", plain[:min(len(plain), 10)])
	check(t, "seal an attribute", err, nil)
	m.stored(t, to, object{plain: plain, stored: stored, envelope: text(t, env), attribute: attribute})
}

func drawBody(t *rapid.T) []byte {
	size := rapid.SampledFrom(objectSizes).Draw(t, "size")
	return bytes.Repeat([]byte{rapid.Byte().Draw(t, "content")}, size)
}

func text(t *rapid.T, env *encryption.Envelope) string {
	b, err := env.MarshalText()
	check(t, "marshal an envelope", err, nil)
	return string(b)
}

// parsed returns the envelope that is stored.
func (o *object) parsed(t *rapid.T) *encryption.Envelope {
	env := new(encryption.Envelope)
	check(t, "parse an envelope", env.UnmarshalText([]byte(o.envelope)), nil)
	return env
}

// read is the request that reads the object.
func (o *object) read() *encryption.Request {
	if o.mode == encryption.SSEC {
		return &encryption.Request{CustomerKey: customerKey(o.customer)}
	}
	return nil
}

func (m *machine) get(t *rapid.T) {
	if o := m.draw(t); o != nil {
		m.mustRead(t, o, m.wantOpen(o.by, damage{}))
	}
}

func (m *machine) readAllObjects(t *rapid.T) {
	t.Helper()
	for _, o := range m.list() {
		m.mustRead(t, o, m.wantOpen(o.by, damage{}))
	}
}

// mustRead reads all of an object, which must be right or fail with that error.
func (m *machine) mustRead(t *rapid.T, o *object, wanted error) {
	t.Helper()
	got, err := m.readAll(o, o.parsed(t), o.read(), o.stored)
	if check(t, "get", err, wanted) && !bytes.Equal(got, o.plain) {
		t.Fatalf("read %d other bytes than the %d that were written", len(got), len(o.plain))
	}
}

func (m *machine) readAll(o *object, env *encryption.Envelope, req *encryption.Request, stored []byte) ([]byte, error) {
	r, err := m.enc.DecryptStream(ctx, o.id, env, req, bytes.NewReader(stored))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// getRange reads some of an object, and its attribute.
func (m *machine) getRange(t *rapid.T) {
	o := m.draw(t)
	if o == nil {
		return
	}
	opened, err := m.enc.OpenObject(ctx, o.id, o.parsed(t), o.read(), int64(len(o.stored)))
	if !check(t, "open", err, m.wantOpen(o.by, damage{})) {
		return
	}
	defer opened.Close()
	off := rapid.IntRange(0, len(o.plain)).Draw(t, "offset")
	n := rapid.IntRange(0, len(o.plain)-off).Draw(t, "length")
	fetch := func(_ ctxType, off, n int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(o.stored[off : off+n])), nil
	}
	r, err := opened.Range(ctx, int64(off), int64(n), fetch)
	check(t, "range", err, nil)
	defer r.Close()
	got, err := io.ReadAll(r)
	check(t, "range", err, nil)
	if !bytes.Equal(got, o.plain[off:off+n]) {
		t.Fatalf("a range is %d other bytes", len(got))
	}
	if o.attribute != nil {
		value, err := opened.OpenAttribute("tag", o.attribute)
		check(t, "attribute", err, nil)
		if !bytes.Equal(value, o.plain[:min(len(o.plain), 10)]) {
			t.Fatalf("an attribute is %d other bytes", len(value))
		}
		_, err = opened.OpenAttribute("other", o.attribute)
		check(t, "attribute by another name", err, kms.ErrDecrypt)
	}
}

// list returns the objects by name.
func (m *machine) list() (all []*object) {
	for _, name := range slices.Sorted(maps.Keys(m.objects)) {
		all = append(all, m.objects[name])
	}
	return all
}
