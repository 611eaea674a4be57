package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/objectkms/kms"
)

// Beside the entry of each key there is its history: every record that ever was the key's, each written once, under its generation. An
// operator can put a lost record back from it. Vault's own old versions are not enough for that: there are ten of them by default, and who
// deletes the entry deletes them too.

func historyName(id string, generation uint64) string {
	return historyDir(id) + "/" + strconv.FormatUint(generation, 10)
}

func historyDir(id string) string { return "history/" + id }

// keepCopy writes a record that is stored into the history, unless it is there already.
func (s *kvStore) keepCopy(ctx context.Context, id string, generation uint64, stored storedRecord) error {
	if kept, err := s.isKept(ctx, id, generation); kept || err != nil {
		return err
	}
	err := s.kv.write(ctx, historyName(id, generation), 0, stored)
	switch {
	case errors.Is(err, errConflict):
		return nil
	case errors.Is(err, kms.ErrPermission):
		// A policy lets nobody write to the history twice, which Vault says before it compares versions.
		kept, readErr := s.isKept(ctx, id, generation)
		if kept {
			return nil
		}
		return cmp.Or(readErr, err)
	}
	return err
}

// isKept reports whether there is, or was, a copy in the history.
func (s *kvStore) isKept(ctx context.Context, id string, generation uint64) (bool, error) {
	e, err := s.kv.read(ctx, historyName(id, generation))
	return e.version > 0, err
}

// history returns the generations that are in the history of a key.
func (s *kvStore) history(ctx context.Context, id string) (generations []uint64, err error) {
	names, err := s.kv.list(ctx, historyDir(id))
	for _, name := range names {
		if generation, err := strconv.ParseUint(name, 10, 64); err == nil {
			generations = append(generations, generation)
		}
	}
	return generations, err
}

// prepare does what must be done before a record is replaced, or before the first one is stored.
func (s *kvStore) prepare(ctx context.Context, id string, stored storedRecord, version uint64) error {
	switch {
	case stored.Record != "":
		return s.keepCopy(ctx, id, version, stored)
	case stored.Deleted && !stored.Destroyed:
		// The entry gets another version from this.
		if err := s.destroy(ctx, id, version); err != nil {
			return err
		}
		return errConflict
	case version == 0:
		return s.checkNew(ctx, id)
	}
	return nil
}

// checkNew refuses to make a key anew whose entry was removed in Vault together with its metadata: what it wrapped could never be opened again.
func (s *kvStore) checkNew(ctx context.Context, id string) error {
	kept, err := s.history(ctx, id)
	if err != nil || len(kept) == 0 {
		return err
	}
	// Another process may have made the key since its record was looked for.
	if now, err := s.kv.read(ctx, keyName(id)); err != nil || now.version > 0 {
		return cmp.Or(err, errConflict)
	}
	return fmt.Errorf("%w: the record of %s is gone from Vault, and its history is still there", kms.ErrKeyMaterial, id)
}

// maxFormer is how many former versions of an entry are destroyed at most: a version for each change that a key ever had.
const maxFormer = 1 << 20

// destroy destroys in Vault all that is left of a key whose entry says, in the version given, that it was deleted.
func (s *kvStore) destroy(ctx context.Context, id string, version uint64) error {
	if version > maxFormer {
		return errAnswer("has version %d of the record of %s, want at most %d", version, id, maxFormer)
	}
	kept, err := s.history(ctx, id)
	if err != nil {
		return err
	}
	err = inParallel(len(kept), func(i int) error {
		return s.kv.destroy(ctx, historyName(id, kept[i]), []uint64{1})
	})
	if err != nil {
		return err
	}
	former := make([]uint64, 0, version)
	for v := uint64(1); v < version; v++ {
		former = append(former, v)
	}
	if err := s.kv.destroy(ctx, keyName(id), former); err != nil {
		return err
	}
	err = s.kv.write(ctx, keyName(id), version, storedRecord{Deleted: true, Destroyed: true})
	if errors.Is(err, errConflict) {
		return nil // Somebody else has done all this, and maybe more.
	}
	return err
}

// finishDeletions destroys what is left of keys whose deletion was interrupted.
func (s *kvStore) finishDeletions(ctx context.Context) error {
	ids, err := s.ids(ctx)
	if err != nil {
		return err
	}
	return inParallel(len(ids), func(i int) error {
		stored, version, err := s.read(ctx, ids[i])
		if errors.Is(err, kms.ErrKeyMaterial) {
			return nil
		}
		if err != nil || !stored.Deleted || stored.Destroyed {
			return err
		}
		return s.destroy(ctx, ids[i], version)
	})
}
