package model_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"pgregory.net/rapid"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

type ctxType = context.Context

// copyObject gives an object another name, mode or key, without its data.
func (m *machine) copyObject(t *rapid.T) {
	o := m.draw(t)
	if o == nil {
		return
	}
	to := drawTarget(t)
	wanted := m.wantOpen(o.by, damage{})
	if wanted == nil {
		wanted = m.wantGenerate(to)
	}
	env, err := m.enc.Rewrap(ctx, o.id, o.parsed(t), o.read(), to.id, to.req)
	if check(t, "copy", err, wanted) {
		m.stored(t, to, object{plain: o.plain, stored: o.stored, envelope: text(t, env), attribute: o.attribute})
	}
}

// rewrapAll brings all objects to the newest versions of their keys in the first place. What cannot be moved stays as it is, and is counted.
func (m *machine) rewrapAll(t *rapid.T) {
	all := m.list()
	next := 0
	written := make(map[string]bool)
	report, err := m.enc.RewrapAll(ctx, func() (encryption.Item, bool) {
		if next == len(all) {
			return encryption.Item{}, false
		}
		next++
		o := all[next-1]
		return encryption.Item{ID: o.id, Envelope: o.parsed(t), Cursor: o.id.Key}, true
	}, encryption.RewrapAllOptions{Store: func(_ ctxType, item encryption.Item, env *encryption.Envelope) error {
		written[item.ID.Key] = true
		m.objects[item.ID.Key].envelope = text(t, env)
		return nil
	}})
	check(t, "rewrap all", err, nil)
	m.compareRewrapped(t, all, report, written)
}

func (m *machine) compareRewrapped(t *rapid.T, all []*object, report encryption.Report, written map[string]bool) {
	wanted := make(map[string][]error) // why those fail that do: for any of these
	current := 0
	for _, o := range all {
		key := m.places[0].keys[o.by.id]
		switch err := m.wantOpen(o.by, damage{}); {
		case o.mode == encryption.SSEC:
		case err != nil || key.mayUse() != nil:
			wanted[o.id.Key] = []error{err, key.mayUse()}
		case o.by == key.newest(o.by.id):
			current++
		default:
			if !written[o.id.Key] {
				t.Fatalf("%s was not rewrapped: %v", o.id.Key, report.Errors)
			}
			delete(written, o.id.Key)
			o.by = key.newest(o.by.id)
		}
	}
	if len(written) > 0 || report.Current != current || report.Failed != len(wanted) || len(report.Errors) != len(wanted) {
		t.Fatalf("rewrapped %v too, %d are current and %d failed (%v), want %d and %d (%v)",
			written, report.Current, report.Failed, report.Errors, current, len(wanted), wanted)
	}
	for _, failed := range report.Errors {
		is := func(target error) bool { return target != nil && errors.Is(failed.Err, target) }
		if !slices.ContainsFunc(wanted[failed.ID.Key], is) {
			t.Fatalf("rewrapping %s: got the error %v, want %v", failed.ID.Key, failed.Err, wanted[failed.ID.Key])
		}
	}
}

const uploadID = "upload-1"

// upload writes an object in parts, maybe with a rotation on the way.
func (m *machine) upload(t *rapid.T) {
	to := drawTarget(t)
	begun, err := m.enc.CreateUpload(ctx, to.id, uploadID, to.req)
	if !check(t, "create an upload", err, m.wantGenerate(to)) {
		return
	}
	state, err := begun.State().MarshalText()
	check(t, "marshal a state", err, nil)
	check(t, "close an upload", begun.Close(), nil)
	o := object{}
	m.stored(t, to, o) // for the key version of now
	written := m.objects[to.id.Key]
	delete(m.objects, to.id.Key)
	if to.key != "" && rapid.Bool().Draw(t, "rotate meanwhile") {
		_, err := m.enc.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: to.key})
		check(t, "rotate", err, nil)
		key := m.places[0].keys[to.key]
		key.versions = append(key.versions, m.nextSerial())
	}
	m.complete(t, written, state)
	m.objects[to.id.Key] = written
}

// complete uploads the parts of an object and completes it, each time with the upload opened anew.
func (m *machine) complete(t *rapid.T, o *object, stateText []byte) {
	var state encryption.UploadState
	check(t, "parse a state", state.UnmarshalText(stateText), nil)
	parts := rapid.IntRange(1, 3).Draw(t, "parts")
	var receipts []encryption.PartReceipt
	for number := 1; number <= parts; number++ {
		upload, err := m.enc.OpenUpload(ctx, o.id, uploadID, &state, o.read())
		check(t, "open an upload", err, nil)
		plain := drawBody(t)
		part, err := upload.EncryptPart(number, bytes.NewReader(plain))
		check(t, "encrypt a part", err, nil)
		stored, err := io.ReadAll(part)
		check(t, "encrypt a part", err, nil)
		receipt, err := part.Receipt()
		check(t, "receipt", err, nil)
		check(t, "close", errors.Join(part.Close(), upload.Close()), nil)
		receipts = append(receipts, receipt)
		o.plain, o.stored = append(o.plain, plain...), append(o.stored, stored...)
	}
	upload, err := m.enc.OpenUpload(ctx, o.id, uploadID, &state, o.read())
	check(t, "open an upload", err, nil)
	defer upload.Close()
	if parts > 1 {
		swapped := []encryption.PartReceipt{receipts[1], receipts[0]}
		_, err := upload.Complete(ctx, o.id, swapped)
		if err == nil {
			t.Fatal("parts in another order were taken")
		}
	}
	env, err := upload.Complete(ctx, o.id, receipts)
	check(t, fmt.Sprintf("complete %d parts", parts), err, nil)
	o.envelope = text(t, env)
	m.mustBeOfFirstPlace(t, o)
}
