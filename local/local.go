// Package local keeps master keys in a directory, sealed under one root key.
//
// The root key seals every master key and every record. It comes from 32 random bytes or a passphrase that the program
// brings along, or, for development, from a file that is made at first use:
//
//	keys, err := kms.Open(ctx, kms.Config{Backend: local.Config{Dir: dir, RootKey: root}})
//
// Several processes may share one directory on a local file system of one machine; a change by one is seen by the others
// at once; the caches of a [kms.Manager] see it within their TTL. Nobody removes keys whose deletion date has passed by himself: that is
// RemoveExpiredKeys, which the sweep of a [kms.ServiceManager] calls where it is switched on.
//
// [Backend.Export] writes all keys into one sealed bundle, for backups and for the way to another backend, and [Backend.Import] reads it.
// [ChangeRootKey] seals a directory under another root key.
//
// The directory, and everything in it, must belong to the user that the process runs as, with mode 0700, and 0600 for files.
//
// The root key and the master keys in use lie in locked memory, and core dumps of the process are turned
// off. Systems other than Linux, macOS and the BSDs are not supported: Open answers ErrUnsupported there.
//
// A passphrase is stretched with Argon2id, which FIPS 140-3 does not approve. It is accepted with GODEBUG=fips140=on, where the choice
// is the operator's, and refused with fips140=only.
package local

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/internal/kdf"
)

// Config is a directory and what its root key comes from: exactly one of RootKey, Passphrase and
// RootKeyFile.
type Config struct {
	// Dir is the directory of the keys. It is made at first use, with mode 0700, and so are the directories above it that are missing. It
	// may not be a symbolic link itself.
	Dir string
	// RootKey is 32 uniformly random bytes, not all of them zero. It stays the caller's, who may
	// destroy it once Open has returned, unless Open is to be called again.
	RootKey *kms.Secret
	// Passphrase is any non-empty text, taken byte for byte. Opening takes some 0.2 seconds and 64 MiB of
	// memory to stretch it. It stays the caller's, as RootKey does.
	Passphrase *kms.Secret
	// RootKeyFile is the path of a file with the root key, for development: who copies the disk has
	// both. Where there is neither the file nor a key it is made, in a directory that must exist, is not Dir or inside it, symbolic
	// links resolved, and is not one that anybody may write to, unless only the owner of a file may remove it there, as in /tmp. It holds 32
	// random bytes as one line of base64, and has mode 0600. Of two first openings with two such files at the same time one fails, and leaves a
	// file behind that nothing is sealed under.
	RootKeyFile string
	// AllowUnlockedMemory permits ordinary memory for keys where the system lets the process lock
	// none. Then keys may be written to swap, which is logged as a warning. Without it Open fails.
	AllowUnlockedMemory bool
	// Logger receives what no returned error says: the warning about memory that is not locked. Nil: Logger of
	// [kms.Options], where a Manager opens the directory; else silent.
	Logger *slog.Logger
}

var (
	_ kms.BackendConfig = Config{}
	_ kms.LoggingConfig = Config{}
)

// BackendType returns "local".
func (Config) BackendType() string { return backendType }

const backendType = "local"

// Validate checks the configuration without any I/O. Errors wrap ErrInvalidConfig.
func (c Config) Validate() error {
	if c.Dir == "" {
		return fmt.Errorf("%w: no directory", kms.ErrInvalidConfig)
	}
	given := 0
	for _, is := range []bool{c.RootKey != nil, c.Passphrase != nil, c.RootKeyFile != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		return fmt.Errorf("%w: %d of root key, passphrase and root key file are given, want one", kms.ErrInvalidConfig, given)
	}
	switch {
	case c.RootKey != nil:
		return kdf.CheckRaw("root key", c.RootKey.Bytes())
	case c.Passphrase != nil && c.Passphrase.Len() == 0:
		return fmt.Errorf("%w: the passphrase is empty", kms.ErrInvalidConfig)
	case c.RootKeyFile != "" && lexicallyInside(c.RootKeyFile, c.Dir):
		return errKeyFileInside()
	}
	return nil
}

func errKeyFileInside() error {
	return fmt.Errorf("%w: the root key file lies in the directory that it protects", kms.ErrInvalidConfig)
}

// lexicallyInside compares the paths as they are written, links unresolved.
func lexicallyInside(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// WithLogger returns the configuration with the logger, unless it has one of its own. It implements [kms.LoggingConfig].
func (c Config) WithLogger(logger *slog.Logger) kms.BackendConfig {
	if c.Logger == nil {
		c.Logger = logger
	}
	return c
}

// Open opens the directory as New does. It may be called again, also while another Backend has the directory open.
func (c Config) Open(ctx context.Context) (kms.Backend, error) {
	b, err := New(ctx, c)
	if err != nil {
		return nil, err
	}
	return b, nil
}
