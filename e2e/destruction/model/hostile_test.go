package model_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"pgregory.net/rapid"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/mock"
)

// tamper reads an object of which something is not as it was written.
func (m *machine) tamper(t *rapid.T) {
	o := m.draw(t)
	if o == nil {
		return
	}
	wanted := m.wantOpen(o.by, damage{})
	if wanted == nil {
		wanted = kms.ErrDecrypt
	}
	env, req, stored, named := o.parsed(t), o.read(), bytes.Clone(o.stored), *o
	at := rapid.IntRange(0, len(stored)-1).Draw(t, "at")
	switch rapid.SampledFrom([]string{"flip", "cut", "extend", "another name", "another customer"}).Draw(t, "what") {
	case "flip":
		stored[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
	case "cut":
		stored = stored[:at]
	case "extend":
		stored = append(stored, 0)
	case "another name":
		named.id.Key += "x"
	case "another customer":
		if o.mode != encryption.SSEC {
			return
		}
		req.CustomerKey = customerKey(o.customer + 1)
	}
	_, err := m.readAll(&named, env, req, stored)
	if named.id != o.id && o.mode != encryption.SSEC && !o.parsed(t).BucketKey() {
		// The name is in the context of the data key, which opens with no key then: nobody asks for the state of one.
		wanted = m.wantOpen(wrapping{id: o.by.id, number: 1, serial: -1}, damage{})
	}
	check(t, "get what was tampered with", err, wanted)
}

// tamperEnvelope reads an object by an envelope that is not its own.
func (m *machine) tamperEnvelope(t *rapid.T) {
	o := m.draw(t)
	if o == nil {
		return
	}
	changed := []byte(o.envelope)
	at := rapid.IntRange(0, len(changed)-1).Draw(t, "at")
	changed[at] = rapid.SampledFrom([]byte("abcXYZ019-_")).Draw(t, "to")
	if string(changed) == o.envelope {
		return
	}
	env := new(encryption.Envelope)
	err := env.UnmarshalText(changed)
	if err != nil {
		check(t, "parse an envelope that was changed", err, kms.ErrDecrypt)
		return
	}
	_, err = m.readAll(o, env, o.read(), o.stored)
	// The mode and the key id stand in the envelope, and are looked at first: it may be of another key now, which is missing or past its date.
	for _, may := range []error{kms.ErrDecrypt, kms.ErrKeyNotFound, kms.ErrKeyPendingDeletion, kms.ErrInvalidRequest, m.wantOpen(o.by, damage{})} {
		if may != nil && errors.Is(err, may) {
			return
		}
	}
	t.Fatalf("an envelope was changed at %d, and opened: %v", at, err)
}

// damageKey makes a record unreadable, and puts it back. It is an error of this key's own meanwhile.
func (m *machine) damageKey(t *rapid.T) {
	p := m.drawDirectory(t)
	if len(p.keys) == 0 {
		return
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(p.keys))).Draw(t, "damaged")
	path := filepath.Join(p.config.(local.Config).Dir, "keys", id+".json")
	good, err := os.ReadFile(path)
	check(t, "read a record", err, nil)
	bad := bytes.Clone(good)
	bad[rapid.IntRange(0, len(bad)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
	check(t, "write a record", os.WriteFile(path, bad, 0o600), nil)
	check(t, "stop", m.service.Stop(ctx), nil)
	m.prepareService()
	err = m.service.Reconfigure(ctx, m.config())
	if len(p.keys) == 1 {
		check(t, "start without a record that is whole", err, kms.ErrKeyMaterial)
	} else {
		check(t, "start", err, nil)
		for _, o := range m.list() {
			m.mustRead(t, o, m.wantOpen(o.by, damage{p, id}))
		}
	}
	check(t, "write a record", os.WriteFile(path, good, 0o600), nil)
	check(t, "stop", m.service.Stop(ctx), nil)
	m.newService(t)
}

// moveAway takes a directory away from under the service, and puts it back. Nothing is written elsewhere meanwhile.
func (m *machine) moveAway(t *rapid.T) {
	p := m.drawDirectory(t)
	dir := p.config.(local.Config).Dir
	check(t, "move", os.Rename(dir, dir+".away"), nil)
	_, err := p.other.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: drawID(t)})
	check(t, "create in a directory that is away", err, kms.ErrUnavailable)
	if p == m.places[0] {
		check(t, "health of a directory that is away", m.service.HealthCheck(ctx), kms.ErrUnavailable)
		_, err := m.enc.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: drawID(t)})
		check(t, "rotate in a directory that is away", err, kms.ErrUnavailable)
	}
	check(t, "move back", os.Rename(dir+".away", dir), nil)
}

// fault has the backend fail, where it is the one that can: a change of a key has not happened then, and is not repeated, and what changes none is.
func (m *machine) fault(t *rapid.T) {
	p := m.places[0]
	backend, ok := p.config.(*mock.Backend)
	if !ok {
		return
	}
	id := drawID(t)
	op := rapid.SampledFrom([]string{"CreateKey", "RotateKey", "DisableKey", "GenerateDataKey", "Decrypt"}).Draw(t, "op")
	backend.FailNext(op, kms.ErrUnavailable)
	var err error
	switch op {
	case "CreateKey":
		_, err = m.enc.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: id})
	case "RotateKey":
		_, err = m.enc.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: id})
	case "DisableKey":
		_, err = m.enc.DisableKey(ctx, &kms.DisableKeyRequest{KeyID: id})
	case "GenerateDataKey":
		m.put(t)
	case "Decrypt":
		m.get(t)
	}
	if op == "GenerateDataKey" || op == "Decrypt" {
		drain(backend, op)
		return
	}
	check(t, op, err, kms.ErrUnavailable)
}

// drain takes a fault back that no call has met.
func drain(backend *mock.Backend, op string) {
	if op == "Decrypt" {
		backend.Decrypt(ctx, nil)
	} else {
		backend.GenerateDataKey(ctx, nil)
	}
}
