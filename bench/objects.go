package main

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// objects measures whole PUTs and GETs of 1 KiB: Service, Manager, local backend, and the text form of the envelope.
func (b *bench) objects() error {
	ctx := context.Background()
	backend, remove, err := openLocal(ctx)
	if err != nil {
		return err
	}
	defer remove()
	t := table{
		title:  "Objects of 1 KiB through a Service over a local backend, with the envelope, one core",
		header: []string{"", "CPU time", "allocations", "bytes"},
	}
	var trials []trial
	for _, shared := range []bool{false, true} {
		manager := kms.NewManager(backend, kms.Options{DefaultKeyID: keyID})
		defer manager.Close()
		name, opts := ", own data key", encryption.Options{}
		if shared {
			name, opts.BucketKeys = ", bucket key", encryption.BucketKeyOptions{TTL: time.Hour, MaxObjects: 1 << 30}
		}
		svc := encryption.NewService(manager, opts)
		defer svc.ClearBucketKeys()
		o := &object{ctx: ctx, svc: svc, plain: b.plain[:1<<10], shared: shared}
		if err := o.put(); err != nil {
			return err
		}
		trials = append(trials, trial{name: "PUT" + name, cores: 1, do: o.put}, trial{name: "GET" + name, cores: 1, do: o.get})
	}
	figures, err := b.rig.run(trials)
	if err != nil {
		return err
	}
	for _, trial := range trials {
		f := figures[trial.name]
		t.rows = append(t.rows, []string{trial.name, micros(f.cpu), count(f.allocs), count(f.bytes)})
	}
	b.print(t)
	return nil
}

// An object is put again and again, and what was put last is read.
type object struct {
	ctx      context.Context
	svc      *encryption.Service
	plain    []byte
	shared   bool
	body     bytes.Buffer
	metadata map[string]string
}

func (o *object) id() encryption.ObjectID {
	return encryption.ObjectID{Bucket: "photos", Key: "2026/summer.jpg"}
}

func (o *object) put() error {
	req := &encryption.Request{Mode: encryption.SSES3, BucketKey: o.shared, PlainSize: int64(len(o.plain))}
	object, err := o.svc.EncryptStream(o.ctx, o.id(), req, &source{o.plain})
	if err != nil {
		return err
	}
	defer object.Close()
	o.body.Reset()
	if _, err := object.WriteTo(&o.body); err != nil {
		return err
	}
	env, err := object.Envelope()
	if err == nil {
		o.metadata = env.Map()
	}
	return err
}

func (o *object) get() error {
	env, err := encryption.ParseEnvelope(o.metadata)
	if err != nil {
		return err
	}
	r, err := o.svc.DecryptStream(o.ctx, o.id(), env, nil, &source{o.body.Bytes()})
	if err != nil {
		return err
	}
	defer r.Close()
	out := &sink{}
	if _, err := r.(io.WriterTo).WriteTo(out); err != nil {
		return err
	}
	return expectBytes(int64(len(o.plain)), out.n)
}
