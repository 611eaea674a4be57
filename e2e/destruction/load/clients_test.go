package load_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// clientActions are what clients do, each on an object of chance.
var clientActions = []struct {
	name string
	do   func(s *server, ctx context.Context, i int) error
}{
	{"put", func(s *server, ctx context.Context, i int) error { return s.put(ctx, rand.N(len(s.names)), i) }},
	{"put", func(s *server, ctx context.Context, i int) error { return s.put(ctx, rand.N(len(s.names)), i) }},
	{"upload", (*server).upload},
	{"get", (*server).get},
	{"get", (*server).get},
	{"range", (*server).getRange},
	{"range", (*server).getRange},
	{"readAt", (*server).readAt},
	{"copy", (*server).rewrap},
	{"abandon", (*server).abandon},
}

// act does one thing. Errors are those that must not be.
func (s *server) act(ctx context.Context) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	a := clientActions[rand.N(len(clientActions))]
	err := a.do(s, ctx, rand.N(len(s.slots)))
	switch {
	case err == nil:
		s.count(a.name)
	case errors.Is(err, kms.ErrKeyDisabled) || errors.Is(err, kms.ErrNotRunning):
		s.count("refused")
	default:
		return fmt.Errorf("%s: %w", a.name, err)
	}
	return nil
}

// piece returns a part of content of a size of chance: mostly small, now and then several chunks, seldom what takes several cores.
func piece() []byte {
	sizes := []int{0, 1, 16383, 16384, 16385, rand.N(1000), rand.N(100_000), rand.N(100_000), 50_000, 200_001}
	size := sizes[rand.N(len(sizes))]
	if rand.N(100) == 0 {
		size = 3<<20 + rand.N(1000)
	}
	off := rand.N(len(content) - size)
	return content[off : off+size]
}

// newRequest returns how an object is to be written, and the client's key where it has one.
func (n *keyName) newRequest() (req *encryption.Request, customer []byte) {
	switch rand.N(4) {
	case 0:
		return &encryption.Request{Mode: encryption.SSES3, KeyID: n.id(), BucketKey: true, MD5: true}, nil
	case 1:
		customer = bytes.Clone(content[rand.N(1000):][:32])
		return &encryption.Request{Mode: encryption.SSEC, CustomerKey: kms.NewSecret(bytes.Clone(customer))}, customer
	case 2:
		return &encryption.Request{Mode: encryption.SSEKMS, KeyID: n.id(), BucketKey: true, Context: kms.EncryptionContext{"user": "u1"}}, nil
	}
	return &encryption.Request{Mode: encryption.SSEKMS, KeyID: n.id()}, nil
}

// readRequest returns what a read of the object needs.
func (o *object) readRequest() *encryption.Request {
	if o.customer == nil {
		return nil
	}
	return &encryption.Request{Mode: encryption.SSEC, CustomerKey: kms.NewSecret(bytes.Clone(o.customer))}
}

func (s *server) put(ctx context.Context, name, i int) error {
	n := &s.names[name]
	n.mu.RLock()
	defer n.mu.RUnlock()
	obj := &object{id: encryption.ObjectID{Bucket: "bucket", Key: strconv.Itoa(i)}, plain: piece()}
	req, customer := n.newRequest()
	obj.customer = customer
	if rand.N(2) == 0 {
		req.PlainSize = int64(len(obj.plain))
	}
	enc, err := s.svc.EncryptStream(ctx, obj.id, req, bytes.NewReader(obj.plain))
	if err != nil {
		return err
	}
	defer enc.Close()
	var body bytes.Buffer
	if _, err := enc.WriteTo(&body); err != nil {
		return err
	}
	if obj.env, err = enc.Envelope(); err != nil {
		return err
	}
	obj.body = bytes.Clone(body.Bytes())
	s.store(i, obj)
	return nil
}

// upload writes an object in parts, and opens the upload anew for each.
func (s *server) upload(ctx context.Context, i int) error {
	n := &s.names[rand.N(len(s.names))]
	n.mu.RLock()
	defer n.mu.RUnlock()
	obj := &object{id: encryption.ObjectID{Bucket: "bucket", Key: strconv.Itoa(i)}, plain: piece()}
	req, customer := n.newRequest()
	obj.customer = customer
	const uploadID = "upload"
	created, err := s.svc.CreateUpload(ctx, obj.id, uploadID, req)
	if err != nil {
		return err
	}
	created.Close()
	var receipts []encryption.PartReceipt
	size := len(obj.plain)/3 + 1
	for rest := obj.plain; ; rest = rest[size:] {
		receipt, body, err := s.part(ctx, obj, uploadID, created.State(), len(receipts)+1, rest[:min(size, len(rest))])
		if err != nil {
			return err
		}
		receipts, obj.body = append(receipts, receipt), append(obj.body, body...)
		if len(rest) <= size {
			break
		}
	}
	opened, err := s.svc.OpenUpload(ctx, obj.id, uploadID, created.State(), obj.readRequest())
	if err != nil {
		return err
	}
	defer opened.Close()
	if obj.env, err = opened.Complete(ctx, obj.id, receipts); err != nil {
		return err
	}
	s.store(i, obj)
	return nil
}

func (s *server) part(ctx context.Context, obj *object, uploadID string, state *encryption.UploadState, number int, plain []byte) (receipt encryption.PartReceipt, body []byte, err error) {
	opened, err := s.svc.OpenUpload(ctx, obj.id, uploadID, state, obj.readRequest())
	if err != nil {
		return receipt, nil, err
	}
	defer opened.Close()
	part, err := opened.EncryptPart(number, bytes.NewReader(plain))
	if err != nil {
		return receipt, nil, err
	}
	defer part.Close()
	if body, err = io.ReadAll(part); err != nil {
		return receipt, nil, err
	}
	receipt, err = part.Receipt()
	return receipt, body, err
}

// read reads the object in a slot. Where its key is gone it must have been replaced meanwhile.
func (s *server) read(i int, do func(obj *object) error) error {
	obj := s.load(i)
	err := do(obj)
	if errors.Is(err, kms.ErrKeyNotFound) && s.load(i) != obj {
		return nil
	}
	return err
}

func (s *server) get(ctx context.Context, i int) error {
	return s.read(i, func(obj *object) error {
		r, err := s.svc.DecryptStream(ctx, obj.id, obj.env, obj.readRequest(), bytes.NewReader(obj.body))
		if err != nil {
			return err
		}
		defer r.Close()
		var plain bytes.Buffer
		if _, err := io.Copy(&plain, r); err != nil {
			return err
		}
		return same(plain.Bytes(), obj.plain)
	})
}

func (s *server) getRange(ctx context.Context, i int) error {
	return s.read(i, func(obj *object) error {
		opened, err := s.svc.OpenObject(ctx, obj.id, obj.env, obj.readRequest(), int64(len(obj.body)))
		if err != nil {
			return err
		}
		defer opened.Close()
		off := rand.N(len(obj.plain) + 1)
		n := rand.N(len(obj.plain) - off + 1)
		r, err := opened.Range(ctx, int64(off), int64(n), obj.fetch)
		if err != nil {
			return err
		}
		defer r.Close()
		plain, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return same(plain, obj.plain[off:off+n])
	})
}

func (o *object) fetch(_ context.Context, off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(o.body[off : off+n])), nil
}

func (s *server) readAt(ctx context.Context, i int) error {
	return s.read(i, func(obj *object) error {
		opened, err := s.svc.OpenObject(ctx, obj.id, obj.env, obj.readRequest(), int64(len(obj.body)))
		if err != nil {
			return err
		}
		defer opened.Close()
		r, err := opened.NewReaderAt(bytes.NewReader(obj.body))
		if err != nil {
			return err
		}
		off := rand.N(len(obj.plain) + 1)
		plain := make([]byte, min(len(obj.plain)-off, 1000))
		if _, err := r.ReadAt(plain, int64(off)); err != nil && err != io.EOF {
			return err
		}
		return same(plain, obj.plain[off:off+len(plain)])
	})
}

// rewrap makes a new envelope for the object, under a key of chance.
func (s *server) rewrap(ctx context.Context, i int) error {
	n := &s.names[rand.N(len(s.names))]
	n.mu.RLock()
	defer n.mu.RUnlock()
	return s.read(i, func(obj *object) error {
		req, customer := n.newRequest()
		req.MD5 = false
		env, err := s.svc.Rewrap(ctx, obj.id, obj.env, obj.readRequest(), obj.id, req)
		if err != nil {
			return err
		}
		s.replace(i, obj, &object{obj.id, env, obj.body, obj.plain, customer})
		return nil
	})
}

// abandon is the clients that leave: before a body is read, within it, or before the call.
func (s *server) abandon(ctx context.Context, i int) error {
	return s.read(i, func(obj *object) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if rand.N(3) == 0 {
			cancel()
		}
		r, err := s.svc.DecryptStream(ctx, obj.id, obj.env, obj.readRequest(), bytes.NewReader(obj.body))
		if err != nil {
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
		defer r.Close()
		_, err = io.CopyN(io.Discard, r, rand.Int64N(int64(len(obj.plain))+1))
		return err
	})
}

// same compares what was read with what was written.
func same(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%d bytes were read that are not the %d written", len(got), len(want))
	}
	return nil
}
