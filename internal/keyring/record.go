package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/encctx"
)

// MaxRecordSize is the largest size of a stored record in bytes. A Store may refuse larger ones unread.
const MaxRecordSize = 1 << 20

const (
	recordFormat = 1
	sealedSize   = minMessageSize + 32 // of a version's material
	// maxVersions keeps a record below MaxRecordSize, whatever its description and tags: a version
	// takes about 203 bytes, and the rest, every byte of it escaped, less than 170,000.
	maxVersions = 4000

	recordPrefix = `{"record":`
	sealPrefix   = `,"seal":"`
	sealSize     = minMessageSize / 3 * 4 // in base64
	sealSuffix   = "\"}\n"
)

// A record is one master key as it is stored. A record that was decoded for the cache is never changed.
type record struct {
	Format      int               `json:"format"`
	ID          string            `json:"id"`
	State       kms.KeyState      `json:"state"`
	Description string            `json:"description,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Created     time.Time         `json:"created"`
	Deletion    time.Time         `json:"deletion,omitzero"`
	Origin      kms.Origin        `json:"origin"`
	Versions    []version         `json:"versions"`
	Root        uint32            `json:"root"`
	Generation  uint64            `json:"generation"`
}

type version struct {
	Version uint32    `json:"version"`
	Created time.Time `json:"created"`
	Sealed  []byte    `json:"sealed"`
}

// key describes the record for a caller, who may change what he gets.
func (rec *record) key() kms.Key {
	newest := rec.newest()
	key := kms.Key{
		ID:           rec.ID,
		Description:  rec.Description,
		State:        rec.State,
		Usage:        kms.EncryptDecrypt,
		Origin:       rec.Origin,
		Version:      newest.Version,
		Tags:         maps.Clone(rec.Tags),
		CreatedAt:    rec.Created,
		DeletionDate: rec.Deletion,
	}
	if newest.Version > 1 {
		key.RotatedAt = newest.Created
	}
	return key
}

func (rec *record) newest() *version { return &rec.Versions[len(rec.Versions)-1] }

// version returns the version of that number, or nil.
func (rec *record) version(number uint32) *version {
	// Version 0 wraps around, and is out of range too.
	if i := number - 1; uint64(i) < uint64(len(rec.Versions)) {
		return &rec.Versions[i]
	}
	return nil
}

// latest returns the latest of t and of the times in the record at which something was made.
func (rec *record) latest(t time.Time) time.Time {
	times := []time.Time{t, rec.Created}
	for _, v := range rec.Versions {
		times = append(times, v.Created)
	}
	return slices.MaxFunc(times, time.Time.Compare)
}

func (rec *record) standing() Standing { return Standing{State: rec.State, Deletion: rec.Deletion} }

// encode returns the record as it is stored, with its seal.
func (r *Ring) encode(rec *record) ([]byte, error) { return rec.encode(r.keys.seal) }

// encode returns the record as it is stored, sealed under whatever root key seal uses.
func (rec *record) encode(seal func(context, msg []byte) ([]byte, error)) ([]byte, error) {
	text, err := json.Marshal(rec)
	if err != nil {
		return nil, err
	}
	sealed, err := seal(encctx.Bind(nil, "record", text), nil)
	if err != nil {
		return nil, err
	}
	raw := slices.Concat([]byte(recordPrefix), text, []byte(sealPrefix))
	raw = base64.StdEncoding.AppendEncode(raw, sealed)
	return append(raw, sealSuffix...), nil
}

// decode opens the seal of a stored record and returns what it says. Errors wrap ErrKeyMaterial.
func (r *Ring) decode(id string, raw []byte) (*record, error) {
	text, seal, err := cutRecord(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: record of %s: it %w", kms.ErrKeyMaterial, id, err)
	}
	if _, err := r.keys.unseal(encctx.Bind(nil, "record", text), seal); err != nil {
		return nil, fmt.Errorf("record of %s: %w", id, err)
	}
	rec, err := parseRecord(text)
	if err == nil {
		err = rec.check(id, r.rootVersion)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: record of %s: %w", kms.ErrKeyMaterial, id, err)
	}
	return rec, nil
}

// cutRecord splits a stored record at its fixed places.
func cutRecord(raw []byte) (text, seal []byte, err error) {
	const tail = len(sealPrefix) + sealSize + len(sealSuffix)
	if len(raw) > MaxRecordSize {
		return nil, nil, fmt.Errorf("has %d bytes, want at most %d", len(raw), MaxRecordSize)
	}
	text, ok := bytes.CutPrefix(raw, []byte(recordPrefix))
	if !ok || len(text) < tail {
		return nil, nil, errors.New("has no sealed form")
	}
	text, end := text[:len(text)-tail], text[len(text)-tail:]
	end, ok = bytes.CutPrefix(end, []byte(sealPrefix))
	code, ok2 := bytes.CutSuffix(end, []byte(sealSuffix))
	if !ok || !ok2 {
		return nil, nil, errors.New("has no seal in its place")
	}
	seal, err = base64.StdEncoding.AppendDecode(nil, code)
	if err != nil || base64.StdEncoding.EncodeToString(seal) != string(code) {
		return nil, nil, errors.New("has a seal that is not base64")
	}
	return text, seal, nil
}

func parseRecord(text []byte) (*record, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	rec := new(record)
	if err := d.Decode(rec); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more follows the record")
	}
	return rec, nil
}

// check compares a record that is authentic with what this code understands.
func (rec *record) check(id string, root uint32) error {
	switch {
	case rec.Format != recordFormat:
		return fmt.Errorf("format is %d, want %d", rec.Format, recordFormat)
	case rec.ID != id:
		return fmt.Errorf("it is the record of %q", rec.ID)
	case rec.Root != root:
		return fmt.Errorf("root version is %d, want %d", rec.Root, root)
	}
	if err := rec.checkFields(); err != nil {
		return err
	}
	for i, v := range rec.Versions {
		if v.Version != uint32(i)+1 || len(v.Sealed) != sealedSize {
			return fmt.Errorf("version %d has the number %d and %d bytes, want %d bytes", i+1, v.Version, len(v.Sealed), sealedSize)
		}
	}
	return nil
}

// checkFields checks what a record says of its key.
func (rec *record) checkFields() error {
	if err := rec.standing().Check(); err != nil {
		return err
	}
	switch {
	case rec.Origin != kms.OriginKMS && rec.Origin != kms.OriginExternal:
		return fmt.Errorf("origin is %q", rec.Origin)
	case rec.Generation == 0:
		return errors.New("generation is 0")
	case len(rec.Versions) == 0 || len(rec.Versions) > maxVersions:
		return fmt.Errorf("%d versions, want 1 to %d", len(rec.Versions), maxVersions)
	}
	return nil
}
