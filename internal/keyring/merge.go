package keyring

import (
	"crypto/subtle"
	"fmt"
	"maps"
	"slices"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/encctx"
)

// A merger decides what becomes of the keys of a bundle.
type merger struct {
	r       *Ring
	opts    kms.ImportOptions
	ordered bool // the generations of the bundle and of the store can be compared
}

// A verdict is what becomes of one key.
type verdict struct {
	outcome kms.ImportOutcome
	detail  string
	rec     *record // to be stored, but for its generation; nil: nothing
	above   uint64  // what that generation must be greater than
}

func kept(outcome kms.ImportOutcome, format string, args ...any) verdict {
	return verdict{outcome: outcome, detail: fmt.Sprintf(format, args...)}
}

// decide compares a key with the stored record, nil where there is none. damage is why the record cannot be read.
func (m merger) decide(key *bundledKey, present *record, damage error) (verdict, error) {
	switch {
	case damage != nil && !m.opts.ReplaceDamaged:
		return kept(kms.ImportConflict, "the present record is damaged"), nil
	case damage != nil:
		return m.add(kms.ImportMended, key)
	case present == nil:
		return m.add(kms.ImportAdded, key)
	}
	return m.merge(key, present)
}

// add returns the whole key, sealed for this store.
func (m merger) add(outcome kms.ImportOutcome, key *bundledKey) (verdict, error) {
	rec := key.record()
	rec.Root = m.r.rootVersion
	rec.Versions = nil
	err := m.appendVersions(rec, key)
	return verdict{outcome: outcome, detail: fmt.Sprintf("%d versions", len(rec.Versions)), rec: rec}, err
}

// appendVersions gives a record the versions of the key that it lacks.
func (m merger) appendVersions(rec *record, key *bundledKey) error {
	for i := len(rec.Versions); i < len(key.Versions); i++ {
		number := uint32(i) + 1
		sealed, err := m.r.keys.seal(encctx.Bind(nil, "master-key", []byte(rec.ID), encctx.Uint32(number)), key.materials[i])
		if err != nil {
			return err
		}
		rec.Versions = append(rec.Versions, version{Version: number, Created: key.Versions[i], Sealed: sealed})
	}
	return nil
}

// merge takes from the key what the present record lacks, or what is known to be later. Nothing of a key that the record already
// has more versions of is later.
func (m merger) merge(key *bundledKey, present *record) (verdict, error) {
	same, err := m.sameMaterial(key, present)
	if err != nil {
		return verdict{}, err
	}
	if !same {
		return kept(kms.ImportConflict, "the present key has other material"), nil
	}
	have, brought := len(present.Versions), len(key.Versions)
	later := m.ordered && key.Generation > present.Generation
	equal := sameFields(key.record(), present)
	switch {
	case brought < have:
		return kept(kms.ImportKept, "the present key has %d versions, that of the bundle %d", have, brought), nil
	case brought == have && equal:
		return kept(kms.ImportUnchanged, "%d versions", have), nil
	case brought == have && !later:
		return kept(kms.ImportKept, "state, description or tags differ, and those of the bundle are not known to be later"), nil
	}
	rec := *present
	rec.Versions = slices.Clone(present.Versions)
	v := verdict{outcome: kms.ImportUpdated, rec: &rec, above: present.Generation, detail: fmt.Sprintf("%d more versions", brought-have)}
	if later && !equal {
		rec.State, rec.Deletion, rec.Description, rec.Tags = key.State, key.Deletion, key.Description, key.Tags
		rec.Created, rec.Origin = key.Created, key.Origin
		v.detail += ", and the later state, description and tags"
	}
	return v, m.appendVersions(&rec, key)
}

// sameMaterial reports whether the versions that both have are the same.
func (m merger) sameMaterial(key *bundledKey, present *record) (bool, error) {
	for i := range min(len(key.Versions), len(present.Versions)) {
		material, err := m.r.material(present, &present.Versions[i])
		if err != nil {
			return false, err
		}
		same := subtle.ConstantTimeCompare(material, key.materials[i]) == 1
		clear(material)
		if !same {
			return false, nil
		}
	}
	return true, nil
}

// sameFields reports whether two records differ in nothing but their versions.
func sameFields(a, b *record) bool {
	return a.State == b.State && a.Deletion.Equal(b.Deletion) && a.Description == b.Description && maps.Equal(a.Tags, b.Tags) &&
		a.Created.Equal(b.Created) && a.Origin == b.Origin
}
