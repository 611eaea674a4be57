package kms

import (
	"context"
	"io"
	"time"
)

// A KeyBundler is a Backend whose keys can be copied out as one sealed bundle, and in from one: for backups, and to bring keys to
// another backend. It is found by a type assertion on what [BackendConfig] opens. A Manager does not have these methods: a bundle is the business
// of whoever runs the service, and of none of its clients.
type KeyBundler interface {
	// Export writes a bundle of keys, with the material of all their versions, sealed under the secret of the options. Each key is as
	// it was at one moment during the call. An error leaves what was written so far without use.
	Export(ctx context.Context, w io.Writer, opts ExportOptions) (*ExportReport, error)
	// Import adds the keys of a bundle. It reads all of it, and checks all of it, before it changes anything.
	//
	// A key that is not present is added as it is in the bundle, also when it was deleted since. Of a key that is present nothing
	// is taken away: its versions must be the first versions of the key in the bundle, or the other way round, and it gets those that it lacks. Its
	// state, description and tags become those of the bundle only where the bundle is known to have the later ones: a higher generation, from a
	// store whose generations can be compared. A key of other material under the same id is a conflict: the error is ErrKeyExists,
	// beside a report, and nothing is changed.
	//
	// A bundle that does not open is ErrDecrypt; one that is malformed is ErrKeyMaterial, before the secret is tried or after it.
	Import(ctx context.Context, r io.Reader, opts ImportOptions) (*ImportReport, error)
}

// ExportOptions say what seals a bundle, exactly one of Key and Passphrase, and what goes into it.
type ExportOptions struct {
	// Key is 32 uniformly random bytes, not all of them zero, that are kept for bundles only. It stays the caller's.
	Key *Secret
	// Passphrase is any non-empty text, taken byte for byte. It takes some 0.2 seconds and 64 MiB of memory to stretch it. It stays
	// the caller's.
	Passphrase *Secret
	// KeyIDs are the keys to export. Empty: all.
	KeyIDs []string
	// SkipDamaged leaves out keys whose records are damaged, and reports them. Without it they are ErrKeyMaterial, and nothing is written.
	SkipDamaged bool
}

// An ExportReport says what is in a bundle.
type ExportReport struct {
	Created time.Time
	Keys    []Key    // sorted by id
	Damaged []string // the ids of keys that were left out
}

// ImportOptions say what opens a bundle, exactly one of Key and Passphrase, and what to do with it. The secrets stay the caller's.
type ImportOptions struct {
	Key        *Secret
	Passphrase *Secret
	// DryRun changes nothing, and reports what would be done.
	DryRun bool
	// SkipConflicts leaves present keys of other material as they are and goes on, where an import is else refused as a whole.
	SkipConflicts bool
	// ReplaceDamaged puts the key of the bundle in the place of a record that is damaged, which is a conflict else: nobody can tell
	// whether it was the same key. A record that cannot be read, or is refused for its owner or mode, stays a conflict: it may be a good one.
	ReplaceDamaged bool
}

// An ImportReport says what was done with each key of a bundle, or would be.
type ImportReport struct {
	Created time.Time // when the bundle was made
	Keys    []ImportedKey
}

// An ImportedKey is one key of a bundle.
type ImportedKey struct {
	Key     Key // as the bundle has it
	Outcome ImportOutcome
	Detail  string // what the outcome came from, for people
}

// ImportOutcome is what becomes of one key of a bundle.
type ImportOutcome string

// The outcomes.
const (
	ImportAdded     ImportOutcome = "Added"     // it was not there
	ImportUpdated   ImportOutcome = "Updated"   // the present key got versions, or state, description and tags
	ImportMended    ImportOutcome = "Mended"    // it replaced a damaged record
	ImportUnchanged ImportOutcome = "Unchanged" // the present key is the same
	ImportKept      ImportOutcome = "Kept"      // the present key differs, and nothing in the bundle is known to be later
	ImportConflict  ImportOutcome = "Conflict"  // the present key has other material, or is damaged
)
