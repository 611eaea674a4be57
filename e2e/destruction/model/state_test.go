package model_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// A modelKey is what the model knows of one key. Every version of every key has a serial of its own, by which a key is told from an earlier one of its
// id, and a copy of it from another key.
type modelKey struct {
	state    kms.KeyState
	deletion time.Time
	origin   kms.Origin
	versions []int
}

func (k *modelKey) clone() *modelKey {
	copied := *k
	copied.versions = slices.Clone(k.versions)
	return &copied
}

func (k *modelKey) expired() bool {
	return k.state == kms.KeyPendingDeletion && !k.deletion.After(time.Now())
}

// mayUse returns the error of an operation that needs an Enabled key.
func (k *modelKey) mayUse() error {
	switch {
	case k == nil:
		return kms.ErrKeyNotFound
	case k.state == kms.KeyDisabled:
		return kms.ErrKeyDisabled
	case k.state == kms.KeyPendingDeletion:
		return kms.ErrKeyPendingDeletion
	}
	return nil
}

// mayChange returns the error of an operation that a disabled key allows.
func (k *modelKey) mayChange() error {
	if err := k.mayUse(); !errors.Is(err, kms.ErrKeyDisabled) {
		return err
	}
	return nil
}

// A wrapping is the key version that wraps the data key of an object. The zero value is that of a customer's own key.
type wrapping struct {
	id     string
	number int // of the version, from 1
	serial int
}

// newest returns what a key wraps with.
func (k *modelKey) newest(id string) wrapping {
	return wrapping{id, len(k.versions), k.versions[len(k.versions)-1]}
}

// opens reports whether a key has the version that wrapped something.
func (k *modelKey) opens(w wrapping) bool {
	return w.number <= len(k.versions) && k.versions[w.number-1] == w.serial
}

// A place is where keys are kept: a backend, and what the model knows of it.
type place struct {
	name   string
	config kms.BackendConfig
	keys   map[string]*modelKey
	other  kms.Backend // as another process has it open
}

func (p *place) snapshot() map[string]*modelKey {
	keys := make(map[string]*modelKey)
	for id, key := range p.keys {
		keys[id] = key.clone()
	}
	return keys
}

// A damage is a record that cannot be read.
type damage struct {
	place *place
	id    string
}

// wantOpen returns the error of opening what was wrapped: the first place that has the key decides, and where none has it, what the first one said.
func (m *machine) wantOpen(w wrapping, damaged damage) (first error) {
	if w == (wrapping{}) {
		return nil
	}
	for _, p := range m.places {
		key := p.keys[w.id]
		var err error
		switch {
		case damaged == damage{p, w.id}:
			return kms.ErrKeyMaterial
		case key == nil:
			err = kms.ErrKeyNotFound
		case key.expired():
			return kms.ErrKeyPendingDeletion
		case key.opens(w):
			return key.mayUse()
		default:
			err = kms.ErrDecrypt
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// An object is what a server stores of one, and what the model knows of it.
type object struct {
	id        encryption.ObjectID
	plain     []byte
	mode      encryption.Mode
	context   kms.EncryptionContext
	customer  byte // of which the customer's key is made
	by        wrapping
	stored    []byte
	envelope  string
	attribute []byte // sealed; nil: none
}

// outcomes counts what operations ended with.
var outcomes = make(map[string]int)

// check fails unless an operation ended as it should, and reports whether that is well.
func check(t *rapid.T, what string, err, wanted error) bool {
	t.Helper()
	outcomes[fmt.Sprint(what, ": ", wanted)]++
	if !errors.Is(err, wanted) {
		t.Fatalf("%s: got the error %v, want %v", what, err, wanted)
	}
	return wanted == nil
}

// draw draws one of the objects, or nil where there is none.
func (m *machine) draw(t *rapid.T) *object {
	if len(m.objects) == 0 {
		return nil
	}
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(m.objects))).Draw(t, "object")
	return m.objects[name]
}
