package keyring

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/objectkms/kms"
)

// What a bundle seals: the length of the manifest in 4 bytes, the manifest, which holds no secret, and the material of all
// versions of all keys in their order, 32 bytes each.
const (
	manifestLengthSize = 4
	materialSize       = 32
)

// A manifest says which keys a bundle has.
type manifest struct {
	Created time.Time `json:"created"`
	// Clock says that the generations are those of a ClockStore.
	Clock bool          `json:"clock"`
	Keys  []manifestKey `json:"keys"`
}

// A manifestKey is a record, as far as it does not depend on where it is stored.
type manifestKey struct {
	ID          string            `json:"id"`
	State       kms.KeyState      `json:"state"`
	Description string            `json:"description,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Created     time.Time         `json:"created"`
	Deletion    time.Time         `json:"deletion,omitzero"`
	Origin      kms.Origin        `json:"origin"`
	Versions    []time.Time       `json:"versions"` // when each was made
	Generation  uint64            `json:"generation"`
}

// A bundledKey is one key of a bundle, with the material of each version.
type bundledKey struct {
	manifestKey
	materials [][]byte // parts of the content
}

func newManifestKey(rec *record) manifestKey {
	k := manifestKey{
		ID: rec.ID, State: rec.State, Description: rec.Description, Tags: rec.Tags, Created: rec.Created, Deletion: rec.Deletion,
		Origin: rec.Origin, Generation: rec.Generation,
	}
	for _, v := range rec.Versions {
		k.Versions = append(k.Versions, v.Created)
	}
	return k
}

// record returns the key as a record without material.
func (k *manifestKey) record() *record {
	rec := &record{
		Format: recordFormat, ID: k.ID, State: k.State, Description: k.Description, Tags: k.Tags, Created: k.Created, Deletion: k.Deletion,
		Origin: k.Origin, Generation: k.Generation,
	}
	for i, created := range k.Versions {
		rec.Versions = append(rec.Versions, version{Version: uint32(i) + 1, Created: created})
	}
	return rec
}

// newContent returns the beginning of a content, with room for the materials, so that no copy of them is left behind when it grows.
func newContent(m *manifest) ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	versions := 0
	for _, key := range m.Keys {
		versions += len(key.Versions)
	}
	content := make([]byte, 0, manifestLengthSize+len(text)+versions*materialSize)
	content = binary.BigEndian.AppendUint32(content, uint32(len(text)))
	return append(content, text...), nil
}

// parseContent reads a content. The materials stay parts of it.
func parseContent(content []byte) (*manifest, []bundledKey, error) {
	if len(content) < manifestLengthSize {
		return nil, nil, errors.New("has no manifest")
	}
	size, rest := binary.BigEndian.Uint32(content), content[manifestLengthSize:]
	if uint64(size) > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("has a manifest of %d bytes, only %d are left", size, len(rest))
	}
	m, err := parseManifest(rest[:size])
	if err != nil {
		return nil, nil, fmt.Errorf("has a malformed manifest: %w", err)
	}
	keys, err := m.distribute(rest[size:])
	return m, keys, err
}

func parseManifest(text []byte) (*manifest, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	m := new(manifest)
	if err := d.Decode(m); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more follows")
	}
	if !isRecordTime(m.Created) {
		return nil, errors.New("it was not made at a whole second of UTC")
	}
	last := ""
	for _, key := range m.Keys {
		if key.ID <= last {
			return nil, fmt.Errorf("key %q follows %q", key.ID, last)
		}
		last = key.ID
	}
	return m, nil
}

// UnmarshalJSON reads a key, and checks it at once: a manifest of nothing but the shortest keys would take a hundred times its size in memory.
func (k *manifestKey) UnmarshalJSON(text []byte) error {
	if len(text) > MaxRecordSize {
		return fmt.Errorf("a key has %d bytes, want at most %d", len(text), MaxRecordSize)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	type fields manifestKey // without this method
	if err := d.Decode((*fields)(k)); err != nil {
		return err
	}
	if err := k.check(); err != nil {
		return fmt.Errorf("key %q: %w", k.ID, err)
	}
	return nil
}

// distribute gives each version its material.
func (m *manifest) distribute(materials []byte) ([]bundledKey, error) {
	keys := make([]bundledKey, len(m.Keys))
	for i, key := range m.Keys {
		keys[i].manifestKey = key
		for number := range key.Versions {
			if len(materials) < materialSize {
				return nil, fmt.Errorf("has no material for version %d of %s", number+1, key.ID)
			}
			material := materials[:materialSize:materialSize]
			if allZero(material) {
				return nil, fmt.Errorf("has nothing but zero for version %d of %s", number+1, key.ID)
			}
			keys[i].materials = append(keys[i].materials, material)
			materials = materials[materialSize:]
		}
	}
	if len(materials) > 0 {
		return nil, fmt.Errorf("has %d bytes behind its materials", len(materials))
	}
	return keys, nil
}

// check holds a key of a manifest to the rules of records.
func (k *manifestKey) check() error {
	// The errors of these are not wrapped: what is wrong with a bundle is not wrong with a request.
	if err := kms.ValidateKeyID(k.ID); err != nil {
		return errors.New("the id is malformed")
	}
	if err := (&kms.CreateKeyRequest{Description: k.Description, Tags: k.Tags}).Validate(); err != nil {
		return errors.New("the description or the tags are malformed")
	}
	rec := k.record()
	if err := rec.checkFields(); err != nil {
		return err
	}
	times := append([]time.Time{k.Created}, k.Versions...)
	if !k.Deletion.IsZero() {
		times = append(times, k.Deletion)
	}
	for _, t := range times {
		if !isRecordTime(t) {
			return fmt.Errorf("the time %q is no whole second of UTC", t)
		}
	}
	return nil
}

// isRecordTime reports whether records hold such times.
func isRecordTime(t time.Time) bool {
	return t.Location() == time.UTC && t.Nanosecond() == 0
}
